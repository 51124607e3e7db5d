"""Running containers in tests."""

from typing import Any

from broker.models.jobs import Job
from tests.worker.podman import IMAGE
from worker.jobs.outcome import Failed, Outcome, Succeeded
from worker.jobs.output import Output
from worker.runners.container import ContainerRunner
from worker.runners.engine import Engine
from worker.table.entries import ContainerEntry


class Running:
    """A container runner, and the logs of what it ran."""

    def __init__(self, address: str, **options: Any) -> None:
        self.runner = ContainerRunner(Engine(address), **({"kill_after_s": 1, "give_back_s": 30} | options))
        self.logs: list[Output] = []
        self.usage: object = None
        self.result, self.note = b"", ""

    async def run(self, *command: str, image: str = IMAGE, entry: Any = None, **fields: Any) -> Outcome:
        """Run one job; its outcome apart from what it used."""
        given = {"id": "0" * 16, "group_name": "g", "status": "running", "created_at": "2026-11-23T00:00:00.000Z"}
        self.logs.append(Output(1 << 20))
        container = ContainerEntry(command=command, **({"pull": "never"} | (entry or {})))
        outcome = await self.runner.run(container, Job(image=image, **(given | fields)), self.logs[-1])
        if isinstance(outcome, Succeeded):
            self.result, self.note = outcome.result, outcome.note
            return Succeeded()
        return Failed(outcome.reason, outcome.error) if isinstance(outcome, Failed) else outcome

    async def sh(self, script: str, **options: Any) -> Outcome:
        """Run a shell script."""
        return await self.run("/bin/sh", "-c", script, **options)

    async def text(self) -> str:
        """What the last job's log has."""
        return b"".join([piece async for piece in self.logs[-1].pieces()]).decode()
