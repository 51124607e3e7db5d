"""The settings of all groups: show_settings, set_settings."""

from broker.http.request.context import Call
from broker.http.responses import Response, json
from broker.models.settings import Settings, SettingsWrapper
from broker.resp.marks import FAIR


async def show_settings(call: Call) -> Response:
    """Show the settings of all groups."""
    return json(SettingsWrapper(Settings(order=await call.store.order.show())))


async def set_settings(call: Call) -> Response:
    """Replace the settings of all groups. A setting that is left out gets its default.

    With the order fair, groups take turns: see [Fairness](concepts.md#fairness). Other brokers follow within 5 s.
    """
    call.grant.check_all()
    settings = (await call.body(SettingsWrapper)).settings
    call.acted_on = call.acted_on._replace(detail=f"order {settings.order}")
    if settings.order == "fair":
        await call.store.require_layout(FAIR, "Turns of groups")
    await call.store.order.set(settings.order)
    return json(SettingsWrapper(settings))
