"""Where a container's image comes from: a registry, as the entry's `pull` says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.models.jobs import NewJob
from tests.worker.conftest import Work, read_log
from tests.worker.containers import Running
from tests.worker.podman import Podman
from tests.worker.registry import Registry, registry
from worker.client import Client
from worker.jobs.outcome import Failed, Succeeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("podman")]


@pytest.fixture
async def images() -> AsyncIterator[Registry]:
    """A registry with an image."""
    async with registry() as images:
        yield images


async def test_missing_pulls_once(containers: Running, images: Registry) -> None:
    """A missing image is pulled, with the progress in the log; after that the registry is not asked for it."""
    assert await containers.run(image=images.image, entry={"pull": "missing"}) == Succeeded()
    assert "[titan: pull " in await containers.text()
    assert (await containers.text()).endswith("first")
    images.asked.clear()
    images.put("second")
    assert await containers.run(image=images.image, entry={"pull": "missing"}) == Succeeded()
    assert await containers.text() == "first"
    assert images.asked == []


async def test_always_pulls_what_is_new(containers: Running, images: Registry) -> None:
    """The registry is asked for each job, and what it has by then is run."""
    for said in ("second", "third"):
        images.put(said)
        assert await containers.run(image=images.image, entry={"pull": "always"}) == Succeeded()
        assert (await containers.text()).endswith(said)


async def test_never_asks_nobody(containers: Running, images: Registry) -> None:
    """A missing image is a failure, although the registry has it."""
    outcome = await containers.run(image=images.image, entry={"pull": "never"})
    assert isinstance(outcome, Failed)
    assert (outcome.reason, images.asked) == ("not_started", [])
    assert images.image in outcome.error


async def test_an_image_that_the_registry_does_not_have(containers: Running, images: Registry) -> None:
    """The pull fails, and the error and the log say of what and why."""
    outcome = await containers.run(image=images.image.replace("box", "other"), entry={"pull": "always"})
    assert isinstance(outcome, Failed)
    assert outcome.reason == "not_started"
    assert "other:1" in outcome.error
    assert f"of {images.image.replace('box', 'other')} failed: " in await containers.text()
    assert "[titan: pull ]" not in await containers.text()


async def test_a_pull_that_takes_long_keeps_its_lease(
    client: Client, work: Work, engine: Podman, images: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an image is on its way the job's lease is touched, however short it is."""
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    (tmp_path / "worker.toml").write_text('[container."127.0.0.1:*"]\n')
    (job,) = await client.enqueue("g", [NewJob(image=images.image)])
    async with images.held_back():
        worker = work(config=str(tmp_path / "worker.toml"), lease_s=1)
        await worker.until("started", job)
        ends = {(await client.show("g", job.id)).expires_at}
        async with asyncio.timeout(20):
            while len(ends) < 6:
                ends.add((await client.show("g", job.id)).expires_at)
                await asyncio.sleep(0.05)
    await worker.until("logged", job)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.deliveries) == ("succeeded", 1)
    assert (await read_log(client, job)).endswith(b"first")
