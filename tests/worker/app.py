"""Handlers of a Python app, as a team would write them."""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta

import titan
from broker.models.jobs import Job
from worker import Failed, Released, RunningJob, Succeeded, job


@job
async def quick(payload: str) -> None:
    """Nothing."""


@job("text/reversed")
async def reverse(payload: str) -> str:
    """A text for the log."""
    return payload[::-1]


@job
async def raises(payload: str) -> None:
    """A fault."""
    raise ValueError(f"no {payload}")


@job
async def times_out(payload: str) -> None:
    """A fault of its own, which is not the job's timeout."""
    raise TimeoutError("mine")


@job
async def chooses(payload: str, job: Job) -> Succeeded | Failed | Released:
    """An outcome."""
    return {"ok": Succeeded(), "bad": Failed("no_host", f"of {job.id}"), "later": Released(3600)}[payload]


@job("fails/here")
async def fails_here(payload: str) -> None:
    """A failure as the function wants it."""
    _fail(payload)


@job("fails/there")
def fails_there(payload: str) -> None:
    """The same in a process of the pool."""
    _fail(payload)


def _fail(payload: str) -> None:
    if payload == "fail":
        raise titan.Fail("bad_input", "no such address", retry=False)
    if payload == "retry":
        raise titan.Retry("busy", after=timedelta(seconds=1.5))
    raise titan.Retry(after=float(payload))


@job("waits/here")
async def waits_here(payload: str, job: RunningJob) -> list[str]:
    """A job that waits for the jobs that its payload names, and then counts how they ended."""
    return _waits(payload, job)


@job("waits/there")
def waits_there(payload: str, job: RunningJob) -> list[str]:
    """The same in a process of the pool."""
    return _waits(payload, job)


def _waits(payload: str, job: RunningJob) -> list[str]:
    if job.inputs:
        return [one["status"] for one in job.inputs]
    raise titan.WaitFor([job.id if word == "itself" else word for word in payload.split()])


@job
async def pages(payload: str) -> dict[str, str]:
    """A result."""
    return {"pages": "x" * int(payload)}


@job
def pages_there(payload: str) -> dict[str, str]:
    """A result of another process."""
    return {"pages": "x" * int(payload)}


@job
async def halfway(payload: str, job: RunningJob) -> None:
    """Half of the work."""
    job.progress(40, "half of it")
    await asyncio.sleep(float(payload))


@job
def halfway_there(payload: str, job: RunningJob) -> None:
    """Half of the work, in another process."""
    job.progress(12.7, "first\nthings")
    job.progress(40, "half of it")
    time.sleep(float(payload))


@job
async def hangs(payload: str) -> None:
    """Too long."""
    await asyncio.sleep(60)


@job
def prints(payload: str, job: Job) -> str:
    """Both streams, the environment, and a text."""
    print(payload, os.environ["TITAN_JOB_ID"] == job.id, os.environ["COLOUR"], flush=True)
    print("err", file=sys.stderr, flush=True)
    return f"{os.getpid()}\n"


@job
def number(payload: str) -> str:
    """Which process."""
    time.sleep(float(payload or 0))
    return f"{os.getpid()} {'COLOUR' in os.environ} {'TITAN_JOB_ID' in os.environ}"


@job
def raises_there(payload: str) -> None:
    """A fault."""
    raise KeyError(payload)


@job
def leaves(payload: str) -> None:
    """An exit."""
    sys.exit(int(payload))


@job
def dies(payload: str) -> None:
    """The end of the process."""
    if payload == "exit":
        os._exit(0)
    os.kill(os.getpid(), signal.Signals[payload])


@job
def later(payload: str) -> Released:
    """An outcome."""
    return Released(int(payload))


@job
def stuck(payload: str) -> None:
    """Too long, deaf to TERM, with a child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child:
        print(os.getpid(), child, flush=True)
    while True:
        time.sleep(1)


@job
async def counts(payload: str, job: Job) -> dict[str, object]:
    """What its batch is."""
    return _batch_of(job)


@job
def counts_there(payload: str, job: Job) -> dict[str, object]:
    """The same in a process of the pool."""
    return _batch_of(job)


def _batch_of(job: Job) -> dict[str, object]:
    batch = job.batch
    assert batch
    return {"callback": batch.callback, "over": batch.counts.over if batch.counts else 0}
