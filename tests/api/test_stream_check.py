"""The answer by which a client sees whether a proxy holds answers back."""

import pytest

from broker.core.settings import BrokerSettings
from tests.api.client import Http


@pytest.fixture
def settings() -> BrokerSettings:
    """Room for nobody who follows a log."""
    return BrokerSettings(max_followers=0)


async def test_stream_check_counts_as_a_follower(http: Http) -> None:
    """It lasts for a second, so the limit of followers limits it too."""
    reply = await http("GET", "/v1/stream-check")
    assert (reply.status, reply.problem.code) == (429, "limit_reached")
