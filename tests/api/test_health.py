"""healthz, readyz and the description of the API."""

from types import SimpleNamespace
from typing import Any

import pytest

from broker.core.errors import StoreUnavailable
from broker.http.openapi import document
from tests.api.client import Http
from tests.stores import Store


@pytest.fixture
def away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not answer."""

    async def ready() -> Any:
        raise StoreUnavailable("The store does not answer: it is away.")

    monkeypatch.setattr(store, "ready", ready)


async def test_healthz(http: Http, away: None) -> None:
    """A broker is alive, whatever its store does."""
    reply = await http("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


async def test_readyz(http: Http) -> None:
    """A broker is ready when its store runs a script and its reaper has no fault."""
    reply = await http("GET", "/readyz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


async def test_readyz_without_the_store(http: Http, away: None) -> None:
    """A broker whose store is away is not ready, and says why."""
    reply = await http("GET", "/readyz")
    assert (reply.status, reply.problem.code) == (503, "store_unavailable")
    assert "it is away" in reply.problem.message
    assert "Retry-After" in reply.headers


async def test_readyz_with_a_broken_reaper(http: Http, reaper: SimpleNamespace) -> None:
    """A broker whose reaper is in trouble is not ready, and says why."""
    reaper.fault = "it crashed"
    reply = await http("GET", "/readyz")
    assert reply.status == 503
    assert "it crashed" in reply.problem.message


@pytest.mark.parametrize("reaper", [None])
async def test_readyz_where_another_broker_reaps(http: Http) -> None:
    """A broker without a reaper is ready."""
    assert (await http("GET", "/readyz")).status == 200


async def test_openapi_is_the_document(http: Http) -> None:
    """/v1/openapi.json is the document that `titan openapi` prints."""
    assert (await http("GET", "/v1/openapi.json")).json == document()
