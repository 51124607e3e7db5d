"""Calls of an operator: workers, brokers, bulks, the audit, settings of all groups."""

from urllib.parse import quote

from broker.models.audit import AuditWrapper
from broker.models.brokers import BrokersWrapper
from broker.models.bulk import Bulk, BulksWrapper, BulkWrapper, NewBulk
from broker.models.overview import Overview, Sort
from broker.models.settings import Settings, SettingsWrapper
from broker.models.workers import Order, Worker, WorkersWrapper, WorkerWrapper
from titan.calls import JSON, Request, group_path
from worker.api.fields import set_fields
from worker.http_session import HttpSession


class OperatorCalls(HttpSession):
    """Calls of an operator: workers, brokers, bulks, the audit, settings of all groups."""

    async def workers(self, n: int = 50, cursor: str = "") -> tuple[list[Worker], str]:
        """A page of the workers, and the cursor of the next page; "" is the end."""
        page = await self.get("/workers", WorkersWrapper, [("n", n), ("cursor", cursor)])
        return page.workers, page.cursor or ""

    async def overview(self, sort: Sort = "oldest", n: int = 50, part: str = "") -> Overview:
        """All groups at a glance, and the first `n` of those with this part in their name."""
        return await self.get("/overview", Overview, [("sort", sort), ("n", n), ("q", part)])

    async def worker(self, name: str) -> Worker:
        """One worker as it last announced itself."""
        return (await self.get(f"/workers/{quote(name, safe='')}", WorkerWrapper)).worker

    async def order(self, name: str, order: Order) -> Worker:
        """Order a worker to be quiet, to resume or to drain; it gets the order within 2 s."""
        request = Request("POST", f"/workers/{quote(name, safe='')}/order", {"order": order})
        return (await self.ask(request, WorkerWrapper)).worker

    async def brokers(self, n: int = 50, cursor: str = "") -> BrokersWrapper:
        """A page of the brokers of the store, with the layout of the store."""
        return await self.get("/brokers", BrokersWrapper, [("n", n), ("cursor", cursor)])

    async def bulk(self, group: str, given: NewBulk, key: str = "") -> Bulk:
        """Begin a bulk; the broker carries it out. With a `key` the same call may be repeated."""
        headers = JSON | ({"Idempotency-Key": key} if key else {})
        request = Request("POST", f"{group_path(group)}/bulk", set_fields(given), headers=headers)
        return (await self.ask(request, BulkWrapper)).bulk

    async def bulks(self, n: int = 50, cursor: str = "") -> BulksWrapper:
        """A page of the bulks, the newest first."""
        return await self.get("/bulk", BulksWrapper, [("n", n), ("cursor", cursor)])

    async def show_bulk(self, bulk_id: str) -> Bulk:
        """One bulk."""
        return (await self.get(f"/bulk/{quote(bulk_id, safe='')}", BulkWrapper)).bulk

    async def stop_bulk(self, bulk_id: str) -> Bulk:
        """Stop a bulk."""
        return (await self.ask(Request("DELETE", f"/bulk/{quote(bulk_id, safe='')}"), BulkWrapper)).bulk

    async def audit(self, n: int = 50, cursor: str = "") -> AuditWrapper:
        """A page of the audit, the newest act first."""
        return await self.get("/audit", AuditWrapper, [("n", n), ("cursor", cursor)])

    async def settings(self) -> Settings:
        """The settings of all groups."""
        return (await self.get("/settings", SettingsWrapper)).settings

    async def set_settings(self, settings: Settings) -> Settings:
        """Replace the settings of all groups."""
        request = Request("PUT", "/settings", {"settings": {"order": settings.order}})
        return (await self.ask(request, SettingsWrapper)).settings
