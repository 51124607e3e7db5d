"""What operators look at: list_audit, doctor."""

from msgspec import UNSET

from broker.auth.token_file import SCOPES
from broker.diagnostics.configuration import in_force
from broker.diagnostics.doctor import look
from broker.http.request.context import Call
from broker.http.request.query_params import AuditQuery
from broker.http.responses import Response, json
from broker.models.audit import AuditWrapper
from broker.models.doctor import Admitted, DoctorReport


async def list_audit(call: Call) -> Response:
    """List who did what: cancels, retries, deletions, settings, orders, bulks and logins, the newest first."""
    call.grant.check_all()
    query = call.query(AuditQuery)
    entries, cursor = await call.store.audit.list(query.n, query.cursor)
    return json(AuditWrapper(entries, cursor or UNSET))


async def doctor(call: Call) -> Response:
    """Check the store as `titan doctor` does, and show this broker's configuration and tokens. Secrets are hidden."""
    call.grant.check_all()
    lines = [line async for line in look(call.store)]
    return json(DoctorReport(lines, in_force(call.settings, call.context.broker.sources), _admitted(call)))


def _admitted(call: Call) -> list[Admitted]:
    """The tokens by name, each with the scopes that it has or that follow from them."""
    grants = sorted(call.context.access.grants, key=lambda grant: grant.name)
    return [
        Admitted(name=grant.name, scopes=[one for one in SCOPES if one in grant.scopes], groups=list(grant.groups))
        for grant in grants
    ]
