"""One request as a handler sees it: path, query, headers and body, checked."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from aiohttp import web
from msgspec import Struct

from broker.auth.grants import EVERYTHING, Access, Grant
from broker.core.errors import Invalid
from broker.core.settings import BrokerSettings
from broker.diagnostics.metrics_report import MetricsReport
from broker.http.audit import Audit
from broker.http.browser_guard import Browsers
from broker.http.events import EventClients
from broker.http.forwarded import TrustedProxies
from broker.http.job_waits import JobWaits
from broker.http.live import LiveViews
from broker.http.long_poll import LongPolls
from broker.http.request import query_params
from broker.http.request.body import FORM, JSON, WEIGHT, Request, Streamed, media_type, read_body
from broker.http.request.bulk_items import Bulk, Item, Items, read_items
from broker.http.request.decoding import decode, decode_plain, form
from broker.http.request.path_params import (
    batch_id,
    bulk_id,
    group_name,
    job_id,
    schedule_name,
    unique_key,
    worker_name,
)
from broker.http.server.admission import AdmissionControl, InProgress
from broker.http.server.fast_request import FastRequest
from broker.http.ui.dashboard import Dashboard
from broker.http.ui.masking import Masking
from broker.logs.follower import Followers
from broker.models.bulk import Bulk as EndedBulk
from broker.models.doctor import Source
from broker.models.jobs import NewJobs, PlainJobs
from broker.models.reports import Failure
from broker.reaper.bulk_runner import BulkRunner
from broker.store.audit import Act
from titan.tracing import NO_TRACE, Trace, trace_of

if TYPE_CHECKING:
    from broker.core.spans import Spans
    from broker.diagnostics.readiness import ReadinessCheck
    from broker.logs.storage import Logs
    from broker.reaper.reaper import Reaper
    from broker.resp.notifier import Notifier
    from broker.store.job_store import JobStore

Body = TypeVar("Body", bound=Struct)

MAX_LEASE_LENGTH = 64
_LARGE_BYTES = 1024 * 1024
_TAG = r'(W/)?"[!#-~]{0,64}"'
_NO_REVISION = "0"
_REVISION = re.compile(r'\*|(W/)?"?(?P<number>[0-9]{1,15})"?')
_IF_MATCH = re.compile(rf"\*|{_TAG}([ \t]*,[ \t]*{_TAG}){{0,15}}")


class Broker(NamedTuple):
    """The parts of a broker that the front end uses. `reaper` is None where another broker runs it.

    `sources`: where the value of each setting comes from. `spans`: None without the setting otel.
    """

    store: "JobStore"
    logs: "Logs"
    notifier: "Notifier"
    settings: BrokerSettings
    reaper: "Reaper | None" = None
    access: Access = Access()
    metrics: MetricsReport | None = None
    condition: "ReadinessCheck | None" = None
    bulks: BulkRunner | None = None
    sources: Mapping[str, Source] = {}
    spans: "Spans | None" = None


class AppContext:
    """The state that all requests of one front end share."""

    def __init__(self, broker: Broker, document: Callable[[], bytes]) -> None:
        self.broker = broker
        self.document = document
        self.access = broker.access
        self.proxies = TrustedProxies(broker.settings)
        self.browsers = Browsers(broker.settings, broker.access, self.proxies)
        self.admission = AdmissionControl(broker.settings.max_in_progress)
        self.polls = LongPolls(broker.notifier, self.admission, broker.store.dispatcher.give_back)
        self.waits = JobWaits(broker.store, self.admission)
        self.in_progress = InProgress()
        self.followers = Followers(broker.settings.max_followers)
        self.audit = Audit(broker.store.audit)
        self.bulks = broker.bulks or BulkRunner(broker.store)
        self.bulks.on_end = self._bulk_ended
        self.dashboard = Dashboard(broker.settings, broker.access, self.proxies, broker.store.sessions)
        self.spans = broker.spans
        self.metrics = broker.metrics or MetricsReport(broker.store)
        self.live = LiveViews(broker.settings.max_listeners)
        self.metrics.add(self.live.families)
        self.events = EventClients(broker.settings.max_listeners)
        self.metrics.add(self.events.families)

    def _bulk_ended(self, bulk: EndedBulk) -> None:
        """Note in the audit how a bulk ended, and how many jobs it was done to."""
        act = Act("bulk", bulk.by or "", "", bulk.group, (bulk.id,), bulk.done, bulk.state, _ended(bulk))
        self.audit.note(act)


def _ended(bulk: EndedBulk) -> str:
    return f"end of the dry run of {bulk.action}" if bulk.dry_run else f"end of {bulk.action}"


def _given(value: Any, query: query_params.FailQuery, name: str) -> Any:
    """The value of a field of the body, or else of the query: an empty text is none, but 0 and false are values."""
    return getattr(query, name, None) if value in (None, "") else value


class Call:
    """One request. Raises Invalid for an invalid group name, NotFound for a text that cannot be an id."""

    __slots__ = (
        *("acted_on", "batch", "bulk", "context", "grant", "group", "job_id", "logs", "masking", "request", "settings"),
        *("own_trace", "schedule", "store", "unique_key", "worker"),
    )
    acted_on: Act
    """What the audit notes, of an audited route: a handler may say more."""

    def __init__(
        self,
        context: AppContext,
        request: Request,
        path: Mapping[str, str],
        grant: Grant = EVERYTHING,
        masking: Masking | None = None,
    ) -> None:
        self.context = context
        self.request = request
        self.grant = grant
        self.own_trace = NO_TRACE
        self.masking = masking  # of what is streamed to a session
        self.store, self.logs, self.settings = context.broker.store, context.broker.logs, context.broker.settings
        self.group = group_name(path["group_name"]) if "group_name" in path else ""
        self.job_id = job_id(path["id"]) if "id" in path else ""
        self.worker = worker_name(path["worker"]) if "worker" in path else ""
        self.bulk = bulk_id(path["bulk"]) if "bulk" in path else ""
        self.batch = batch_id(path["batch"]) if "batch" in path else ""
        self.schedule = schedule_name(path["schedule"]) if "schedule" in path else ""
        self.unique_key = unique_key(path["unique_key"]) if "unique_key" in path else ""

    @property
    def web(self) -> web.Request:
        """The request of aiohttp. Only a streamed route has one."""
        if not isinstance(self.request, Streamed):
            raise TypeError("this route is not streamed")
        return self.request.web

    @property
    def peer(self) -> str:
        """The address that sent a streamed request; '' when it is gone."""
        return self.web.remote or ""

    def query(self, kind: type[query_params.Parameters]) -> query_params.Parameters:
        """The query's parameters."""
        return cast("query_params.Parameters", query_params.parse(kind, self.request.query_string))

    async def body(self, kind: type[Body]) -> Body:
        """The JSON body. A missing body counts as {}."""
        return decode(kind, await self.read_body())

    async def new_jobs(self) -> PlainJobs | NewJobs:
        """The JSON body of enqueue, with the lesser type where that has all fields of its jobs."""
        raw = await self.read_body()
        return decode_plain(PlainJobs, raw) or decode(NewJobs, raw)

    async def items(self, bulk: type[Bulk[Item]], kind: type[Item]) -> Items[Item]:
        """The items of a bulk body."""
        return read_items(bulk, kind, await self.read_body(), self.grant, self.settings.max_result_bytes)

    async def failure(self) -> Failure:
        """The body of fail: JSON, a form, the query, or nothing. A field of the body has priority over the query.

        `curl -d` sends JSON with the Content-Type of a form. Such a body is recognized as JSON.
        """
        raw = await self.read_body((JSON, FORM))
        is_form = media_type(self.request) == FORM and not raw.lstrip().startswith(b"{")
        body = form(Failure, raw) if is_form else decode(Failure, raw)
        query = self.query(query_params.FailQuery)
        return Failure(*(_given(getattr(body, name), query, name) for name in Failure.__struct_fields__))

    async def read_body(self, types: tuple[str, ...] = (JSON,)) -> bytes:
        """The body as it was sent. Raises what `broker.http.request.body.read_body` raises."""
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

    def revision(self) -> str:
        """The header If-Match of a schedule: its revision, also in quotes, or `*`; '' when there is none.

        `0` for If-None-Match `*`: it must not exist yet.
        """
        text, new = self.request.headers.get("If-Match"), self.request.headers.get("If-None-Match")
        if new is not None:
            if new != "*" or text is not None:
                raise Invalid("If-None-Match must be *, without If-Match.", fields="If-None-Match")
            return _NO_REVISION
        if text is None:
            return ""
        found = _REVISION.fullmatch(text)
        if found is None:
            raise Invalid("If-Match must be * or the revision of the schedule, such as 3.", fields="If-Match")
        return found["number"] or "*"

    def if_match(self) -> str:
        """The header If-Match: tags with commas between, or `*`; '' when there is none."""
        tags = self.request.headers.get("If-Match")
        if tags is None:
            return ""
        if _IF_MATCH.fullmatch(tags) is None:
            raise Invalid('If-Match must be * or tags as ETag has them, such as "0a1b2c".', fields="If-Match")
        return tags

    def trace(self) -> Trace:
        """The trace context of new jobs: that of the span of the call, or of the headers; none without a valid one."""
        if self.own_trace:
            return self.own_trace
        parent = self.request.headers.get("Traceparent")
        return NO_TRACE if parent is None else trace_of(parent, self.request.headers.get("Tracestate"))

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
