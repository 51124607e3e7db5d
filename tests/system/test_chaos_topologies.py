"""The short form of `python -m tests.system.chaos`, for each topology: load, a fault or two, and the books."""

from typing import Any

import pytest

from tests.conftest import server_program
from tests.system.chaos.promises import broken, summary
from tests.system.chaos.run import Plan, run
from tests.system.chaos.topologies import TOPOLOGIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# The seed gives the first fault of the servers: a kill, a freeze, the primary cut off, a kill in a cluster.
SEEDS = {"single": 3, "servers": 13, "sentinel": 10, "cluster": 3}


@pytest.mark.parametrize(("topology", "seed"), SEEDS.items(), ids=SEEDS)
async def test_promises_under_faults(topology: str, seed: int) -> None:
    """Whatever fails, what was acknowledged is kept, one consumer holds a job, and calls are answered again."""
    server = TOPOLOGIES[topology].server
    said: list[str] = []
    plan = Plan(topology, server, server_program(server), seconds=8, seed=seed)
    figures: dict[str, Any] = await run(plan, said.append)
    print(summary(figures))
    assert broken(figures) == [], (said, figures)
