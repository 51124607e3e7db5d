"""`titan job show --raw`, on a real store that no broker serves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis import Redis

from broker.core.settings import BrokerSettings
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from broker.resp.client import connect
from tests.cli.live import Titan
from tests.stores import Store

Act = Callable[[Store], Coroutine[Any, Any, Job]]
PAYLOAD = "to: ann"


def store_with(url: str, prefix: str, act: Act) -> str:
    """Do something with a store under this prefix; the id of the job that it answers."""

    async def work() -> str:
        redis = connect(url, 5, 4)
        try:
            store = Store(redis, BrokerSettings(key_prefix=prefix))
            await store.open()
            return (await act(store)).id
        finally:
            await redis.aclose()

    return asyncio.run(work())


async def queued(store: Store) -> Job:
    """A queued job of priority 1."""
    return (await store.enqueue("mail", [NewJob(image="send", payload=PAYLOAD, priority=1)])).jobs[0]


async def running(store: Store) -> Job:
    """The same, running."""
    await queued(store)
    [job] = await store.next(1)
    return job


async def failed(store: Store) -> Job:
    """The same, failed."""
    job = await running(store)
    return await store.fail("mail", job.id, str(job.lease), "no_such_host", "the host is away")


async def cancelled(store: Store) -> Job:
    """The same, cancelled before it ran."""
    return await store.cancel("mail", (await queued(store)).id)


async def delayed(store: Store) -> Job:
    """A delayed job with a large payload."""
    return (await store.enqueue("mail", [NewJob(image="send", payload="x" * 5000, delay=60)])).jobs[0]


def values(titan: Titan, url: str, prefix: str, job_id: str) -> dict[str, Any]:
    """What --raw shows, by label."""
    shown = titan("job", "show", "--raw", "mail", job_id, "--redis-url", url, "--key-prefix", prefix, "--json")
    assert shown.code == 0, shown.err
    job = shown.json["job"]
    return {"status": job["status"]} | {value["label"]: value for value in job["values"]}


@pytest.mark.parametrize(
    ("act", "labels"),
    [
        (queued, {"record", "queued"}),
        (running, {"record", "execution", "running"}),
        (failed, {"record", "execution", "fields", "failed"}),
        (cancelled, {"record", "execution", "fields", "cancelled"}),
        (delayed, {"record", "fields", "delayed"}),
    ],
)
def test_show_raw_has_what_a_job_of_each_status_has(
    titan: Titan, valkey_url: str, group: str, act: Act, labels: set[str]
) -> None:
    """Only what exists is shown, and the set that the job is in is its status."""
    job_id = store_with(valkey_url, group, act)
    shown = values(titan, valkey_url, group, job_id)
    assert set(shown) == labels | {"status", "all jobs"}
    assert shown["status"] == act.__name__


@pytest.mark.parametrize("act", [queued, running, failed, cancelled, delayed])
def test_show_raw_commands_print_the_values(titan: Titan, valkey_url: str, group: str, act: Act) -> None:
    """Each command, sent to the store, returns the value that is printed below it."""
    shown = values(titan, valkey_url, group, store_with(valkey_url, group, act))
    with Redis.from_url(valkey_url, decode_responses=True) as client:
        for label in shown.keys() - {"status"}:
            answer = client.execute_command(*shown[label]["command"])
            if label == "fields":
                assert answer == shown[label]["meaning"]
            else:
                text = answer if isinstance(answer, str) else str(int(answer))
                assert text == shown[label]["value"], label


def test_show_raw_says_what_values_mean(titan: Titan, valkey_url: str, group: str) -> None:
    """Record and execution are parsed, times are readable, and a rank is priority and sequence."""
    shown = values(titan, valkey_url, group, store_with(valkey_url, group, running))
    record, execution = shown["record"]["meaning"], shown["execution"]["meaning"]
    assert record["group_name"] == "mail"
    assert record["settings"] == '{"priority":1}'
    assert record["payload"] == f"{len(PAYLOAD)} bytes"
    assert record["created_at"].endswith("Z")
    assert execution["deliveries"] == "1"
    assert execution["rank"] == "priority 1, sequence 1"
    assert execution["lease"].endswith("-" + str(2**51 + 1))
    assert shown["running"]["meaning"]["lease_ends_at"] > execution["started_at"]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2", {"deliveries": "2"}),
        ("t-5 1 1000 30 61000", {"lease_s": "30", "deadline": "1970-01-01T00:01:01.000Z"}),
        ("t-5 1 1000 start", {"started_by": "start", "rank": "priority 2, sequence 5"}),
        ("t-5 1 1000 30 61000 succeeded 2000", {"status": "succeeded", "completed_at": "1970-01-01T00:00:02.000Z"}),
        ("* 0 - cancelled 2000", {"status": "cancelled", "deliveries": "0", "lease": "*"}),
        ("no such thing as this", {}),
    ],
)
def test_show_raw_knows_each_form_of_an_execution(
    titan: Titan, valkey_url: str, group: str, text: str, meaning: dict[str, str]
) -> None:
    """Every form in lua/README.md is parsed; other text is shown as it is."""
    with Redis.from_url(valkey_url) as client:
        client.hset(keys.executions(keys.partition(group, 0)), "j", text)
    shown = values(titan, valkey_url, group, "j")
    assert shown["execution"]["value"] == text
    assert meaning.items() <= shown["execution"]["meaning"].items()
    assert meaning or not shown["execution"]["meaning"]


def test_show_raw_page(titan: Titan, valkey_url: str, group: str) -> None:
    """People see the command, the value and its parts; a control character of a payload does not reach the terminal."""

    async def act(store: Store) -> Job:
        return (await store.enqueue("mail", [NewJob(image="a\x1b[31m", payload=PAYLOAD)])).jobs[0]

    job_id = store_with(valkey_url, group, act)
    shown = titan("job", "show", "--raw", "mail", job_id, "--redis-url", valkey_url, "--key-prefix", group)
    assert f"record: HGET '{group}:{{0}}:jobs' {job_id}\n  value       mail " in shown.out
    assert "\n  rank   priority 0, sequence 1\n" in shown.out
    assert "\x1b" not in shown.out


def test_show_raw_unknown(titan: Titan, valkey_url: str, group: str) -> None:
    """A job of which nothing exists is one line on stderr and exit code 1."""
    shown = titan("job", "show", "--raw", "mail", "nope", "--redis-url", valkey_url, "--key-prefix", group)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "Error: The store has no such job in this group.\n"


def test_show_raw_other_partitions(titan: Titan, valkey_url: str, group: str) -> None:
    """With another number of partitions than the store has, the error names the right one."""
    job_id = store_with(valkey_url, group, queued)
    where = ("--redis-url", valkey_url, "--key-prefix", group, "--partitions", "7")
    shown = titan("job", "show", "--raw", "mail", job_id, *where)
    assert shown.code == 1
    assert "--partitions 1" in shown.err
