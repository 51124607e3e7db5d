"""Jobs with a retry policy at a worker: it reports what the run said of another try, and runs the job again."""

from pathlib import Path

from broker.models.jobs import NewJob
from broker.models.retries import Retry
from tests.conftest import eventually
from tests.stores import Store
from tests.worker.conftest import Work
from worker.client import Client

POLICY = Retry(delay=3600, jitter=0)


async def test_a_job_is_tried_until_it_succeeds(client: Client, work: Work, store: Store, tmp_path: Path) -> None:
    """A command that asks for another try at once gets it, as the same job."""
    script = f'[ -e {tmp_path}/ready ] && exit 0; touch {tmp_path}/ready; echo "Retry-After: 0"; exit 75'
    [job] = await client.enqueue("g", [NewJob(image="flaky", retry=POLICY)])
    worker = work(f"flaky=sh -c '{script}'")
    await worker.until("reported", job)
    await store.reap(10)
    await eventually(lambda: worker.count("reported") == 2)
    ended = await client.show("g", job.id)
    assert (ended.status, ended.attempts, ended.deliveries, ended.reason) == ("succeeded", 1, 2, "temporary")
    assert [one.exit_code for one in ended.receipts or []] == [75, 0]


async def test_wrong_data_ends_a_job(client: Client, work: Work) -> None:
    """A command that says that the payload is wrong is not run again."""
    [job] = await client.enqueue("g", [NewJob(image="wrong", retry=POLICY)])
    worker = work("wrong=sh -c 'exit 65'")
    await worker.until("reported", job)
    ended = await client.show("g", job.id)
    assert (ended.status, ended.attempts, ended.dead_at) == ("failed", 1, ended.completed_at)
