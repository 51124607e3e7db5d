"""How outcomes and logs reach the broker, and what happens when they do not."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from broker.core.errors import Invalid, StoreUnavailable, TooLarge
from broker.models.jobs import Job
from broker.models.reports import Finish, Held
from broker.models.results import Outcome, Problem
from tests.worker.conftest import Work, enqueue, read_log
from titan.errors import BrokerUnavailable
from worker.client import Client
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.daemon.loops.report import FinishLoop
from worker.daemon.loops.upload_logs import LogUploads
from worker.jobs.outcome import Released
from worker.jobs.output import Output
from worker.runners.process import ProcessRunner
from worker.table.entries import ProcessEntry


async def test_outcomes_that_come_together_go_together(
    client: Client, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one report is on its way the next ones gather, and leave in one call."""
    sizes: list[int] = []
    gathered = asyncio.Event()
    finish = Client.finish

    async def watched(self: Client, items: list[Finish]) -> object:
        sizes.append(len(items))
        if len(sizes) == 1:
            await gathered.wait()
        return await finish(self, items)

    monkeypatch.setattr(Client, "finish", watched)
    jobs = await enqueue(client, *["quick"] * 6)
    worker = work("quick=true", concurrency=6)
    await worker.until("ended", *jobs)
    gathered.set()
    await worker.until("reported", *jobs)
    assert sum(sizes) == 6
    assert len(sizes) <= 3


async def test_a_lost_answer_to_a_report(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report whose answer was lost is sent again, and is none the worse for having arrived the first time."""
    finish = Client.finish
    lost: list[object] = []

    async def loses_the_first(self: Client, items: list[Finish]) -> object:
        answers = await finish(self, items)
        if not lost:
            lost.append(items)
            raise BrokerUnavailable
        return answers

    monkeypatch.setattr(Client, "finish", loses_the_first)
    (job,) = await enqueue(client, "quick")
    worker = work("quick=true")
    await worker.until("reported", job)
    assert lost
    assert (await client.show("g", job.id)).status == "succeeded"


async def test_a_log_that_is_refused_fails_nothing(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that the broker does not take is given up; the job stays what it was."""

    async def refuses(*_: object) -> None:
        raise TooLarge

    monkeypatch.setattr(Client, "log", refuses)
    (job,) = await enqueue(client, "hello", payload="x")
    worker = work("hello=cat")
    await worker.until("reported", job)
    assert await worker.end() == 0
    assert (await client.show("g", job.id)).status == "succeeded"


async def test_an_item_that_the_store_could_not_answer(
    client: Client, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item of a bulk answer that may pass later is sent again, the others are not."""
    finish = Client.finish
    sent: list[Sequence[Finish]] = []

    async def answers(self: Client, items: Sequence[Finish]) -> list[Outcome]:
        sent.append(items)
        if len(sent) == 1:
            problem = Problem(message="away", code=StoreUnavailable.word.lower())
            return [Outcome(id=item.id, error=problem) for item in items]
        return await finish(self, items)

    monkeypatch.setattr(Client, "finish", answers)
    monkeypatch.setattr("worker.daemon.loops.report._AGAIN_S", 0.01)
    (job,) = await enqueue(client, "quick")
    worker = work("quick=true")
    await worker.until("reported", job)
    assert [len(items) for items in sent] == [1, 1]


async def test_an_outcome_that_is_refused(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a job that was cancelled meanwhile changes nothing; the log of its only run is kept."""
    run = ProcessRunner.run

    async def runs(self: ProcessRunner, entry: ProcessEntry, job: Job, log: Output) -> Any:
        outcome = await run(self, entry, job, log)
        await client.cancel("g", job.id)
        return outcome

    monkeypatch.setattr(ProcessRunner, "run", runs)
    (job,) = await enqueue(client, "hello", payload="said\n")
    worker = work("hello=cat", lease_s=30)
    await worker.until("refused", job)
    await worker.until("logged", job)
    assert (await client.show("g", job.id)).status == "cancelled"
    assert await read_log(client, job) == b"said\n"
    assert await worker.end() == 0


async def test_a_report_that_nobody_will_take(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lasting refusal the report is given up: the job is requeued when its lease ends; the exit code is 1."""

    async def refuses(*_: object) -> None:
        raise Invalid

    monkeypatch.setattr(Client, "finish", refuses)
    (job,) = await enqueue(client, "quick")
    worker = work("quick=true")
    await worker.until("refused", job)
    assert await worker.end() == 1
    assert (await client.show("g", job.id)).status == "running"


@pytest.mark.parametrize("is_whole_call", [True, False])
async def test_an_outcome_that_the_broker_will_never_take(
    client: Client, work: Work, monkeypatch: pytest.MonkeyPatch, is_whole_call: bool
) -> None:
    """The job is failed with the broker's sentence after one run; a job that was reported with it is none the worse."""
    finish = Client.finish
    odd, good = await enqueue(client, "odd", "good")

    def is_odd(item: Finish) -> bool:
        return item.id == odd.id and item.status == "succeeded"

    async def refuses(self: Client, items: Sequence[Finish]) -> list[Outcome]:
        if is_whole_call and any(map(is_odd, items)):
            raise Invalid("Too odd.")
        problem = Problem(message="Too odd.", code=Invalid.word.lower())
        fine = [item for item in items if not is_odd(item)]
        answers = {answer.id: answer for answer in (await finish(self, fine) if fine else ())}
        return [answers.get(item.id, Outcome(id=item.id, error=problem)) for item in items]

    monkeypatch.setattr(Client, "finish", refuses)
    worker = work("odd=true", "good=true", concurrency=2)
    await worker.until("reported", odd, good)
    assert await worker.end() == 0
    shown = await client.show("g", odd.id)
    assert (shown.status, shown.reason, shown.deliveries) == ("failed", "invalid_outcome", 1)
    assert shown.error == "the broker refused its outcome: Too odd."
    assert (await client.show("g", good.id)).status == "succeeded"


async def test_a_release_that_the_broker_will_never_take(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is failed: if its lease just ended, it would run again."""

    async def refuses(*_: object, **__: object) -> None:
        raise Invalid("Too long.")

    monkeypatch.setattr(Client, "release", refuses)
    (job,) = await enqueue(client, "unknown")
    (taken,) = await client.next(1, lease_s=30)
    assert taken.id == job.id
    run, events = Delivery(taken, Output(0), 30), list[Event]()
    uploads = LogUploads(client, events.append)
    runs = Deliveries(1)
    finish = FinishLoop(client, runs, uploads, events.append, "w1")
    runs.started(run)
    runs.ended(run)
    finish.put(run, Released(5))
    reporting = asyncio.create_task(finish.run())
    async with asyncio.timeout(10):
        await runs.wait_until_reported()
    reporting.cancel()
    shown = await client.show("g", job.id)
    assert (shown.status, shown.reason) == ("failed", "invalid_outcome")
    assert shown.error == "the broker refused its outcome: Too long."


async def test_the_log_of_an_earlier_run_replaces_no_later_one(client: Client) -> None:
    """A run that was released, or that waited, is not counted: the next one has the same number, and its log stays."""
    await enqueue(client, "hello")
    (first,) = (second,) = await client.next(1, lease_s=30)
    while second.started_at == first.started_at:
        await client.release("g", second.id, second.lease)
        (second,) = await client.next(1, lease_s=30)
    assert second.deliveries == first.deliveries
    await client.succeed("g", second.id, second.lease)
    uploads = LogUploads(client, lambda _: None)
    for taken, text in ((second, b"later"), (first, b"earlier")):
        output = Output(100)
        output.write(text)
        uploads.put_if_last_delivery(Delivery(taken, output, 30))
        await uploads.wait_until_sent()
    assert await read_log(client, second) == b"later"


async def test_a_touch_that_fails_is_tried_again_soon(
    client: Client, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A touch that did not get through kills nothing, and the next one comes within a third of the lease."""
    touch_all = Client.touch_all
    tries: list[float] = []
    touched = asyncio.Event()

    async def fails_first(self: Client, items: Sequence[Held]) -> list[Outcome]:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            raise BrokerUnavailable
        if len(tries) == 2:
            problem = Problem(message="away", code=StoreUnavailable.word.lower())
            return [Outcome(id=item.id, error=problem) for item in items]
        touched.set()
        return await touch_all(self, items)

    monkeypatch.setattr(Client, "touch_all", fails_first)
    (job,) = await enqueue(client, "hang")
    worker = work("hang=sleep 60", lease_s=1)
    await worker.until("started", job)
    async with asyncio.timeout(5):
        await touched.wait()
    assert worker.count("dropped") == 0
    assert (await client.show("g", job.id)).status == "running"
