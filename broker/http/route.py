"""One row of the route table, and the beginnings of paths."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from msgspec import Struct

from broker.auth.token_file import Scope
from broker.core.errors import TitanError
from broker.http.request import query_params
from broker.http.request.body import JSON
from broker.http.request.context import Call
from broker.http.responses import Response

Handler = Callable[[Call], Awaitable[Response | web.StreamResponse]]


class Route(NamedTuple):
    """One row. `takes` and `gives` are the types of the bodies (bytes: an uploaded log, str: a text, None: no body).

    `is_quick`: the handler awaits only the store's scripts. `is_streamed`: it reads or writes piece by piece.
    """

    method: str
    path: str
    handler: Handler
    takes: type[Struct] | type[bytes] | None = None
    gives: type[Struct] | type[str] | None = None
    status: int = 200
    refuses: tuple[type[TitanError], ...] = ()
    query: type[query_params.Query] = query_params.Query
    types: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    scope: Scope | None = "admin"
    """The scope that a token must have; None: no token is needed."""
    is_quick: bool = False
    is_streamed: bool = False
    text_type: str = "text/plain"
    """The type of a text that it gives."""
    is_taking: bool = False
    """Whether a GET changes something."""
    act: str = ""
    """The word under which the audit has it; '' for what is not audited."""
    or_status: int | None = None
    """The status of a success of another kind."""
    operation: str = ""
    """The name of the operation in the OpenAPI document; '' for the verb."""

    @property
    def is_changing(self) -> bool:
        """Whether it changes something: then a page of another site may not send it."""
        return self.is_taking or self.method != "GET"

    @property
    def is_strict(self) -> bool:
        """Whether an unknown parameter is refused. Clients of health and metrics may add their own."""
        return self.path.startswith("/v1/")

    @property
    def verb(self) -> str:
        """The handler's name."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What the handler does, in one line."""
        return (self.handler.__doc__ or "").partition("\n")[0]


GROUPS = "/v1/groups"
GROUP = GROUPS + "/{group_name}"
JOBS = GROUP + "/jobs"
JOB = JOBS + "/{id}"
BATCHES = GROUP + "/batches"
BATCH = BATCHES + "/{batch}"
UNIQUE_KEY = GROUP + "/unique/{unique_key}"
SCHEDULES = GROUP + "/schedules"
SCHEDULE = SCHEDULES + "/{schedule}"
ANY_JOB = "/v1/jobs/{id}"
BROKERS = "/v1/brokers"
WORKERS = "/v1/workers"
WORKER = WORKERS + "/{worker}"
