"""The order in which the parts of a broker start."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.core.settings import BrokerSettings
from broker.http.app import Broker
from broker.service import broker as service
from broker.store.count_flusher import CountFlusher
from broker.store.event_feed import EventFeed
from broker.store.modes import Modes


async def test_the_app_is_made_before_anything_asks_the_store_at_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the app holds the event loop, so a call to the store that is under way would seem to be overdue."""
    started, make_app = [], service.make_app

    def noted(broker: Broker) -> Any:
        started.append("app")
        return make_app(broker)

    for part in (service.Reaper, CountFlusher, EventFeed, Modes):

        async def run(_: object, name: str = part.__name__) -> None:
            started.append(name)
            await asyncio.Event().wait()

        monkeypatch.setattr(part, "run", run)
    monkeypatch.setattr(service, "make_app", noted)
    async with service.running(BrokerSettings(port=0, data_dir=str(tmp_path))):
        pass
    assert started[0] == "app"
    assert set(started[1:]) == {"Reaper", "CountFlusher", "EventFeed", "Modes"}
