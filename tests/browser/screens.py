"""The screens of the pages, each with an address of the scene and something that it shows."""

from typing import NamedTuple

from tests.browser.scene import Scene


class Screen(NamedTuple):
    """A screen: its address, and a word that it shows. `{failed}` in it is the id of a job with that status."""

    path: str
    shows: str

    def of(self, scene: Scene) -> str:
        """The address with the ids of a scene."""
        return self.path.format_map(scene.ids)

    @property
    def is_whole(self) -> bool:
        """Whether what it shows is there, so that it has no banner."""
        return "nothing" not in self.path and "0000" not in self.path


SCREENS = [
    Screen("ui/", "mail"),
    Screen("ui/?window=24h&only=paused", "reports"),
    Screen("ui/groups", "reports"),
    Screen("ui/groups/mail", "Next page"),
    Screen("ui/groups/mail?status=failed", "bad_exit"),
    Screen("ui/groups/mail?dead=1", "bad_exit"),
    Screen("ui/groups/docs", "doc-7"),
    Screen("ui/groups/docs/jobs/{held}", "As a list"),
    Screen("ui/groups/docs/jobs/{follower}", "Held by"),
    Screen("ui/groups/scans/batches", "2 of 4 ended"),
    Screen("ui/groups/scans/batches/{batch}", "At the first failure"),
    Screen("ui/groups/scans/batches/0000000000000000", "There is no such batch in this group."),
    Screen("ui/groups/mail/schedules", "30 7 * * 1-5"),
    Screen("ui/groups/mail/new-schedule", "exactly one of cron"),
    Screen("ui/groups/mail/schedules/digest/edit", "Show its times"),
    Screen("ui/groups/mail/schedules/digest", "Europe/Berlin"),
    Screen("ui/groups/nothing", "There is no such group yet."),
    Screen("ui/groups/mail/causes", "no such user #"),
    Screen("ui/groups/mail/why", "mail"),
    Screen("ui/groups/reports/settings", "Environment"),
    Screen("ui/groups/mail/enqueue", "Idempotency-Key"),
    Screen("ui/enqueue", "Idempotency-Key"),
    *[
        Screen(f"ui/groups/mail/jobs/{{{status}}}", status)
        for status in ("queued", "running", "succeeded", "failed", "cancelled", "delayed")
    ],
    Screen("ui/groups/mail/jobs/0000000000000000", "There is no such job."),
    Screen("ui/workers", "host-b"),
    Screen("ui/bulk", "promote"),
    Screen("ui/bulk/{bulk}", "would be touched"),
    Screen("ui/bulk/0000000000000000", "There is no such bulk action."),
    Screen("ui/settings", "Doctor"),
    Screen("ui/docs", "Idempotency-Key"),
    Screen("ui/find?q={failed}", "550 no such user"),
    Screen("ui/find?q=nothing-at-all", "Nothing has this id or name."),
    Screen("ui/login", "Token"),
    Screen("ui/no/such/page", "No such page"),
]
