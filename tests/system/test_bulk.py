"""A bulk whose broker is killed half way: another broker finishes it, and each job is done once."""

from pathlib import Path

import pytest

from tests.system.bulk_scene import killed_half_way

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
