"""What a node of a cluster says about the slots: which node has each.

A node that is cut off from the others does not know of later failovers. Each failover, and each slot that moves, raises
the cluster's epoch, so the view with the highest epoch is right.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from broker.resp.seeds import Place, text_of

COMMANDS = (("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
"""The commands of which `view_of` reads the replies."""


class ClusterView(NamedTuple):
    """The view of one node. `ranges` are the first and last slot and the primary; `replicas` the other nodes."""

    epoch: int
    ranges: tuple[tuple[int, int, Place], ...]
    replicas: tuple[Place, ...]

    def owner(self, slot: int) -> Place | None:
        """The node that has a slot; None if no node has it."""
        return next((place for first, last, place in self.ranges if first <= slot <= last), None)

    def nodes(self) -> list[Place]:
        """All nodes, the primaries first."""
        return list(dict.fromkeys([*(place for _, _, place in self.ranges), *self.replicas]))


def view_of(replies: Sequence[Any], seed: Place) -> ClusterView | None:
    """The view in the replies to COMMANDS of the node at `seed`; None if it is no node of a cluster."""
    info, slots = replies
    if isinstance(info, Exception) or isinstance(slots, Exception):
        return None
    fields = dict(line.split(":", 1) for line in text_of(info).splitlines() if ":" in line)
    ranges = tuple((int(first), int(last), _place(primary, seed)) for first, last, primary, *_ in slots)
    replicas = tuple(_place(node, seed) for _, _, _, *others in slots for node in others)
    return ClusterView(int(fields.get("cluster_current_epoch", 0)), ranges, replicas)


def _place(node: Sequence[Any], seed: Place) -> Place:
    """Host and port of a node. A node that does not know its own host has the host of the seed that replied."""
    host = text_of(node[0] or b"")
    return host if host not in {"", "?"} else seed[0], int(node[1])
