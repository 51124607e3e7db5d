"""What each button does, pressed in the page and looked up in the API: jobs, bulk actions, groups, workers, forms."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser.conftest import OpenTab, Tab
from tests.browser.scene import Scene, call, enqueue, fail, read, take, until


def status_of(scene: Scene, group: str, job: str) -> str:
    """The status of a job."""
    return str(read(f"{scene.url}/v1/groups/{group}/jobs/{job}")["job"]["status"])


def left_in(scene: Scene, group: str) -> dict[str, int]:
    """The counts of a group that are not 0."""
    return {word: n for word, n in read(f"{scene.url}/v1/groups/{group}")["group"]["counts"].items() if n}


async def press(tab: Tab, name: str) -> Any:
    """Press the button or link with this name; the dialog, if there is one."""
    await tab.page.get_by_role("button", name=name, exact=True).click()
    return tab.page.get_by_role("dialog")


async def test_enqueue_by_the_form(tab_of: OpenTab, scene: Scene) -> None:
    """The form says whether the payload is JSON, shows the same as curl, makes a job and opens its page."""
    tab = await tab_of(scene.url, "ui/groups/forms/enqueue")
    await tab.page.get_by_label("Image").fill("hello")
    await tab.page.get_by_label("Payload").fill('{"to": ')
    await tab.shows("Not valid JSON")
    await tab.page.get_by_label("Payload").fill('{"to": "ann"}')
    await tab.shows("Valid JSON ✓")
    await press(tab, "As curl")
    await tab.shows("curl -s ")
    await press(tab, "Enqueue")
    await tab.page.wait_for_url("**/ui/groups/forms/jobs/*")
    await tab.page.get_by_text('"ann"').wait_for()
    job = tab.page.url.rpartition("/")[2]
    await tab.page.get_by_role("link", name="Copy…").click()
    await tab.shows("A copy, to edit")
    assert await tab.page.get_by_label("Payload").input_value() == '{"to": "ann"}'
    await tab.page.fill("[name=count]", "2")
    await press(tab, "Enqueue")
    await tab.page.wait_for_url("**/ui/groups/forms")
    jobs = read(f"{scene.url}/v1/groups/forms/jobs")["jobs"]
    assert [(one["image"], one["payload"]) for one in jobs] == [("hello", '{"to": "ann"}')] * 3
    assert job in {one["id"] for one in jobs}


async def test_enqueue_with_deadlines(tab_of: OpenTab, scene: Scene) -> None:
    """Spans and times of the form are those of the job, whose page counts them down; a copy has no deadlines."""
    tab = await tab_of(scene.url, "ui/groups/times/enqueue", timezone_id="Asia/Tokyo")
    await tab.page.get_by_label("Image").fill("otp")
    await tab.page.locator("[name=start_within]").fill("2m")
    at = (datetime.now(UTC) + timedelta(days=2)).replace(second=0, microsecond=0)
    await tab.page.get_by_label("Run at").fill(f"{at + timedelta(hours=9):%Y-%m-%dT%H:%M}")
    await tab.page.get_by_label("End before").fill("2126-01-31T22:00")
    await press(tab, "As curl")
    await tab.shows(
        f'"start_within":120,"run_at":"{at:%Y-%m-%dT%H:%M}:00.000Z","end_before":"2126-01-31T13:00:00.000Z"'
    )
    await press(tab, "Enqueue")
    await tab.page.wait_for_url("**/ui/groups/times/jobs/*")
    await (
        tab.page.locator("dl.facts div", has_text="Must start")
        .get_by_text(re.compile(r"in (2 m|1 m \d+ s)$"))
        .wait_for()
    )
    await tab.page.locator("dl.facts div", has_text="Must end").get_by_text("2126-01-31 22:00").wait_for()
    await tab.shows("or fails with the reason expired.")
    job = read(f"{scene.url}/v1/groups/times/jobs/{tab.page.url.rpartition('/')[2]}")["job"]
    assert (job["status"], job["end_before"]) == ("delayed", "2126-01-31T13:00:00.000Z")
    await tab.page.get_by_role("link", name="Copy…").click()
    await tab.shows("A copy, to edit")
    for name in ("start_within", "start_before", "end_within", "end_before"):
        assert await tab.page.locator(f"[name={name}]").input_value() == ""
    await tab.page.locator("[name=end_within]").fill("60")
    await tab.page.get_by_label("End before").fill("2126-01-31T22:00")
    await press(tab, "Enqueue")
    await tab.page.locator(".problem").get_by_text("end_within and end_before").first.wait_for()


async def test_late_job_on_its_page(tab_of: OpenTab, scene: Scene) -> None:
    """The page follows a job that nobody takes in time: it fails without a reload, and says what its reason means."""
    late, ended = enqueue(scene.url, {"start_within": 1}, {"end_within": 1}, group="late")
    tab = await tab_of(scene.url, f"ui/groups/late/jobs/{late}")
    await tab.page.locator(".page-head .badge", has_text="failed").wait_for()
    await tab.page.locator("dl.facts div", has_text="Reason").get_by_text("expired nobody took it in time").wait_for()
    await tab.go(f"ui/groups/late/jobs/{ended}")
    await tab.page.locator("dl.facts div", has_text="Reason").get_by_text("timeout it did not end in time").wait_for()
    await tab.go(f"ui/groups/late/jobs/{late}")
    words = tab.page.locator(".timeline li .strong")
    await words.nth(2).wait_for()
    assert await words.all_inner_texts() == ["created", "late", "failed"]


async def test_enqueue_what_is_refused(tab_of: OpenTab, scene: Scene) -> None:
    """What the broker refuses is told beside the form, which keeps what was written."""
    call(f"{scene.url}/v1/groups/strict", {"group": {}}, "PUT")
    tab = await tab_of(scene.url, "ui/groups/strict/enqueue")
    await tab.page.get_by_label("Payload").fill("kept")
    await press(tab, "Enqueue")
    await tab.page.locator(".problem").get_by_text("image").first.wait_for()
    assert await tab.page.get_by_label("Payload").input_value() == "kept"


async def test_act_on_a_job(tab_of: OpenTab, scene: Scene) -> None:
    """Promote, cancel, retry and delete ask first, say what they do, and the page follows."""
    [job] = enqueue(scene.url, {"delay": 3000}, group="one")
    tab = await tab_of(scene.url, f"ui/groups/one/jobs/{job}")
    for name, verb, text, status in (
        ("Promote…", "Promote", "is queued now", "queued"),
        ("Cancel…", "Cancel", "will not run", "cancelled"),
    ):
        before = status_of(scene, "one", job)
        dialog = await press(tab, name)
        await dialog.get_by_text(text).wait_for()
        await dialog.get_by_role("button", name="Keep as it is").click()
        await dialog.wait_for(state="detached")
        assert status_of(scene, "one", job) == before
        await press(tab, name)
        await tab.confirm(verb)
        await tab.page.locator(".page-head .badge", has_text=status).wait_for()
        assert status_of(scene, "one", job) == status
    await press(tab, "Retry…")
    await tab.confirm("Retry")
    await tab.page.get_by_text("Retry of").wait_for()
    assert tab.page.url.endswith(read(f"{scene.url}/v1/groups/one/jobs/{job}")["job"]["retry_at"])
    await tab.go(f"ui/groups/one/jobs/{job}")
    await press(tab, "Delete…")
    await tab.confirm("Delete")
    await tab.page.wait_for_url("**/ui/groups/one?status=cancelled")
    assert left_in(scene, "one") == {"queued": 1}


async def test_act_on_selected_jobs(tab_of: OpenTab, scene: Scene) -> None:
    """An action on selected jobs leaves the others alone, and says how many it will touch."""
    ids = enqueue(scene.url, *[{}] * 5, group="some")
    tab = await tab_of(scene.url, "ui/groups/some?status=queued")
    for job in ids[:2]:
        await tab.page.get_by_label(f"Select job {job}").check()
    await press(tab, "Cancel 2…")
    await tab.shows("Cancel 2 selected jobs?")
    await tab.confirm("Cancel 2")
    assert left_in(scene, "some") == {"queued": 3, "cancelled": 2}
    await tab.go("ui/groups/some?status=cancelled")
    await tab.page.get_by_label("Select all on this page").check()
    await press(tab, "Retry 2…")
    await tab.confirm("Retry 2")
    await tab.page.get_by_label("Select all on this page").check()
    await press(tab, "Delete 2…")
    await tab.confirm("Delete 2")
    assert left_in(scene, "some") == {"queued": 5}


@pytest.mark.parametrize(
    ("action", "status", "left"),
    [
        ("Retry", "failed", {"failed": 3, "queued": 3}),
        ("Delete", "failed", {}),
        ("Cancel", "queued", {"failed": 3, "cancelled": 2}),
        ("Promote", "delayed", {"failed": 3, "queued": 2}),
    ],
)
async def test_act_on_all_that_match(
    tab_of: OpenTab, scene: Scene, action: str, status: str, left: dict[str, int]
) -> None:
    """A bulk action counts first and touches nothing; then it shows how far it is until it is done."""
    group = f"all-{action}"
    fail(scene.url, group, "no user 1", "no user 2", "no user 3")
    if status != "failed":
        enqueue(scene.url, *[{"delay": 3000 if status == "delayed" else 0}] * 2, group=group)
    before = left_in(scene, group)
    n = before[status]
    tab = await tab_of(scene.url, f"ui/groups/{group}?status={status}")
    dialog = await press(tab, f"{action} all…")
    await dialog.get_by_text(f"{n} jobs match now.").wait_for()
    assert left_in(scene, group) == before
    await tab.confirm(f"{action} {n} jobs")
    await tab.page.wait_for_url("**/ui/bulk/*")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    await tab.shows(f"{n} jobs done")
    assert left_in(scene, group) == left


async def test_act_on_many_takes_the_name(tab_of: OpenTab, scene: Scene) -> None:
    """For more than 1,000 jobs a person types the name of the group; a bulk action that runs can be stopped."""
    enqueue(scene.url, *[{"delay": 3000}] * 1000, group="lots")
    enqueue(scene.url, {"delay": 3000}, group="lots")
    tab = await tab_of(scene.url, "ui/groups/lots?status=delayed")
    dialog = await press(tab, "Promote all…")
    await dialog.get_by_text("1,001 jobs match now.").wait_for()
    await dialog.get_by_label("At most a second").fill("1")
    await dialog.get_by_role("button", name="Promote 1,001 jobs").click()
    assert await dialog.count() == 1
    await dialog.get_by_label("to go on").fill("lots")
    await tab.confirm("Promote 1,001 jobs")
    await tab.page.wait_for_url("**/ui/bulk/*")
    await press(tab, "Stop promote of lots")
    await tab.confirm("Stop")
    await tab.page.locator(".page-head .badge", has_text="stopped").wait_for()
    bulk = read(f"{scene.url}/v1/bulk/{tab.page.url.rpartition('/')[2]}")["bulk"]
    assert (bulk["state"], bulk["done"] < 100) == ("stopped", True)
    assert left_in(scene, "lots")["delayed"] == 1001 - bulk["done"]


async def test_retry_one_cause(tab_of: OpenTab, scene: Scene) -> None:
    """Failures are a few causes; those of one are retried together, and those that were retried are left alone."""
    fail(scene.url, "causes", *[f"no user {n}" for n in range(4)])
    tab = await tab_of(scene.url, "ui/groups/causes/causes")
    await tab.shows("no user #")
    await press(tab, "Retry these…")
    await tab.confirm("Retry 4 jobs")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    assert left_in(scene, "causes") == {"failed": 4, "queued": 4}
    await tab.go("ui/groups/causes?status=failed")
    await tab.page.get_by_label("hide retried").check()
    await tab.page.wait_for_url("**retried=0**")
    await tab.shows("No job matches.")


async def test_pause_with_a_note_and_resume(tab_of: OpenTab, scene: Scene) -> None:
    """A pause has a note that all see; the overview has the same button."""
    enqueue(scene.url, {}, group="halt")
    tab = await tab_of(scene.url, "ui/groups/halt")
    await press(tab, "Pause…")
    await tab.page.get_by_label("Note for others").fill("provider down")
    await tab.confirm("Pause")
    await tab.shows("“provider down”")
    assert read(f"{scene.url}/v1/jobs?group=halt")["jobs"] == []
    await tab.go("ui/?q=halt")
    await press(tab, "Resume halt")
    await tab.confirm("Resume")
    await tab.page.get_by_role("button", name="Pause halt").wait_for()
    assert read(f"{scene.url}/v1/groups/halt")["group"]["paused"] is False


async def test_delete_a_group(tab_of: OpenTab, scene: Scene) -> None:
    """A group with work to do offers to cancel it; once all is finished it is deleted, after its name was typed."""
    enqueue(scene.url, {}, {"delay": 600}, group="doomed")
    tab = await tab_of(scene.url, "ui/groups/doomed/settings")
    await tab.shows("2 jobs are not.")
    await press(tab, "Cancel all…")
    await tab.confirm("Cancel 2 jobs")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    await tab.go("ui/groups/doomed/settings")
    await press(tab, "Delete group…")
    await tab.shows("with 2 finished jobs")
    await tab.page.get_by_label("Type doomed to go on").fill("doomed")
    await tab.confirm("Delete the group")
    await tab.page.wait_for_url("**/ui/")
    await tab.shows("doomed is deleted.")
    assert "doomed" not in [group["name"] for group in read(f"{scene.url}/v1/groups?n=1000")["groups"]]


async def test_change_settings_that_another_changed(tab_of: OpenTab, scene: Scene) -> None:
    """Settings are saved field by field; what another changed meanwhile is told, and not overwritten."""
    path = f"{scene.url}/v1/groups/tuned"
    call(path, {"group": {"max_concurrency": 5, "env_vars": {"A": "b"}}}, "PUT")
    tab = await tab_of(scene.url, "ui/groups/tuned/settings")
    await press(tab, "Save")
    await tab.shows("Nothing was changed.")
    await tab.page.get_by_label("A second").fill("20")
    await tab.page.get_by_label("Start within").fill("1h30m")
    await tab.page.get_by_label("Keep failed").fill("2d")
    await press(tab, "Save")
    await tab.shows("Saved.")
    saved = read(path)["group"]
    assert saved.items() >= {"rate_limit": 20, "max_concurrency": 5, "start_within": 5400}.items()
    assert saved["retention"]["failed"] == 172_800
    await tab.page.wait_for_function("""() => document.querySelector('[name="retention.failed"]').value === '2d'""")
    await tab.settled()
    call(path, {"group": {"max_concurrency": 7}}, "PATCH")
    await tab.page.get_by_label("A second").fill("30")
    await press(tab, "Save")
    await tab.shows("Somebody changed this group meanwhile")
    assert read(path)["group"]["rate_limit"] == 20
    await press(tab, "Reload their settings")
    await tab.page.wait_for_function("() => document.querySelector('[name=max_concurrency]').value === '7'")


async def test_order_a_worker(tab_of: OpenTab, scene: Scene) -> None:
    """A worker is told to be quiet, to go on and to drain, each after a question, and the page shows the order."""
    tab = await tab_of(scene.url, "ui/workers")
    states = {"quiet": "quiet", "resume": "working", "drain": "draining"}
    for order, state in states.items():
        await press(tab, f"{order.capitalize()} w-1")
        await tab.confirm(order.capitalize())
        await tab.shows(f"(ordered: {order})")
        body = {"name": "w-1", "host": "host-b", "slots": 8, "busy": 1, "state": state}
        assert call(f"{scene.url}/v1/workers", body)["order"] == order
        await tab.page.locator("tr[data-row=w-1] .badge", has_text=state).wait_for()
    until(lambda: call(f"{scene.url}/v1/workers/w-1/order", {"order": "resume"}) is not None)


async def test_filters_live_in_the_address(tab_of: OpenTab, scene: Scene) -> None:
    """Filters are in the address, so a reload and the way back keep them; the list says how far it looked."""
    enqueue(scene.url, {"image": "a", "payload": "to ann"}, {"image": "b", "payload": "to bob"}, group="filters")
    tab = await tab_of(scene.url, "ui/groups/filters")
    await tab.page.get_by_label("Text in payload").fill("to bob")
    await press(tab, "Filter")
    await tab.page.wait_for_url("**text=to+bob**")
    await tab.shows("looked at 2 of 2")
    await tab.page.reload()
    await tab.shows("1 shown")
    assert "to ann" not in await tab.text()
    await tab.page.get_by_role("link", name="Clear").click()
    await tab.shows("to ann")
    await tab.page.go_back()
    await tab.shows("1 shown")


async def test_live_view_is_paused(tab_of: OpenTab, scene: Scene) -> None:
    """While the live view is paused nothing on the page changes; resumed it shows what happened meanwhile."""
    enqueue(scene.url, {}, group="still")
    tab = await tab_of(scene.url, "ui/groups/still")
    queued = tab.page.locator(".status-tab", has_text="queued").locator("b")
    await tab.page.wait_for_selector(".fresh.live")
    await press(tab, "Pause the live view")
    await tab.page.wait_for_selector(".fresh.paused")
    take(scene.url, "still")
    await tab.page.get_by_title("Colours: of the system, light or dark").click()
    await tab.page.wait_for_selector("html[data-theme=light]")
    assert await queued.inner_text() == "1"
    await press(tab, "Resume the live view")
    await queued.get_by_text("0").wait_for()


async def test_set_the_order_of_groups(tab_of: OpenTab, scene: Scene) -> None:
    """Groups take turns after a question, and the oldest job is first again after another one; the page follows."""
    tab = await tab_of(scene.url, "ui/settings")
    for verb, order in (("Let groups take turns", "fair"), ("Serve the oldest job first", "fifo")):
        await press(tab, f"{verb}…")
        await tab.confirm(verb)
        await tab.shows(f"The order is {order}.")
        assert read(f"{scene.url}/v1/settings")["settings"]["order"] == order
