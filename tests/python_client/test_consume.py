"""Consuming by the Python client: leases, reports, and how the loop ends."""

import gc
import logging
import math
import os
import signal
import threading
import time

import pytest

from titan import Client, Invalid, TooLarge
from titan.consuming import Leases

pytestmark = pytest.mark.slow


def test_a_block_reports_its_job(client: Client, group: str, caplog: pytest.LogCaptureFixture) -> None:
    """The end of a block is a success; an exception is a failure with its traceback as log, and the loop continues."""
    good, bad = client.enqueue_many(group, [{"image": "send", "payload": n} for n in (1, 0)])
    with client.consume(group) as jobs, caplog.at_level(logging.ERROR, "titan"):
        for delivery in jobs:
            with delivery as job:
                print(1 // job.json())
            if job.id == bad.id:
                jobs.stop()
    assert client.get(group, good.id).status == "succeeded"
    failed = client.get(group, bad.id)
    assert (failed.status, failed.reason) == ("failed", "exception")
    assert failed.error == "ZeroDivisionError: integer division or modulo by zero"
    assert client.log(group, bad.id).startswith("Traceback (most recent call last):\n")
    assert "print(1 // job.json())" in client.log(group, bad.id)
    assert f"job {bad.id} of {group} failed" in caplog.text


def test_a_block_may_report_earlier(client: Client, group: str) -> None:
    """What is reported inside the block stays; texts that cannot be sent are escaped, and long ones cut."""
    client.enqueue_many(group, [{"image": "send"}] * 2)
    with client.consume(group, images=["send"]) as jobs:
        with (first := next(jobs)) as job:
            first.fail("no_address", "\udc80" + "x" * 5000)
        assert not first.is_held
        failed = client.get(group, job.id)
        assert (failed.reason, failed.error) == ("no_address", "\\udc80" + "x" * 4090)
        with (second := next(jobs)) as job:
            second.release(delay=60)
        assert client.get(group, job.id).status == "delayed"


def test_a_result(client: Client, group: str) -> None:
    """What a job made is any JSON, shown with the job and not in lists."""
    for result in ({"pages": [1, 2.5, "ü"]}, 0, "", False, [], None):
        job = client.enqueue(group, image="send")
        with client.consume(group) as jobs, (delivery := next(jobs)):
            delivery.succeed(result)
        found = client.get(group, job.id)
        assert (found.status, found.result) == ("succeeded", result)
    assert [job.result for job in client.list(group)] == [None] * 6


def test_enqueue_and_wait(client: Client, group: str) -> None:
    """One call enqueues a job and answers with it when it is finished; its retry is waited for, too."""
    begun = time.monotonic()

    def consume() -> None:
        with client.consume(group) as jobs:
            for delivery in jobs:
                if delivery.job.payload == "fail" and not delivery.job.retry_of:
                    delivery.fail("bad_exit")
                else:
                    delivery.succeed({"of": delivery.job.payload})
                if delivery.job.payload == "last":
                    return

    thread = threading.Thread(target=consume)
    thread.start()
    done = client.enqueue_and_wait(group, image="send", payload="a", timeout_s=30)
    assert (done.status, done.result) == ("succeeded", {"of": "a"})
    failed = client.enqueue_and_wait(
        group, image="send", payload="fail", max_retries=1, retries_delay=0, timeout_s=30, follow_retries=False
    )
    assert failed.status == "failed"
    retried = client.enqueue_and_wait(group, image="send", payload="fail", max_retries=1, retries_delay=0, timeout_s=30)
    assert (retried.status, retried.result) == ("succeeded", {"of": "fail"})
    client.enqueue_and_wait(group, image="send", payload="last", timeout_s=30)
    thread.join(30)
    assert time.monotonic() - begun < 30
    with pytest.raises(TimeoutError):
        client.enqueue_and_wait(group, image="send", timeout_s=1)


def test_progress(client: Client, group: str) -> None:
    """How far a job is is shown while it runs; a job that was cancelled is no longer held."""
    job = client.enqueue(group, image="send")
    with client.consume(group) as jobs, (delivery := next(jobs)):
        assert client.get(group, job.id).progress is None
        delivery.progress(0)
        delivery.progress(40, "half of it")
        delivery.progress(note="the rest")
        found = client.get(group, job.id)
        assert (found.progress, found.note) == (40, "the rest")
        with pytest.raises(Invalid):
            delivery.progress(101)
        assert delivery.is_held
        client.cancel(group, job.id)
        delivery.progress(50)
        assert not delivery.is_held


@pytest.mark.parametrize(("result", "error"), [("x" * 16_383, TooLarge), ({1, 2}, TypeError), (math.nan, ValueError)])
def test_a_result_that_is_refused(client: Client, group: str, result: object, error: type[Exception]) -> None:
    """The job is still held, and may be reported without it; an exception that leaves the block fails the job."""
    first, second = client.enqueue_many(group, [{"image": "send"}] * 2)
    with client.consume(group) as jobs:
        with (delivery := next(jobs)):
            with pytest.raises(error):
                delivery.succeed(result)
            assert delivery.is_held
            delivery.succeed("smaller")
        with (delivery := next(jobs)):
            delivery.succeed(result)
    assert client.get(group, first.id).result == "smaller"
    failed = client.get(group, second.id)
    assert (failed.status, failed.reason, failed.error.partition(":")[0][-len(error.__name__) :]) == (
        "failed",
        "exception",
        error.__name__,
    )


def test_the_lease_is_renewed(client: Client, group: str) -> None:
    """A job that runs longer than its lease is delivered once."""
    client.enqueue(group, image="send")
    with client.consume(group, lease_s=1) as jobs, next(jobs) as job:
        time.sleep(3)
        assert client.get(group, job.id).status == "running"
    ended = client.get(group, job.id)
    assert (ended.status, ended.deliveries) == ("succeeded", 1)


def test_a_cancelled_job_is_no_longer_held(client: Client, group: str, caplog: pytest.LogCaptureFixture) -> None:
    """A delivery says that its job was cancelled; its report is dropped."""
    client.enqueue(group, image="send")
    with client.consume(group, lease_s=1) as jobs:
        delivery = next(jobs)
        with delivery as job:
            client.cancel(group, job.id)
            deadline = time.monotonic() + 20
            while delivery.is_held and time.monotonic() < deadline:
                time.sleep(0.05)
            assert "cancelled" in delivery.lost
    assert client.get(group, job.id).status == "cancelled"
    assert f"job {job.id} of {group} is no longer held" in caplog.text


def test_an_interrupt_gives_the_job_back(client: Client, group: str) -> None:
    """KeyboardInterrupt in a block releases the job, and those that were taken with it, and is raised."""
    made = client.enqueue_many(group, [{"image": "send"}] * 3)
    with pytest.raises(KeyboardInterrupt), client.consume(group, n=3) as jobs, next(jobs):
        raise KeyboardInterrupt
    assert [(job.id, job.status) for job in client.list(group)] == [(job.id, "queued") for job in made]


def test_a_signal_handler_stops_the_loop(client: Client, group: str) -> None:
    """`stop` ends a long poll at once; a job that comes later stays in its queue."""
    before = signal.signal(signal.SIGUSR1, lambda *_: jobs.stop())
    try:
        with client.consume(group, wait_s=30) as jobs:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            start = time.monotonic()
            assert list(jobs) == []
            assert time.monotonic() - start < 10
    finally:
        signal.signal(signal.SIGUSR1, before)
    job = client.enqueue(group, image="send")
    assert client.get(group, job.id).status == "queued"


def test_a_loop_that_was_left_renews_nothing(client: Client, group: str) -> None:
    """Jobs that were taken by a consumer that nobody has any more go back to their queue."""
    client.enqueue_many(group, [{"image": "send"}] * 2)
    for delivery in client.consume(group, n=2, lease_s=1):
        delivery.succeed()
        break
    gc.collect()
    with client.consume(group) as jobs, next(jobs) as job:
        assert job.deliveries == 2


def test_leases_end_their_thread(client: Client) -> None:
    """The thread of a consumer ends when it is closed and holds nothing."""
    leases = Leases(client._do, 1)
    leases.close()
    assert leases._thread is None
    before = threading.active_count()
    with client.consume("nothing") as jobs:
        jobs.stop()
    assert threading.active_count() == before


def test_one_image_may_be_a_text(client: Client, group: str) -> None:
    """The name of one image needs no list; a lease of 0 s is refused, and is not the default of the broker."""
    client.enqueue_many(group, [{"image": "other"}, {"image": "send"}])
    with client.consume(group, images="send") as jobs, next(jobs) as job:
        assert job.image == "send"
    with client.consume(group, lease_s=0) as jobs, pytest.raises(Invalid, match=r"^lease must be"):
        next(jobs)


@pytest.mark.parametrize(("names", "images"), [(("",), ()), (("mail", ""), ()), ((), ("",))])
def test_an_empty_name_is_not_every_name(client: Client, names: tuple[str, ...], images: tuple[str, ...]) -> None:
    """A group or image that is an empty text, as an unset variable gives it, is refused before anything is taken."""
    with pytest.raises(Invalid, match="is empty"):
        client.consume(*names, images=images)
