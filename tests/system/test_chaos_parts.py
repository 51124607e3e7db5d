"""The books of a chaos run for schedules and for keys with limits: each promise that is broken shows."""

from typing import Any

import pytest

from broker.core.timestamps import rfc3339
from tests.system.chaos import lane_load, schedule_load
from tests.system.chaos.lane_load import LOOSE, STRICT
from tests.system.chaos.ledger import Delivery
from tests.system.chaos.promises import LANES, SCHEDULES

AT = 1_795_461_794_000
"""A whole second, and an even one."""


def at(seconds: float) -> str:
    return rfc3339(AT + round(seconds * 1000))


def fired(name: str, second: float, created: float, ended: float | None, **fields: Any) -> dict[str, Any]:
    """The job of a schedule for a time, all in s. Without an end it still runs."""
    job = {"id": f"{name}{second}", "schedule": name, "scheduled_for": at(second), "created_at": at(created)}
    more = {"status": "running"} if ended is None else {"status": "succeeded", "completed_at": at(ended)}
    return job | {"started_at": at(created)} | more | fields


def paused(every: int, paused_at: float = 5.5, **counts: int) -> dict[str, Any]:
    """A schedule that was created a little after `AT` and is paused now."""
    return {
        "every": every,
        "created_at": at(0.5),
        "paused_at": at(paused_at),
        "counts": {"fired": 0, "skipped": 0, "missed": 0} | counts,
    }


def remembered(*jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """The history of these jobs."""
    return [{"what": "fired", "scheduled_for": job["scheduled_for"], "job": job["id"]} for job in reversed(jobs)]


ALL = [fired("all", second, second, second + 3) for second in (1, 2, 3)]
EARLY = fired("all", 0, 0.6, 3)
"""For a time that came while the call that put the schedule was on its way."""
ONE = [fired("one", 1, 1, 2.5), fired("one", 3, 3, 4)]
SKIPPED = {"what": "skipped", "why": "overlap", "scheduled_for": at(2), "job": ONE[0]["id"]}
RETRY = fired("one", 1, 2.5, 3.5, id="again", retry_of=ONE[0]["id"])


@pytest.mark.parametrize(
    ("name", "schedule", "jobs", "fires", "broken"),
    [
        ("all", paused(1, fired=3), ALL, remembered(*ALL), ""),
        ("all", paused(1, fired=3), [*ALL, ALL[0] | {"id": "x"}], remembered(*ALL), "fires twice"),
        ("all", paused(1, fired=2), ALL[::2], remembered(*ALL[::2]), "fires lost"),
        ("all", paused(1, fired=2, missed=1), ALL[::2], remembered(*ALL[::2]), "fires lost"),
        ("all", paused(1, fired=3), ALL, remembered(*ALL, fired("all", 0.7, 1, 2)), "fires at other times"),
        ("all", paused(1, fired=2), ALL, remembered(*ALL), "fires miscounted"),
        ("all", paused(1, fired=3), ALL, remembered(*ALL[:2], ALL[2] | {"id": "x"}), "fires misremembered"),
        ("all", paused(1, fired=3), ALL, remembered(ALL[1], ALL[0], ALL[2]), "fires misremembered"),
        ("all", paused(1, 20, fired=3), ALL, remembered(*ALL), "schedules behind"),
        ("all", paused(1, fired=1), [fired("all", 1, 1, None)], remembered(ALL[0]), "scheduled jobs left"),
        ("one", paused(1, fired=2, skipped=1), ONE, [*remembered(ONE[1]), SKIPPED, *remembered(ONE[0])], ""),
        ("one", paused(1, fired=2, skipped=1), [*ONE, RETRY], remembered(*ONE), "fires overlapping"),
        ("one", paused(1, fired=2), [ONE[0], fired("one", 2, 2, 3)], remembered(ONE[0]), "fires overlapping"),
        ("none", paused(1, fired=2), [ONE[0], ONE[1] | {"started_at": at(2.4)}], [], "fires overlapping"),
        ("none", paused(1), [], [], ""),
        ("all", paused(1, fired=4), [EARLY, *ALL], remembered(EARLY, *ALL), ""),
    ],
)
def test_books_of_schedules(
    name: str, schedule: dict[str, Any], jobs: list[dict[str, Any]], fires: list[dict[str, Any]], broken: str
) -> None:
    """Each time has one job or a reason in the counts, and jobs do not overlap where the policy forbids it."""
    own = [job | {"schedule": name} for job in jobs]
    figures = schedule_load.judge({name: schedule}, own, {name: fires})
    assert ({figure for figure in SCHEDULES if figures[figure]} or {""}) >= {broken}
    assert bool(broken) or not any(figures[figure] for figure in SCHEDULES)


def keyed(number: int, ended: float | None = None, key: str = "a") -> dict[str, Any]:
    """A job of a key. Without an end it still runs."""
    more = {"status": "running"} if ended is None else {"status": "succeeded", "completed_at": at(ended)}
    return {"id": str(number), "payload": f"{number}.0", "key": key, **more}


def delivered(*seconds: float) -> list[Delivery]:
    """The deliveries of a job at these seconds, each with a lease of 2 s."""
    return [
        Delivery("", f"lease-{n}", n, AT + round(second * 1000), AT + round(second * 1000) + 2000)
        for n, second in enumerate(seconds, 1)
    ]


ONE_BY_ONE = [keyed(1, 1), keyed(2, 2)]


@pytest.mark.parametrize(
    ("group", "jobs", "deliveries", "failures", "broken"),
    [
        (STRICT, ONE_BY_ONE, {"1": delivered(0), "2": delivered(1)}, {}, ""),
        (STRICT, ONE_BY_ONE, {"1": delivered(0), "2": delivered(0.9)}, {}, "keys over their limit"),
        (STRICT, [keyed(1, 1), keyed(2, 2, "b")], {"1": delivered(0), "2": delivered(0)}, {}, ""),
        (STRICT, [keyed(1, 5), keyed(2, 3)], {"1": delivered(0, 4), "2": delivered(1)}, {"1": ["lease-1"]}, "keys"),
        (LOOSE, [keyed(1, 5), keyed(2, 3), keyed(3, 3)], {"1": delivered(0, 4), "2": delivered(1), "3": delivered(1)},
         {"1": ["lease-1"]}, ""),
        (LOOSE, [keyed(1, 5), keyed(2, 3), keyed(3, 3)], {"1": delivered(0, 4), "2": delivered(1), "3": delivered(1)},
         {}, "keys over their limit"),
        (STRICT, [keyed(2, 1), keyed(1, 2)], {}, {}, "keys out of order"),
        (LOOSE, [keyed(2, 1), keyed(1, 2)], {}, {}, ""),
        (STRICT, [keyed(1)], {}, {}, "lane jobs left"),
        (STRICT, [], {}, {}, "lane jobs left"),
        (LOOSE, [keyed(1, 9)], {"1": delivered(*(n / 100 for n in range(8)))}, {}, "rate exceeded"),
        (LOOSE, [keyed(1, 9)], {"1": delivered(*(n / 12 for n in range(60)))}, {}, ""),
    ],
)  # fmt: skip
def test_books_of_lanes(
    group: str,
    jobs: list[dict[str, Any]],
    deliveries: dict[str, list[Delivery]],
    failures: dict[str, list[str]],
    broken: str,
) -> None:
    """At most the limit of a key runs at once; where that is strict, one after another, also while one waits."""
    found = {STRICT: [], LOOSE: []} | {group: jobs}
    figures = lane_load.judge(found, {"1"} if group == STRICT else set(), deliveries, failures)
    wrong = {name for name in LANES if figures.get(name)}
    assert bool(wrong) == bool(broken)
    assert not broken or any(name.startswith(broken) for name in wrong)
