"""Calls about schedules."""

from urllib.parse import quote

import msgspec

from broker.models.jobs import Job, JobWrapper
from broker.models.schedules import (
    Backfilled,
    Fire,
    FiresWrapper,
    NewSchedule,
    Overlap,
    Schedule,
    SchedulesWrapper,
    ScheduleWrapper,
    TimesWrapper,
)
from titan.calls import JSON, Request, group_path
from worker.http_session import HttpSession


class ScheduleCalls(HttpSession):
    """Calls about schedules."""

    async def schedules(self, group: str, n: int = 50, cursor: str = "") -> tuple[list[Schedule], str]:
        """A page of the schedules of a group, and the cursor of the next page; "" is the end."""
        page = await self.get(f"{group_path(group)}/schedules", SchedulesWrapper, [("n", n), ("cursor", cursor)])
        return page.schedules, page.cursor or ""

    async def schedule(self, group: str, name: str) -> Schedule:
        """One schedule."""
        return (await self.get(_path(group, name), ScheduleWrapper)).schedule

    async def put_schedule(self, group: str, name: str, given: NewSchedule) -> Schedule:
        """Create a schedule, or replace it as a whole; the same one again changes nothing."""
        request = Request("PUT", _path(group, name), {"schedule": msgspec.to_builtins(given)})
        return (await self.ask(request, ScheduleWrapper)).schedule

    async def remove_schedule(self, group: str, name: str) -> None:
        """Remove a schedule; its jobs stay."""
        await self.answer(Request("DELETE", _path(group, name)))

    async def pause_schedule(self, group: str, name: str, note: str = "") -> Schedule:
        """Let its times pass without a job."""
        request = Request("POST", f"{_path(group, name)}/pause", {"note": note} if note else {})
        return (await self.ask(request, ScheduleWrapper)).schedule

    async def resume_schedule(self, group: str, name: str) -> Schedule:
        """End a pause."""
        return (await self.ask(Request("POST", f"{_path(group, name)}/resume", {}), ScheduleWrapper)).schedule

    async def run_schedule(self, group: str, name: str, overlap: Overlap | None = None, key: str = "") -> Job:
        """Make its job now. With a `key` the same call may be repeated."""
        headers = JSON | ({"Idempotency-Key": key} if key else {})
        body = {"overlap": overlap} if overlap else {}
        return (await self.ask(Request("POST", f"{_path(group, name)}/run", body, headers=headers), JobWrapper)).job

    async def backfill_schedule(
        self, group: str, name: str, first: str, last: str, overlap: Overlap | None = None
    ) -> int:
        """Make the jobs of the times from `first` to `last`, RFC 3339; how many that made."""
        body = {"from": first, "to": last} | ({"overlap": overlap} if overlap else {})
        return (await self.ask(Request("POST", f"{_path(group, name)}/backfill", body), Backfilled)).times

    async def schedule_times(self, group: str, name: str, n: int = 10, after: str = "") -> TimesWrapper:
        """Its next times after another, or after now, and its cron expressions in words."""
        query: list[tuple[str, str | int]] = [("n", n), *([("from", after)] if after else [])]
        return await self.get(f"{_path(group, name)}/next", TimesWrapper, query)

    async def schedule_fires(self, group: str, name: str, n: int = 50) -> list[Fire]:
        """What its last times came to, the newest first."""
        return (await self.get(f"{_path(group, name)}/fires", FiresWrapper, [("n", n)])).fires

    async def preview_schedule(self, given: NewSchedule, n: int = 10, after: str = "") -> TimesWrapper:
        """The next times of a schedule that is not stored, and its cron expressions in words."""
        target = f"/schedules/preview?n={n}" + (f"&from={quote(after, safe='')}" if after else "")
        return await self.ask(Request("POST", target, {"schedule": msgspec.to_builtins(given)}), TimesWrapper)


def _path(group: str, name: str) -> str:
    return f"{group_path(group)}/schedules/{quote(name, safe='')}"
