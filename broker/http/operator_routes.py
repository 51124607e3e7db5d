"""Routes for people who operate Titan: bulks, the audit, the doctor."""

from broker.core.errors import IdempotencyMismatch, LimitReached, NotFound, StoreFull, TooMany
from broker.http.handlers import bulks, operators
from broker.http.request import query_params
from broker.http.route import GROUP, Route
from broker.models.audit import AuditWrapper
from broker.models.bulk import BulksWrapper, BulkWrapper, NewBulk
from broker.models.doctor import DoctorReport

BULKS = "/v1/bulk"
BULK = BULKS + "/{bulk}"

OPERATOR_ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        GROUP + "/bulk",
        bulks.begin_bulk,
        NewBulk,
        BulkWrapper,
        202,
        (NotFound, TooMany, IdempotencyMismatch, LimitReached, StoreFull),
        headers=("Idempotency-Key",),
        answers=("Idempotency-Replayed",),
        scope="produce",
        act="bulk",
    ),
    Route("GET", BULKS, bulks.list_bulks, None, BulksWrapper, query=query_params.BulksQuery, scope="read"),
    Route("GET", BULK, bulks.show_bulk, None, BulkWrapper, refuses=(NotFound,), scope="read"),
    Route("DELETE", BULK, bulks.stop_bulk, None, BulkWrapper, refuses=(NotFound,), scope="produce", act="bulk"),
    Route("GET", "/v1/doctor", operators.doctor, None, DoctorReport),
    Route("GET", "/v1/audit", operators.list_audit, None, AuditWrapper, query=query_params.AuditQuery, is_quick=True),
)
