"""Calls about groups: settings, counts, statistics, causes of failures."""

from broker.models.failures import MAX_FAILURE_LOOKS, Failures
from broker.models.groups import (
    Group,
    GroupChanges,
    GroupPatch,
    GroupSettings,
    GroupsWrapper,
    GroupWrapper,
)
from broker.models.stats import Stats, Window
from titan.calls import group_path
from worker.api.fields import set_fields
from worker.http_session import HttpSession


class GroupCalls(HttpSession):
    """Calls about groups: settings, counts, statistics, causes of failures."""

    async def groups(self, n: int = 50, cursor: str = "") -> tuple[list[Group], str]:
        """A page of the groups, and the cursor of the next page; "" is the end."""
        page = await self.request_json("GET", "/groups", GroupsWrapper, query=[("n", n), ("cursor", cursor)])
        return page.groups, page.cursor or ""

    async def group(self, name: str) -> Group:
        """One group: its settings and counts."""
        return (await self.request_json("GET", group_path(name), GroupWrapper)).group

    async def stats(self, group: str = "", window: Window = "1h") -> Stats:
        """What happened to the jobs of a group, or of all groups, in the last hour or day."""
        path = f"{group_path(group)}/stats" if group else "/stats"
        return await self.request_json("GET", path, Stats, query=[("window", window)])

    async def failures(self, group: str, looks: int = MAX_FAILURE_LOOKS) -> Failures:
        """The causes of the group's last failures."""
        return await self.request_json("GET", f"{group_path(group)}/failures", Failures, query=[("looks", looks)])

    async def configure(self, name: str, settings: GroupSettings) -> Group:
        """Replace the group's settings; what is not given gets its default."""
        body = {"group": set_fields(settings)}
        return (await self.request_json("PUT", group_path(name), GroupWrapper, body)).group

    async def group_tagged(self, name: str) -> tuple[Group, str]:
        """One group, and the tag of its settings for `adjust`."""
        answer, tag = await self.request_tagged("GET", group_path(name), GroupWrapper)
        return answer.group, tag

    async def delete_group(self, name: str) -> None:
        """Delete a group with its finished jobs. Raises WrongState; StoreUnavailable when a repeat continues."""
        await self.request_headers("DELETE", group_path(name))

    async def adjust(self, name: str, changes: GroupChanges, if_match: str = "") -> Group:
        """Change some settings of the group; the others keep their values. Raises Changed if it has another tag."""
        body = GroupPatch(changes)
        return (await self.request_tagged("PATCH", group_path(name), GroupWrapper, body, if_match))[0].group
