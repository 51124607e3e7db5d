"""How often the overview reads all groups: often where there are few, and bounded in age and in the store's time."""

from collections.abc import Mapping

import pytest

from broker.core.errors import StoreUnavailable
from broker.diagnostics import snapshot
from broker.http import live
from tests.conftest import eventually
from tests.stores import Store


@pytest.mark.parametrize(
    ("store_s", "groups", "expected_s"),
    [(0, 0, 0.5), (0.001, 100, 0.5), (0.035, 10_000, 7.7), (3, 10_000, 11), (0.35, 100_000, 77), (9, 100_000, 110)],
)
def test_rest_after_a_sweep(store_s: float, groups: int, expected_s: float) -> None:
    """It rests 220 times as long as the store took; a slow answer of 10,000 groups makes it rest 11 s at most."""
    assert snapshot.rest_s(store_s, groups) == pytest.approx(expected_s)


def test_new_group_is_shown_in_time() -> None:
    """Where there are few groups, a sweep and a view together take less than 3 s until a new group is shown."""
    assert snapshot.EVERY_S + live.EVERY_S < 3


async def test_sweep_soon_after_the_store_is_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that read nothing, and took long for it, is made again at once, and the overview answers again."""
    snapshots = snapshot.Snapshots(store)
    monkeypatch.setattr(snapshot, "EVERY_S", 0.01)
    page = store.glances.page

    async def away(_: int, after: Mapping[int, object]) -> tuple[dict[int, StoreUnavailable], float]:
        return dict.fromkeys(after, StoreUnavailable()), 30.0

    try:
        await snapshots.current()
        monkeypatch.setattr(store.glances, "page", away)
        await eventually(lambda: snapshots.last is not None and snapshots.last.away)
        with pytest.raises(StoreUnavailable):
            await snapshots.current()
        monkeypatch.setattr(store.glances, "page", page)
        await eventually(lambda: snapshots.last is not None and not snapshots.last.away, 5)
    finally:
        await snapshots.close()
