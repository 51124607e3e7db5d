"""Scripts are run by SHA, load themselves again, and can be run by hand."""

import asyncio
import shutil
import subprocess
import time

import pytest
from redis.exceptions import NoScriptError

from broker.core.errors import StoreUnavailable
from broker.models.jobs import NewJob
from broker.resp.script_source import SCRIPTS
from broker.resp.scripts import ScriptCall, Scripts
from tests.conftest import NOW
from tests.stores import topology_on

SPEC = '{"image":"x"}'


def enqueue_call(store, job_id, group="maps"):
    """A call that makes one job with this id."""
    return ScriptCall(
        "enqueue", store.partitions[0], (NOW, "", "", "", "", "", 1, 0, 0, "", group, 1, 0, 0, "", job_id, SPEC)
    )


async def counts(store, group="maps"):
    """How many jobs a group has, and how often its first was delivered."""
    jobs, _ = await store.list(group, 1000)
    return len(jobs), sum(job.deliveries for job in jobs)


async def test_run_after_a_flush_runs_once(store, redis):
    """A store that lost its scripts gets them again, and the call is carried out once."""
    await store.enqueue("maps", [NewJob(image="x")])
    await redis.script_flush()
    await store.enqueue("maps", [NewJob(image="x")])
    await redis.script_flush()
    assert len(await store.next(1)) == 1
    assert await counts(store) == (2, 1)


@pytest.mark.parametrize("backend", ["valkey"])
async def test_run_after_a_flush_wakes_who_looked_too_early(store, redis):
    """Who waits looks right behind an enqueue; when the store did not know that script, they are woken once more."""
    waits, woken = asyncio.Event(), []

    def wake(group):
        woken.append(group)
        waits.set()

    assert await store.next(1, waits=True) == []  # so that the store knows this script
    store.wake_at_enqueue(wake)
    await redis.script_flush()
    await redis.script_load(SCRIPTS["next"].text)
    enqueueing = asyncio.create_task(store.enqueue("maps", [NewJob(image="x")]))
    await waits.wait()
    assert await store.next(1, waits=True) == []
    await enqueueing
    assert woken == ["maps", None]
    assert len(await store.next(1)) == 1


async def test_run_all_with_part_of_the_scripts_known_runs_each_once(store, redis, backend):
    """Calls whose script is known run first, the others once it is loaded; each once, the replies in order."""
    scripts = Scripts(store.topology, is_plain=backend == "fake")
    await redis.script_flush()
    await scripts.run_all([enqueue_call(store, "0" * 15 + "1")])
    calls = [
        enqueue_call(store, "0" * 15 + "2"),
        ScriptCall("groups", store.partitions[0], ("maps", 1, "", "")),
        ScriptCall("next", store.partitions[0], (NOW, 1, "token", "", 0, "")),
        enqueue_call(store, "0" * 15 + "3"),
        ScriptCall("show", store.partitions[0], ("maps", "0" * 15 + "9")),
    ]
    second, groups, handed_out, third, refused = await scripts.run_all(calls)
    assert groups[0][0] == b"maps"
    assert second == third == [NOW]
    assert handed_out[1][2] == b"0" * 15 + b"1"
    assert refused.word == "NOT_FOUND"
    assert await counts(store) == (3, 1)


class SlowWire:
    """A wire to a store that has no script and takes `takes_s` for each answer, which is less than a call may take."""

    timeout_s = 0.4

    def __init__(self, takes_s):
        self.sent = []
        self._takes_s = takes_s

    def call(self, *words):
        self.sent.append(words[0])
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        loop.call_later(self._takes_s, self._answer, reply, words[0])
        return reply

    def _answer(self, reply, word):
        if word == "EVALSHA" and not reply.done():
            reply.set_exception(NoScriptError())
        elif not reply.done():
            reply.set_result(b"image")


@pytest.mark.parametrize("backend", ["fake"])
async def test_loading_takes_no_longer_than_a_call(redis):
    """A script that must be loaded first is given up after the time of one call, not after one for each step."""
    wire = SlowWire(0.3)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await Scripts(topology_on(redis, ["p"], wire)).run("show", "p", "maps", "0" * 16)
    assert time.monotonic() - began < 0.55
    assert wire.sent == ["EVALSHA", "EVALSHA"]


@pytest.mark.parametrize("backend", ["fake"])
async def test_field_takes_half_of_a_call(redis):
    """What is looked up before a call leaves it time: it is given up after half of what a call may take."""
    assert await Scripts(topology_on(redis, ["p"], SlowWire(0.01))).field("p", "key", "image") == b"image"
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await Scripts(topology_on(redis, ["p"], SlowWire(0.3))).field("p", "key", "image")
    assert time.monotonic() - began < 0.29


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_every_script_loads_under_its_sha(redis):
    """The SHA that we count is the one that the server counts, for every script."""
    for script in SCRIPTS.values():
        assert (await redis.script_load(script.text)) in {script.sha, script.sha.encode()}


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_scripts_run_by_hand(store, backend, request, tmp_path):
    """`redis-cli --eval` runs the text that `titan lua` prints, with the slots of its header."""
    cli = shutil.which("redis-cli") or pytest.skip("redis-cli is not here: apt-get install redis-tools")
    socket = request.getfixturevalue(f"{backend}_url").removeprefix("unix://")

    def by_hand(verb, *arguments):
        path = tmp_path / f"{verb}.lua"
        path.write_text(SCRIPTS[verb].text, "utf-8")
        line = [cli, "-s", socket, "--eval", path, store.partitions[0], ",", *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=10, check=True).stdout.split("\n")

    job_id = "0" * 16
    run = ("maps", "1", "0", "0", "", job_id, SPEC)
    assert by_hand("enqueue", "", "", "", "", "", "", "1", "0", "0", "", *run)[0].isdigit()
    _, group, _, handed_out, place, text, *_ = by_hand("next", "", "1", "token", "", "0", "")
    assert (group, text.split(" ")[2], handed_out) == ("maps", SPEC, job_id)
    assert by_hand("touch", "", "0", "maps", "1", "2", job_id, f"token-{place}")[0].isdigit()
    assert by_hand("touch", "", "0", "maps", "1", "2", job_id, "stale")[0].startswith("LEASE_LOST 1 ")
    report = by_hand("finish", "", "", "maps", "succeeded", "1", "2", job_id, f"token-{place}")[0]
    assert report.split(" ")[3] == "succeeded"
    assert (await store.show("maps", job_id)).status == "succeeded"


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_refusals_are_counted_by_word(store, redis):
    """A lone refusal is an error of the store too, so that INFO errorstats counts it by its word."""
    before = (await redis.info("errorstats")).get("errorstat_NOT_FOUND", {"count": 0})["count"]
    with pytest.raises(Exception, match="There is no such job"):
        await store.cancel("maps", "0" * 16)
    assert (await redis.info("errorstats"))["errorstat_NOT_FOUND"]["count"] == before + 1
