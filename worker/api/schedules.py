"""Calls about schedules."""

from urllib.parse import quote

from broker.models.jobs import Job, JobWrapper
from broker.models.schedules import (
    Backfill,
    Backfilled,
    Fire,
    FiresWrapper,
    NewSchedule,
    Overlap,
    PauseSchedule,
    RunSchedule,
    Schedule,
    SchedulePut,
    SchedulesWrapper,
    ScheduleWrapper,
    TimesWrapper,
    Upcoming,
)
from titan.calls import JSON, Request, group_path
from worker.http_session import HttpSession


def _path(group: str, name: str, verb: str = "") -> str:
    return f"{group_path(group)}/schedules/{quote(name, safe='')}{verb}"


class ScheduleCalls(HttpSession):
    """Calls about schedules."""

    async def put_schedule(self, group: str, name: str, spec: NewSchedule, revision: int | None = None) -> Schedule:
        """Create or replace a schedule; with a revision only that one. Raises Changed."""
        headers = JSON if revision is None else {**JSON, "If-Match": str(revision)}
        request = Request("PUT", _path(group, name), SchedulePut(spec), headers=headers)
        return (await self.ask(request, ScheduleWrapper)).schedule

    async def schedule(self, group: str, name: str) -> Schedule:
        """One schedule."""
        return (await self.get(_path(group, name), ScheduleWrapper)).schedule

    async def schedules(self, group: str, n: int = 50, cursor: str = "") -> SchedulesWrapper:
        """A page of the schedules of a group, by name."""
        return await self.get(f"{group_path(group)}/schedules", SchedulesWrapper, [("n", n), ("cursor", cursor)])

    async def remove_schedule(self, group: str, name: str) -> None:
        """Remove a schedule."""
        await self.answer(Request("DELETE", _path(group, name)))

    async def next_times(self, group: str, name: str, n: int = 10, after: str = "") -> list[Upcoming]:
        """The next times, after this one or now."""
        return (await self.get(_path(group, name, "/next"), TimesWrapper, [("n", n), ("from", after)])).times

    async def fires(self, group: str, name: str, n: int = 50) -> list[Fire]:
        """What the last times came to, the newest first."""
        return (await self.get(_path(group, name, "/fires"), FiresWrapper, [("n", n)])).fires

    async def pause_schedule(self, group: str, name: str, note: str = "") -> Schedule:
        """Pause a schedule."""
        request = Request("POST", _path(group, name, "/pause"), PauseSchedule(note or None))
        return (await self.ask(request, ScheduleWrapper)).schedule

    async def resume_schedule(self, group: str, name: str) -> Schedule:
        """Resume a schedule."""
        return (await self.ask(Request("POST", _path(group, name, "/resume")), ScheduleWrapper)).schedule

    async def run_schedule(self, group: str, name: str, overlap: Overlap | None = None) -> Job:
        """Make the job of a schedule now. Raises WrongState while another one has not ended."""
        return (await self.ask(Request("POST", _path(group, name, "/run"), RunSchedule(overlap)), JobWrapper)).job

    async def backfill_schedule(self, group: str, name: str, span: Backfill) -> int:
        """Make the jobs of times that have passed; how many."""
        return (await self.ask(Request("POST", _path(group, name, "/backfill"), span), Backfilled)).times
