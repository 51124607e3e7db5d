"""Job ids: their form, their order, that none comes twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from broker.core import ids
from broker.core.ids import Ids, is_id, lease_token

MS = 1_795_461_794_165


@pytest.fixture
def clock(monkeypatch):
    """The clock that ids read: a list with one time in ms."""
    now = [MS]
    monkeypatch.setattr(ids.time, "time_ns", lambda: now[0] * 1_000_000)
    return now


def test_take_gives_ids_of_the_form():
    """An id has 16 characters of [0-9A-Za-z]."""
    assert all(is_id(job_id) for job_id in Ids().take(1000))


def test_take_gives_rising_ids_within_a_call_and_after_it(clock):
    """Ids sort by creation, in one millisecond too."""
    source = Ids()
    taken = source.take(500) + source.take(500)
    clock[0] += 1
    taken += source.take(500)
    assert taken == sorted(set(taken))


def test_take_sorts_by_time_over_brokers(clock):
    """An id of a later millisecond is greater, whichever broker made it."""
    early = Ids().take(10)
    clock[0] += 1
    assert max(early) < min(Ids().take(10))


def test_take_after_the_clock_stepped_back(clock):
    """A clock that falls back makes no id fall back."""
    source = Ids()
    [before] = source.take(1)
    clock[0] -= 3_600_000
    assert before < source.take(1)[0]


def test_take_when_the_tail_is_used_up(clock):
    """When the numbers of a millisecond run out, the next millisecond is begun early; still rising, none twice."""
    source = Ids()
    taken = source.take(1)
    source._counter = 62**9 - 3
    taken += source.take(2) + source.take(2) + source.take(2)
    assert taken == sorted(set(taken))
    assert all(is_id(job_id) for job_id in taken)


def test_take_of_many_sources_at_once():
    """Many brokers in the same moment make no id twice."""
    with ThreadPoolExecutor(8) as pool:
        taken = [job_id for part in pool.map(lambda _: Ids().take(500), range(40)) for job_id in part]
    assert len(set(taken)) == 20_000


def test_take_lasts_for_decades(clock):
    """The seven characters of time are enough for fifty years from now."""
    early = Ids().take(1)
    clock[0] += 50 * 365 * 86_400_000
    late = Ids().take(1)
    assert early < late
    assert all(is_id(job_id) for job_id in early + late)


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "0" * 15 + "-", "0" * 15 + "\n", "0" * 16 + "\n", "٣" * 16])
def test_is_id_refuses_other_forms(text):
    """Nothing but 16 ASCII letters and digits is an id."""
    assert not is_id(text)


def test_lease_token_is_never_the_same():
    """Tokens are random, of eleven letters and digits, so that one cannot be guessed from another."""
    tokens = {lease_token() for _ in range(10_000)}
    assert len(tokens) == 10_000
    assert all(len(token) == 11 and token.isalnum() for token in tokens)
