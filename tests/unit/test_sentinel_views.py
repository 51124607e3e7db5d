"""Which of several sentinels is believed, and what their replies say."""

from redis.exceptions import ResponseError

from broker.resp.sentinel_views import Primary, SentinelView, choose, view_of

OLD, NEW, OTHER = Primary(("old", 1), 4), Primary(("new", 2), 5), Primary(("other", 3), 4)
HERE = ("here", 26379)
MASTER = [b"name", b"main", b"ip", b"old", b"port", b"1", b"flags", b"master", b"config-epoch", b"5"]
OTHERS = [[b"name", b"x", b"ip", b"10.0.0.2", b"port", b"26379", b"runid", b"two"], [b"name", b"y", b"runid", b""]]


def view(sentinel: str, primary: Primary) -> SentinelView:
    return SentinelView(sentinel, primary, {})


def test_choose_takes_the_highest_epoch() -> None:
    """One sentinel that knows a later failover outvotes all that do not, whatever is known."""
    views = [view("a", OLD), view("b", OLD), view("c", NEW)]
    assert choose(views, None, 3) == NEW
    assert choose(views, OLD, 3) == NEW
    assert choose(views[::-1], OLD, 3) == NEW


def test_choose_keeps_what_is_known_when_few_say_otherwise() -> None:
    """One of three sentinels with an older epoch is not believed: those that are silent may know better."""
    assert choose([view("a", OLD)], NEW, 3) is None
    assert choose([view("a", OTHER)], OLD, 3) is None
    assert choose([], NEW, 3) is None


def test_choose_believes_most_sentinels_with_a_lower_epoch() -> None:
    """After SENTINEL REMOVE and MONITOR the epoch begins again: more than half of the sentinels decide."""
    again = Primary(("again", 9), 0)
    assert choose([view("a", again), view("b", again)], NEW, 3) == again
    assert choose([view("a", again), view("b", again)], NEW, 4) is None


def test_choose_counts_each_sentinel_once() -> None:
    """A sentinel that is known by two addresses has one vote."""
    assert choose([view("a", OTHER), view("a", OTHER), view("b", OLD)], OLD, 3) is None
    assert choose([view("a", OTHER), view("c", OTHER), view("b", OLD)], OLD, 3) == OTHER
    assert choose([view("", OTHER), view("", OTHER)], OLD, 3) == OTHER


def test_choose_prefers_the_known_among_equals() -> None:
    """Among addresses of one epoch that as many sentinels name, the known one stays."""
    assert choose([view("a", OTHER), view("b", OLD)], OLD, 2) is None
    assert choose([view("a", OTHER), view("b", OLD)], Primary(("x", 1), 3), 2) in {OTHER, OLD}


def test_view_takes_the_address_that_a_failover_has_promoted() -> None:
    """During a failover SENTINEL MASTER has the old address with the new epoch; the other command has the new one."""
    found = view_of([MASTER, [b"new", b"2"], OTHERS, b"one"], HERE)
    assert found == SentinelView("one", NEW, {"two": ("10.0.0.2", 26379)})


def test_view_without_the_service() -> None:
    """A sentinel that does not know the service has no view; one that may not say its id has one."""
    assert (
        view_of([ResponseError("No such master with that name"), None, ResponseError("No such"), b"one"], HERE) is None
    )
    assert view_of([MASTER, [b"new", b"2"], ResponseError("NOPERM"), ResponseError("NOPERM")], HERE) == view("", NEW)
