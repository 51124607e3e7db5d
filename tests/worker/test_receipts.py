"""What a worker's runs leave behind at their jobs."""

import resource
import sys
from pathlib import Path

from tests.worker.conftest import Work, enqueue
from worker.client import Client


async def test_receipts_tell_how_a_run_went(client: Client, work: Work) -> None:
    """The job shows exit code or signal, times, memory and the size of the log."""
    good, bad, killed = await enqueue(client, "good", "bad", "killed", timeout=30)
    size_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (200 << 20)
    burn = f"x = bytearray({size_bytes}); sum(range(3_000_000)); print(12345)"
    worker = work(f"good={sys.executable} -c '{burn}'", "bad=sh -c 'exit 7'", "killed=sh -c 'kill -9 $$'", name="w1")
    await worker.until("reported", good, bad, killed)
    [receipt] = (await client.show("g", good.id)).receipts or []
    assert (receipt.worker, receipt.delivery, receipt.outcome, receipt.exit_code) == ("w1", 1, "succeeded", 0)
    assert receipt.host
    assert receipt.log_bytes == 6
    assert receipt.run_ms > 0
    assert (receipt.max_rss_bytes or 0) > size_bytes
    assert 0 < (receipt.cpu_ms or 0) < 30_000
    [receipt] = (await client.show("g", bad.id)).receipts or []
    assert (receipt.outcome, receipt.exit_code) == ("failed", 7)
    [receipt] = (await client.show("g", killed.id)).receipts or []
    assert (receipt.outcome, receipt.signal) == ("failed", "SIGKILL")


async def test_each_run_has_a_receipt(client: Client, work: Work, tmp_path: Path) -> None:
    """A command that cannot start, an address that does not exist and short functions leave one too."""
    (tmp_path / "worker.toml").write_text('[http."http://127.0.0.1:1/"]\n')
    images = ("missing", "http://127.0.0.1:1/", "raises", "raises_there", "quick", "number")
    jobs = await enqueue(client, *images)
    worker = work("missing=/nowhere", app=("tests.worker.app",), config=str(tmp_path / "worker.toml"), name="w1")
    await worker.until("reported", *jobs)
    shown = [await client.show("g", job.id) for job in jobs]
    assert [job.reason or "" for job in shown] == ["not_started", "http_error", "exception", "exception", "", ""]
    receipts = [receipt for job in shown for receipt in job.receipts or []]
    assert [(receipt.worker, receipt.delivery) for receipt in receipts] == [("w1", 1)] * len(jobs)
    assert [receipt.outcome for receipt in receipts] == ["failed"] * 4 + ["succeeded"] * 2


async def test_a_job_that_is_given_back_has_a_receipt(client: Client, work: Work) -> None:
    """A run that a stop cut short leaves a receipt too."""
    (job,) = await enqueue(client, "hang")
    worker = work("hang=sleep 60", grace_s=0.1)
    await worker.until("started", job)
    assert await worker.end() == 0
    [receipt] = (await client.show("g", job.id)).receipts or []
    assert receipt.outcome == "released"
