"""Every order of verbs and clock steps in a small world, on the real scripts."""

import pytest

from broker.resp.script_source import SCRIPTS
from tests.property.small import WORLDS, World

DEPTH = 4
BROKEN_IN = {"finish": "dead letters, and a job that must start in time"}
"""The world in which a broken script is found, if it is not the first one."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WORLDS)
async def test_small_world_keeps_every_promise(name):
    """In every order of events, one consumer holds a job, one ends it, and the store agrees with itself."""
    world = World(*WORLDS[name])
    await world.explore(DEPTH)
    print(f"{DEPTH} steps: {world.states} states, {world.edges} edges")
    assert world.states > 150


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("verb", "right", "wrong"),
    [
        ("release", "if refused then return refused end", ""),
        ("cancel", "job.status == 'succeeded' or ", ""),
        ("cancel", "  refresh_ready(p, group)\nend\n\nlocal row", "end\n\nlocal row"),
        ("finish", "and not has_retry and not tried_at then", "then"),
    ],
)
async def test_small_world_finds_a_broken_script(monkeypatch, verb, right, wrong):
    """A script without one of its guards or writes is found within three steps."""
    script = SCRIPTS[verb]
    assert right in script.plain
    monkeypatch.setitem(SCRIPTS, verb, script._replace(plain=script.plain.replace(right, wrong)))
    world = World(*WORLDS[BROKEN_IN.get(verb, "two deliveries, a retry and a delay")])
    with pytest.raises(AssertionError, match="after: "):
        await world.explore(3)
