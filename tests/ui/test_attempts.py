"""Wrong tokens by address."""

import pytest

from broker.core.errors import LimitReached
from broker.http.ui import attempts
from broker.http.ui.attempts import MOST_WRONG, WINDOW_S, Attempts


class Clock:
    """A clock that stands until it is set."""

    now_s = 100.0

    def __call__(self) -> float:
        """Now, s."""
        return self.now_s


def is_refused(tried: Attempts, address: str) -> bool:
    """Whether the address must wait."""
    try:
        tried.check(address)
    except LimitReached:
        return True
    return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tried(clock: Clock) -> Attempts:
    return Attempts(clock)


def test_check_after_many(tried: Attempts, clock: Clock) -> None:
    """The sixth within a minute is refused, and one is free again when the first is a minute old."""
    for n in range(MOST_WRONG):
        assert not is_refused(tried, "192.0.2.1")
        clock.now_s += 1
        tried.wrong("192.0.2.1")
        assert is_refused(tried, "192.0.2.1") == (n + 1 == MOST_WRONG)
    assert not is_refused(tried, "192.0.2.2")
    clock.now_s = 101 + WINDOW_S
    assert not is_refused(tried, "192.0.2.1")
    tried.wrong("192.0.2.1")
    assert is_refused(tried, "192.0.2.1")


def test_check_says_how_long(tried: Attempts, clock: Clock) -> None:
    """The refusal has the time after which one more is tried."""
    for _ in range(MOST_WRONG):
        tried.wrong("x")
    clock.now_s += 20.0
    with pytest.raises(LimitReached) as refused:
        tried.check("x")
    assert refused.value.retry_after_s is not None
    assert WINDOW_S - 20 <= refused.value.retry_after_s <= WINDOW_S - 19


def test_right_forgets(tried: Attempts) -> None:
    """A right token forgets the wrong ones before it."""
    for _ in range(MOST_WRONG - 1):
        tried.wrong("192.0.2.1")
    tried.right("192.0.2.1")
    tried.wrong("192.0.2.1")
    assert not is_refused(tried, "192.0.2.1")


def test_addresses_of_one_network(tried: Attempts) -> None:
    """A client has all IPv6 addresses below its 64 bits, so they count together; mapped IPv4 addresses do not."""
    for n in range(MOST_WRONG):
        tried.wrong(f"2001:db8::{n}")
        tried.wrong(f"::ffff:192.0.2.{n}")
    assert is_refused(tried, "2001:db8::ffff%eth0")
    assert not is_refused(tried, "2001:db8:0:1::1")
    assert not is_refused(tried, "::ffff:192.0.2.1")


def test_memory_is_bounded(tried: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many addresses are remembered; the one whose last wrong token was first is forgotten."""
    monkeypatch.setattr(attempts, "_MOST_ADDRESSES", 3)
    for address in ("a", "b", "a", "c", "d"):
        tried.wrong(address)
    assert set(tried._wrong) == {"a", "c", "d"}
