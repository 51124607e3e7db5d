"""A bulk whose broker is killed half way: another broker finishes it, and each job is done once."""

import time
from pathlib import Path

import pytest

from broker.core.timestamps import rfc3339
from broker.models.bulk import NewBulk, RetryChanges
from tests.system.bulk_scene import CHANGED_S, killed_half_way, killed_while_paused

JOBS, RATE = 3000, 600
LIMIT_S = 60
"""How long after the kill it may take to the end."""
TAKEN_S = 15 + 5
"""How soon another broker continues; a machine that has more to do gets some more."""


@pytest.mark.slow
async def test_bulk_whose_owner_is_killed(tmp_path: Path) -> None:
    """After kill -9 of its broker half way another one continues; every job has one retry, and all are counted."""
    figures = await killed_half_way(tmp_path, JOBS, RATE, LIMIT_S)
    bulk = figures.bulk
    assert figures.done_at_kill < JOBS
    assert figures.taken_after_s < TAKEN_S
    assert (bulk.state, bulk.matched, bulk.done, bulk.skipped, bulk.refused) == ("done", JOBS, JOBS, {}, {})
    assert (figures.retried, figures.twice, figures.still_running) == (JOBS, 0, 0)


@pytest.mark.slow
async def test_bulk_with_changes_whose_owner_is_killed(tmp_path: Path) -> None:
    """D8: the other broker continues with the filters and the changes, and every job has one retry, which has them."""
    since = rfc3339(round(time.time() * 1000) - 1000)
    given = NewBulk(action="retry", completed_after=since, set=RetryChanges(timeout=CHANGED_S))
    figures = await killed_half_way(tmp_path, JOBS, RATE, LIMIT_S, given)
    bulk = figures.bulk
    assert figures.done_at_kill < JOBS
    assert (bulk.state, bulk.matched, bulk.done, bulk.skipped, bulk.refused) == ("done", JOBS, JOBS, {}, {})
    assert (figures.retried, figures.twice, figures.changed, figures.still_running) == (JOBS, 0, JOBS, 0)


@pytest.mark.slow
async def test_paused_bulk_whose_owner_is_killed(tmp_path: Path) -> None:
    """D9: a bulk that a full group pauses continues at another broker when there is room; each job is retried once."""
    made = await killed_while_paused(tmp_path, jobs=120, limit=40)
    assert len({job.retry_of for job in made}) == len(made) == 120
    assert {job.timeout for job in made} == {CHANGED_S}
