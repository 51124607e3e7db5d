"""Bulk actions from their own page: which jobs, what is changed in the new ones, and a group without room."""

import re

from tests.browser.conftest import OpenTab, Running
from tests.browser.scene import Scene, call, enqueue, fail, read


async def test_begin_a_bulk_action_on_its_page(tab_of: OpenTab, scene: Scene) -> None:
    """Jobs that ended since a time are counted, changed in the dialog and put back; the page says what was changed."""
    fail(scene.url, "outage", "no user 1", "no user 2")
    tab = await tab_of(scene.url, "ui/bulk")
    await tab.page.get_by_role("button", name="New…").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Group").fill("outage")
    await dialog.get_by_label("Reason").fill("bad_exit")
    await dialog.get_by_label("Ended after").fill("2026-01-02T10:00")
    await dialog.get_by_role("button", name="Count them").click()
    await tab.page.get_by_text("2 jobs match now.").wait_for()
    dialog = tab.page.get_by_role("dialog")
    assert "completed after" in await dialog.inner_text()
    await dialog.get_by_text("Change the new jobs").click()
    await dialog.get_by_label("Timeout").fill("2m")
    await dialog.get_by_label("Priority").select_option("2")
    await dialog.get_by_label("Payload").fill("fixed")
    await tab.confirm("Retry 2 jobs")
    await tab.page.wait_for_url("**/ui/bulk/*")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    await tab.shows("payload fixed, timeout 120, priority 2")
    jobs = read(f"{scene.url}/v1/groups/outage/jobs?status=queued")["jobs"]
    assert [(job["payload"], job["timeout"], job["priority"]) for job in jobs] == [("fixed", 120, 2)] * 2


async def test_begin_a_bulk_action_of_ids(tab_of: OpenTab, scene: Scene) -> None:
    """Ids name exactly these jobs; the page says how many were named and how many of them were not there."""
    first, _, third = fail(scene.url, "named", "a", "b", "c")
    tab = await tab_of(scene.url, "ui/bulk")
    await tab.page.get_by_role("button", name="New…").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.locator("[name=action]").select_option("delete")
    await dialog.get_by_label("Group").fill("named")
    await dialog.get_by_label("Ids").fill(f"{first}, {third}\n{'0' * 16}")
    await dialog.get_by_role("button", name="Count them").click()
    await tab.page.get_by_text("2 jobs match now.").wait_for()
    await tab.confirm("Delete 2 jobs")
    await tab.page.wait_for_url("**/ui/bulk/*")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    await tab.shows("with 3 ids")
    await tab.shows("1 gone")
    assert read(f"{scene.url}/v1/groups/named")["group"]["counts"]["failed"] == 1


async def test_bulk_action_that_is_paused(tab_of: OpenTab, running: Running) -> None:
    """A bulk action of a group at its limit is shown as paused, with why, and it continues when there is room."""
    url = running.serve("--max-group-jobs", "2")
    fail(url, "full", "a", "b")
    fail(url, "full", "c")
    enqueue(url, {}, group="full")
    bulk = call(f"{url}/v1/groups/full/bulk", {"action": "retry"})["bulk"]
    tab = await tab_of(url, f"ui/bulk/{bulk['id']}")
    await tab.page.locator(".page-head .badge", has_text="paused").wait_for()
    await tab.shows("The group has 2 unfinished jobs, and may have 2.")
    await tab.has(1, tab.page.get_by_role("button", name=re.compile("^Stop")))
    for job in read(f"{url}/v1/groups/full/jobs?status=queued")["jobs"]:
        call(f"{url}/v1/groups/full/jobs/{job['id']}/cancel", {})
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
