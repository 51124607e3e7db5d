"""What a node of a cluster says about slots."""

from redis.exceptions import ResponseError

from broker.resp.cluster_view import view_of

INFO = b"cluster_state:ok\r\ncluster_current_epoch:7\r\ncluster_my_epoch:3\r\n"
SLOTS = [
    [0, 99, [b"10.0.0.1", 6379, b"id", []], [b"10.0.0.4", 6379, b"id", []]],
    [101, 16383, [b"", 7000, b"id", []], [None, 7001, b"id", []]],
]


def test_view_has_the_owner_of_each_slot() -> None:
    """A slot is in the first range that has it; one that no node has is nobody's."""
    view = view_of([INFO, SLOTS], ("seed", 1))
    assert view is not None
    assert view.epoch == 7
    assert [view.owner(slot) for slot in (0, 99, 100)] == [("10.0.0.1", 6379), ("10.0.0.1", 6379), None]


def test_view_of_a_node_that_does_not_know_its_host() -> None:
    """An unknown host is the one of the node that replied."""
    view = view_of([INFO, SLOTS], ("seed", 1))
    assert view is not None
    assert view.owner(101) == ("seed", 7000)
    assert view.nodes() == [("10.0.0.1", 6379), ("seed", 7000), ("10.0.0.4", 6379), ("seed", 7001)]


def test_view_of_a_server_without_cluster() -> None:
    """A server that is no node of a cluster has no view."""
    assert view_of([ResponseError("no cluster"), ResponseError("no cluster")], ("seed", 1)) is None
