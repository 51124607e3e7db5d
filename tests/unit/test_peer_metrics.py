"""The metrics of several processes of one broker: their sums, also while one of them dies and starts again."""

from collections.abc import Callable
from pathlib import Path

from broker.diagnostics.peer_metrics import PeerMetrics
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.metrics.summed import summed


async def test_sums_never_fall(tmp_path: Path):
    """What a process has reported counts while it is away, and its successor continues from there."""
    counts = {0: 5, 1: 7}
    one, other = PeerMetrics(str(tmp_path), 0), PeerMetrics(str(tmp_path), 1)
    async with one.heard(of(counts, 0)):
        async with other.heard(of(counts, 1)):
            assert await seen(one, of(counts, 0)) == {"c_total": [12], "own": [5, 7]}
        assert await seen(one, of(counts, 0)) == {"c_total": [12], "own": [5]}
        counts[1] = 0
        other = PeerMetrics(str(tmp_path), 1)
        async with other.heard(of(counts, 1)):
            counts[1] = 2
            assert await seen(one, of(counts, 0)) == {"c_total": [14], "own": [5, 2]}
            assert await seen(other, of(counts, 1)) == {"c_total": [14], "own": [5, 2]}


def of(counts: dict[int, int], number: int) -> Callable[[], list[Family]]:
    """The metrics of a process: a counter and a gauge."""
    return lambda: [
        counter("c_total", "C.", [Sample(counts[number], {"verb": "next"})]),
        gauge("own", "O.", [Sample(counts[number])], "each"),
    ]


async def seen(peers: PeerMetrics, own: Callable[[], list[Family]]) -> dict[str, list[float]]:
    """The values that a scrape of one of the processes has."""
    families = summed(await peers.all(own))
    return {one.name: [sample.value for sample in one.samples] for one in sorted(families, key=lambda each: each.name)}
