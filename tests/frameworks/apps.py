"""The smallest application around each example. `{example}` is replaced by the example as the page has it."""

DJANGO = {
    "manage.py": """
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
execute_from_command_line(sys.argv)
""",
    "shop/__init__.py": "",
    "shop/settings.py": """
SECRET_KEY = "a test's"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "shop/models.py": """
from django.db import models


class Order(models.Model):
    customer = models.CharField(max_length=100)
""",
    "shop/orders.py": "{example}",
    "shop/urls.py": """
from django.db import transaction
from django.forms import modelform_factory
from django.http import HttpResponse
from django.urls import path

from shop.models import Order
from shop.orders import place_order

OrderForm = modelform_factory(Order, fields=["customer"])


def orders(request):
    try:
        with transaction.atomic():
            order = place_order(OrderForm(request.POST))
            if order.customer == "nobody":
                raise ValueError("this order is rolled back")
    except ValueError:
        return HttpResponse(status=409)
    return HttpResponse(order.pk, status=201)


urlpatterns = [path("orders", orders)]
""",
    "shop/management/commands/send_receipt.py": """
from django.core.management import BaseCommand

from shop.models import Order


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("number", type=int)

    def handle(self, *, number, **_):
        self.stdout.write(f"receipt for {Order.objects.get(pk=number).customer}")
""",
    "serve.py": """
import os
from wsgiref.simple_server import make_server

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
from django.core.wsgi import get_wsgi_application

server = make_server("127.0.0.1", 0, get_wsgi_application())
print(f"serves on http://127.0.0.1:{server.server_port}")
server.serve_forever()
""",
}
FASTAPI = {"shop.py": "{example}"}
EXPRESS = {"shop.mjs": "{example}"}
RAILS = {
    "shop.rb": """
require "active_record"

ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: ":memory:")
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define { create_table(:orders) { |table| table.string :customer } }

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

{example}

puts Order.create!(customer: "ann").id
ApplicationRecord.transaction do
  Order.create!(customer: "nobody")
  raise ActiveRecord::Rollback
end
"""
}
"""Rails' records without its web server: what the example needs of Rails is `after_commit`."""
