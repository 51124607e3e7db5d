"""Calls about groups: settings, counts, statistics, causes of failures."""

from collections.abc import Mapping, Sequence

from broker.models.failures import MAX_FAILURE_LOOKS, Failures
from broker.models.groups import (
    Group,
    GroupChanges,
    GroupPatch,
    GroupSettings,
    GroupsWrapper,
    GroupWrapper,
)
from broker.models.lanes import KeyJobsWrapper
from broker.models.scale import Scale
from broker.models.stats import Stats, Window
from titan.calls import JSON, Request, group_path
from worker.api.fields import set_fields
from worker.http_session import HttpSession
from worker.responses import decode_answer


class GroupCalls(HttpSession):
    """Calls about groups: settings, counts, statistics, causes of failures."""

    async def groups(self, n: int = 50, cursor: str = "") -> tuple[list[Group], str]:
        """A page of the groups, and the cursor of the next page; "" is the end."""
        page = await self.get("/groups", GroupsWrapper, [("n", n), ("cursor", cursor)])
        return page.groups, page.cursor or ""

    async def group(self, name: str) -> Group:
        """One group: its settings and counts."""
        return (await self.get(group_path(name), GroupWrapper)).group

    async def stats(self, group: str = "", window: Window = "1h") -> Stats:
        """What happened to the jobs of a group, or of all groups, in the last hour or day."""
        path = f"{group_path(group)}/stats" if group else "/stats"
        return await self.get(path, Stats, [("window", window)])

    async def scale(self, groups: Sequence[str], goal: Mapping[str, int]) -> Scale:
        """How many workers some groups need. `goal`: the parameters of the call, such as per_worker."""
        pairs: list[tuple[str, str | int]] = [("group", group) for group in groups]
        pairs += goal.items()
        return await self.get("/scale", Scale, pairs)

    async def failures(self, group: str, looks: int = MAX_FAILURE_LOOKS) -> Failures:
        """The causes of the group's last failures."""
        return await self.get(f"{group_path(group)}/failures", Failures, [("looks", looks)])

    async def keys(self, group: str, n: int = 50) -> KeyJobsWrapper:
        """The keys of the group with the most jobs that are queued, run or are held, most first; and the other jobs."""
        return await self.get(f"{group_path(group)}/keys", KeyJobsWrapper, [("n", n)])

    async def configure(self, name: str, settings: GroupSettings) -> Group:
        """Replace the group's settings; what is not given gets its default."""
        request = Request("PUT", group_path(name), {"group": set_fields(settings)})
        return (await self.ask(request, GroupWrapper)).group

    async def group_tagged(self, name: str) -> tuple[Group, str]:
        """One group, and the tag of its settings for `adjust`."""
        answer = await self.answer(Request("GET", group_path(name)))
        return decode_answer(answer.body, GroupWrapper, answer.url).group, answer.headers.get("ETag") or ""

    async def delete_group(self, name: str) -> None:
        """Delete a group with its finished jobs. Raises WrongState; StoreUnavailable when a repeat continues."""
        await self.answer(Request("DELETE", group_path(name)))

    async def adjust(self, name: str, changes: GroupChanges, if_match: str = "") -> Group:
        """Change some settings of the group; the others keep their values. Raises Changed if it has another tag."""
        headers = JSON | ({"If-Match": if_match} if if_match else {})
        request = Request("PATCH", group_path(name), GroupPatch(changes), headers=headers)
        return (await self.ask(request, GroupWrapper)).group
