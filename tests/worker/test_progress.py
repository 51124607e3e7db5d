"""How far jobs are: what they say, and how the heartbeat sends it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from broker.core.errors import Invalid
from broker.models.reports import Held
from broker.models.results import Outcome, Problem
from tests.worker.conftest import Work, enqueue
from worker.client import Client
from worker.jobs.progress import JobProgress, Said, said_in, said_of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"40 half of it\n", Said(40, "half of it")),
        (b"40%\n", Said(40)),
        (b"40 % of it\n", Said(40, "of it")),
        (b"7.9 nearly", Said(7, "nearly")),
        (b"10 a\n20 b\n\n", Said(20, "b")),
        (b"reading\n", Said(None, "reading")),
        (b"400 pages", Said(100, "pages")),
        (b"4000 pages", Said(None, "4000 pages")),
        (b"3rd page", Said(None, "3rd page")),
        (b"50 " + b"x" * 300, Said(50, "x" * 255 + "\u2026")),
        (b"50 \xff", Said(50, "\ufffd")),
        (b"", None),
        (b" \n", None),
    ],
)
def test_a_line_of_a_file(text: bytes, said: Said | None) -> None:
    """The last line counts: a percent, a note, or both."""
    assert said_in(text) == said


@pytest.mark.parametrize(
    ("percent", "note", "said"),
    [
        (40, "half", Said(40, "half")),
        (-3, "", Said(0)),
        (1000.0, "", Said(100)),
        (float("nan"), "", Said()),
        ("40", 7, Said()),
        (None, "\udc80", Said(None, "\\udc80")),
    ],
)
def test_what_a_function_says(percent: Any, note: Any, said: Said) -> None:
    """A percent is brought within its bounds, and what is none is left out."""
    assert said_of(percent, note) == said


def test_only_what_is_new_is_sent() -> None:
    """What the broker has is not sent again; what it refuses is not sent any more."""
    progress = JobProgress()
    assert progress.unsent() == Said()
    progress.say(40, "half")
    progress.sent(progress.unsent())
    assert progress.unsent() == Said()
    progress.say(41, "half")
    assert progress.unsent() == Said(41, "half")
    progress.is_refused = True
    assert progress.unsent() == Said()


async def until_shown(client: Client, job_id: str) -> tuple[object, object]:
    """Percent and note of a job, once it has some."""
    async with asyncio.timeout(10):
        while True:
            job = await client.show("g", job_id)
            if job.progress or job.note:
                return job.progress, job.note
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("image", ["command", "halfway", "halfway_there"])
async def test_a_job_says_how_far_it_is(client: Client, work: Work, image: str) -> None:
    """A command by its file, a function by job.progress, in the event loop and in a process of the pool."""
    [job] = await enqueue(client, image, payload="20")
    script = "echo 10 begun >>$TITAN_PROGRESS; echo 40 half of it >>$TITAN_PROGRESS; sleep 20"
    work(f"command=sh -c '{script}'", app=("tests.worker.app",))
    assert await until_shown(client, job.id) == (40, "half of it")


async def test_a_broker_that_knows_no_progress(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older broker refuses the fields: the leases are renewed without them, at once."""
    touch_all = Client.touch_all
    sent: list[Held] = []

    async def refuses(self: Client, items: Sequence[Held]) -> list[Outcome]:
        sent.extend(items)
        if any(item.progress is not None for item in items):
            return [Outcome(id=item.id, error=Problem(message="", code=Invalid.word.lower())) for item in items]
        return await touch_all(self, items)

    monkeypatch.setattr(Client, "touch_all", refuses)
    [job] = await enqueue(client, "slow")
    worker = work("slow=sh -c 'echo 40 >$TITAN_PROGRESS; sleep 2.5'")
    await worker.until("reported", job)
    assert (await client.show("g", job.id)).status == "succeeded"
    assert [item.progress for item in sent if item.progress is not None] == [40]
    assert len(sent) > 3
