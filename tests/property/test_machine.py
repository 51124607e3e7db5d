"""The state machine against its model, on the fake store and on a real one."""

import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from broker.resp.client import connect
from tests.property.machine import TitanMachine

pytestmark = pytest.mark.timeout(400)

SEARCH = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


class FakeMachine(TitanMachine):
    """On fakeredis."""

    def connect(self) -> Redis:
        return fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), version=(7,))


def test_every_verb_agrees_with_the_model_in_any_order():
    """Whatever is called in whatever order, the store answers, keeps and refuses what the model does."""
    run_state_machine_as_test(FakeMachine, settings=settings(SEARCH, max_examples=12, stateful_step_count=50))
    assert FakeMachine.is_plain


class PartitionedMachine(FakeMachine):
    """With two partitions, a group in each."""

    partitions = 2


def test_every_verb_agrees_with_the_model_in_two_partitions():
    """The same holds where the groups are kept apart."""
    run_state_machine_as_test(PartitionedMachine, settings=settings(SEARCH, max_examples=8, stateful_step_count=40))
    assert PartitionedMachine.partitions == 2


def test_every_verb_agrees_with_the_model_on_a_real_store(valkey_url):
    """The same holds on the server that the embedded store runs."""

    class ValkeyMachine(TitanMachine):
        is_plain = False

        def connect(self) -> Redis:
            return connect(valkey_url, 5, 2)

    run_state_machine_as_test(ValkeyMachine, settings=settings(SEARCH, max_examples=25, stateful_step_count=60))
    assert not ValkeyMachine.is_plain
