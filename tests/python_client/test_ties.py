"""Jobs that wait for others, and unique keys, by the Python client."""

from typing import Any

import pytest

from titan import AsyncClient, Client, Duplicate, Invalid, NewJob

pytestmark = pytest.mark.slow


def test_a_job_waits_for_others(client: Client, group: str) -> None:
    """`after` takes jobs, ids and refs of the call; the answer says for how many jobs it waits."""
    pull, thumb = client.enqueue_many(group, [NewJob("x", ref="pull"), {"image": "x", "after": ["pull"]}])
    assert (thumb.status, thumb.after, thumb.after_on, thumb.waits_for) == ("delayed", [pull.id], "", {"jobs": 1})
    assert (pull.after, pull.waits_for) == ((), {})
    publish = client.enqueue(group, image="x", after=[pull, thumb.id], after_on="over")
    assert (publish.after, publish.after_on, publish.waits_for) == ([pull.id, thumb.id], "over", {"jobs": 2})
    assert client.enqueue(group, image="x", after=pull).after == [pull.id]
    client.cancel(group, pull.id)
    assert client.wait(group, thumb.id, timeout_s=10).reason == "dependency"


def test_wrong_ties(client: Client, group: str) -> None:
    """A job that does not exist is refused by the broker; what is no id is an error before any call."""
    with pytest.raises(Invalid) as unknown:
        client.enqueue(group, image="x", after="0" * 16)
    assert unknown.value.fields == "jobs[0].after[0]"
    wrong: Any = [7]
    with pytest.raises(TypeError, match="not 7"):
        client.enqueue(group, image="x", after=wrong)
    with pytest.raises(Invalid, match="no Unicode text"):
        client.enqueue(group, image="x", unique="\ud800")


def test_a_unique_key(client: Client, group: str) -> None:
    """A second job with the key is the first one, marked as a duplicate; or it is refused."""
    first = client.enqueue(group, image="x", unique="doc-7")
    assert (first.unique, first.duplicate) == ({"key": "doc-7"}, False)
    second = client.enqueue(group, image="x", unique={"key": "doc-7"})
    assert (second.id, second.duplicate) == (first.id, True)
    with pytest.raises(Duplicate, match=first.id):
        client.enqueue(group, image="x", unique={"key": "doc-7", "on_conflict": "refuse"})


def test_a_job_key(client: Client, group: str) -> None:
    """`job_key` of enqueue, and `key` of a NewJob, say what the job belongs to."""
    first = client.enqueue(group, image="x", job_key="acme")
    [second] = client.enqueue_many(group, [NewJob("x", key="acme")])
    assert (first.key, second.key, second.waits_for, client.enqueue(group, image="x").key) == ("acme", "acme", {}, "")


async def test_the_same_with_asyncio(broker: str, group: str) -> None:
    """`AsyncClient` does the same."""
    async with AsyncClient(broker) as other:
        first = await other.enqueue(group, image="x", unique="doc-7", job_key="acme")
        assert first.key == "acme"
        behind = await other.enqueue(group, image="x", after=[first], after_on="over")
        assert (behind.after, behind.after_on) == ([first.id], "over")
        with pytest.raises(Duplicate):
            await other.enqueue(group, image="x", unique={"key": "doc-7", "on_conflict": "refuse"})
