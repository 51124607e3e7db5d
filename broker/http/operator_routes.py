"""Routes for people who operate Titan: bulks, the audit, the doctor, settings of all groups."""

from broker.core.errors import IdempotencyMismatch, LimitReached, NotFound, StoreFull, TooMany
from broker.http.handlers import bulks, operators, settings
from broker.http.request import query_params
from broker.http.route import GROUP, Route
from broker.models.audit import AuditWrapper
from broker.models.bulk import BulksWrapper, BulkWrapper, NewBulk
from broker.models.doctor import DoctorReport
from broker.models.settings import SettingsWrapper

BULKS = "/v1/bulk"
BULK = BULKS + "/{bulk}"
SETTINGS = "/v1/settings"

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
    Route("GET", SETTINGS, settings.show_settings, None, SettingsWrapper, scope="read"),
    Route("PUT", SETTINGS, settings.set_settings, SettingsWrapper, SettingsWrapper, act="settings"),
)
