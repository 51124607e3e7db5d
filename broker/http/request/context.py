"""One request as a handler sees it: path, query, headers and body, checked."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from aiohttp import web
from msgspec import Struct

from broker.auth.grants import EVERYTHING, Access, Grant
from broker.core.errors import Invalid
from broker.core.settings import BrokerSettings
from broker.diagnostics.metrics_report import MetricsReport
from broker.http.browser_guard import Browsers
from broker.http.long_poll import LongPolls
from broker.http.request import query_params
from broker.http.request.body import FORM, JSON, WEIGHT, Request, Streamed, media_type, read_body
from broker.http.request.bulk_items import Bulk, Item, Items, read_items
from broker.http.request.decoding import decode, form
from broker.http.request.path_params import group_name, job_id, worker_name
from broker.http.server.admission import AdmissionControl, InProgress
from broker.http.server.fast_request import FastRequest
from broker.logs.follower import Followers
from broker.models.reports import Failure

if TYPE_CHECKING:
    from broker.diagnostics.readiness import ReadinessCheck
    from broker.logs.storage import Logs
    from broker.reaper.reaper import Reaper
    from broker.resp.notifier import Notifier
    from broker.store.job_store import JobStore

Body = TypeVar("Body", bound=Struct)

MAX_LEASE_LENGTH = 64
_LARGE_BYTES = 1024 * 1024


class Broker(NamedTuple):
    """The parts of a broker that the front end uses. `reaper` is None where another broker runs it."""

    store: "JobStore"
    logs: "Logs"
    notifier: "Notifier"
    settings: BrokerSettings
    reaper: "Reaper | None" = None
    access: Access = Access()
    metrics: MetricsReport | None = None
    condition: "ReadinessCheck | None" = None


class AppContext:
    """The state that all requests of one front end share."""

    def __init__(self, broker: Broker, document: bytes) -> None:
        self.broker = broker
        self.document = document
        self.access = broker.access
        self.browsers = Browsers(broker.settings, broker.access)
        self.admission = AdmissionControl(broker.settings.max_in_progress)
        self.polls = LongPolls(broker.notifier, self.admission, broker.store.dispatcher.give_back)
        self.in_progress = InProgress()
        self.followers = Followers(broker.settings.max_followers)
        self.metrics = broker.metrics or MetricsReport(broker.store)


class Call:
    """One request. Raises Invalid for an invalid group name, NotFound for a text that cannot be an id."""

    __slots__ = ("context", "grant", "group", "job_id", "logs", "request", "settings", "store", "worker")

    def __init__(
        self, context: AppContext, request: Request, path: Mapping[str, str], grant: Grant = EVERYTHING
    ) -> None:
        self.context = context
        self.request = request
        self.grant = grant
        self.store, self.logs, self.settings = context.broker.store, context.broker.logs, context.broker.settings
        self.group = group_name(path["group_name"]) if "group_name" in path else ""
        self.job_id = job_id(path["id"]) if "id" in path else ""
        self.worker = worker_name(path["worker"]) if "worker" in path else ""

    @property
    def web(self) -> web.Request:
        """The request of aiohttp. Only a streamed route has one."""
        if not isinstance(self.request, Streamed):
            raise TypeError("this route is not streamed")
        return self.request.web

    def query(self, kind: type[query_params.Parameters]) -> query_params.Parameters:
        """The query's parameters."""
        return cast("query_params.Parameters", query_params.parse(kind, self.request.query_string))

    async def body(self, kind: type[Body]) -> Body:
        """The JSON body. A missing body counts as {}."""
        return decode(kind, await self._read())

    async def items(self, bulk: type[Bulk[Item]], kind: type[Item]) -> Items[Item]:
        """The items of a bulk body."""
        return read_items(bulk, kind, await self._read(), self.grant)

    async def failure(self) -> Failure:
        """The body of fail: JSON, a form, the query, or nothing. A field of the body has priority over the query.

        `curl -d` sends JSON with the Content-Type of a form. Such a body is recognized as JSON.
        """
        raw = await self._read((JSON, FORM))
        is_form = media_type(self.request) == FORM and not raw.lstrip().startswith(b"{")
        body = form(Failure, raw) if is_form else decode(Failure, raw)
        query = self.query(query_params.FailQuery)
        return Failure(*(getattr(body, name) or getattr(query, name, None) for name in Failure.__struct_fields__))

    async def _read(self, types: tuple[str, ...] = (JSON,)) -> bytes:
        request = self.request
        if isinstance(request, FastRequest):
            if not request.body or request.headers.get("Content-Type") == JSON:
                return request.body
            raw = await read_body(request, self.settings, types)
        else:
            with self.context.admission.waiting(request.web.get(WEIGHT, 0)):
                raw = await read_body(request, self.settings, types)
        if len(raw) > _LARGE_BYTES:
            await asyncio.sleep(0)  # let others run first: to decode it takes ms
        return raw

    def lease(self, in_body: str | None) -> str:
        """The lease token of the header Titan-Lease, or else the body's; '' when there is none."""
        token = self.request.headers.get("Titan-Lease")
        if not token:
            return in_body or ""
        if len(token) > MAX_LEASE_LENGTH or not _is_printable(token):
            raise Invalid(
                f"Titan-Lease must be a lease token: at most {MAX_LEASE_LENGTH} printable ASCII characters.",
                fields="lease",
            )
        return token

    def idempotency_key(self) -> str:
        """The header Idempotency-Key; '' when there is none."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return ""
        longest = self.settings.max_idempotency_key_length
        if not 0 < len(key) <= longest or not _is_printable(key):
            raise Invalid(
                f"Idempotency-Key must have 1 to {longest} printable ASCII characters.", fields="Idempotency-Key"
            )
        return key


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
