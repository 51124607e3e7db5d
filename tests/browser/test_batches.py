"""Batches as a person makes, follows, repeats and cancels them."""

from datetime import datetime, timedelta

from tests.browser.conftest import OpenTab, Tab
from tests.browser.scene import Scene, call, end, enqueue, read, take


async def has_state(tab: Tab, state: str) -> None:
    """Wait for the state beside the heading."""
    await tab.page.locator(".page-head .badge", has_text=state).wait_for()


async def test_batch_from_the_form_to_its_end(tab_of: OpenTab, scene: Scene) -> None:
    """A batch is made open, gets another job, is closed, ends live with its callback, and its failure is repeated."""
    tab = await tab_of(scene.url, "ui/groups/night/batches")
    page = tab.page
    await page.get_by_role("link", name="Enqueue one").click()
    await page.get_by_label("Image").fill("scan")
    await page.locator("[name=count]").fill("2")
    await page.locator("[name=batch]").select_option("open")
    await page.get_by_label("Name of the batch").fill("<b>night</b>")
    await page.get_by_label("Batch ends within").fill("1h30m")
    await page.get_by_label("Callbacks of the batch").fill('{"on_over": {"image": "tidy", "delay": 3000}}')
    await page.get_by_role("button", name="Enqueue", exact=True).click()
    await tab.shows("0 of 2 ended")
    await has_state(tab, "open")
    await tab.shows("<b>night</b>")
    [made] = read(f"{scene.url}/v1/groups/night/batches")["batches"]
    within = datetime.fromisoformat(made["end_before"]) - datetime.fromisoformat(made["created_at"])
    assert within == timedelta(hours=1, minutes=30)
    await page.get_by_role("link", name="Add jobs…").click()
    await page.get_by_role("heading", name="New jobs of the batch").wait_for()
    await page.get_by_label("Image").fill("late")
    await page.get_by_role("button", name="Enqueue", exact=True).click()
    await tab.shows("0 of 3 ended")
    await page.get_by_role("button", name="Close batch…").click()
    await tab.confirm("Close batch")
    await has_state(tab, "running")
    for verb in ("success", "success", "error"):
        end(scene.url, take(scene.url, "night"), verb)
    await tab.shows("3 of 3 ended")
    await has_state(tab, "failed")
    await page.locator(".choice a", has_text="failed 1").click()
    await page.wait_for_url("**?status=failed")
    row = page.locator("tbody tr")
    await row.filter(has_text="late").wait_for()
    await tab.has(1, row)
    await page.get_by_role("button", name="Retry failed…").click()
    await tab.confirm("Retry failed")
    await tab.shows("Repeats")
    await tab.shows("0 of 1 ended")
    await page.locator(".facts a.mono").click()
    await tab.shows("Repeated by")
    await tab.has(0, page.get_by_role("button", name="Retry failed…"))
    await page.locator(".callbacks a").click()
    await tab.shows("since all its members ended: 3 of 3 ended, 1 failed")


async def test_name_and_callbacks_of_a_batch(tab_of: OpenTab, scene: Scene) -> None:
    """The name is the heading, with the id below; a callback has its image and its state, which the page follows."""
    tab = await tab_of(scene.url, "ui/groups/named/batches")
    new = {"name": "<b>month</b>", "jobs": [{"image": "scan"}], "on_over": {"image": "<i>tidy</i>"}}
    made = call(f"{scene.url}/v1/groups/named/batches", {"batch": new})["batch"]["id"]
    end(scene.url, take(scene.url, "named"), "success")
    await tab.go(f"ui/groups/named/batches/{made}")
    await tab.has(1, tab.page.get_by_role("heading", level=1, name="<b>month</b>", exact=True))
    assert await tab.page.title() == "Batch <b>month</b> · Titan"
    await tab.has(1, tab.page.locator(".facts > div", has_text="Id").get_by_text(made))
    callback = tab.page.locator(".callback", has_text="<i>tidy</i>")
    await tab.has(1, callback.filter(has_text="queued"))
    job = take(scene.url, "named")
    await tab.has(1, callback.filter(has_text="running"))
    await callback.get_by_role("link", name=job["id"]).click()
    await tab.page.wait_for_url(f"**/ui/groups/named/jobs/{job['id']}")


async def test_cancel_a_batch(tab_of: OpenTab, scene: Scene) -> None:
    """The unfinished members are cancelled after a question that counts them, and the page follows."""
    made = call(f"{scene.url}/v1/groups/off/batches", {"batch": {"jobs": [{"image": "scan"}] * 3}})["batch"]
    end(scene.url, take(scene.url, "off"), "success")
    enqueue(scene.url, {}, group="off")
    tab = await tab_of(scene.url, f"ui/groups/off/batches/{made['id']}")
    await tab.shows("1 of 3 ended")
    await tab.page.get_by_role("button", name="Cancel batch…").click()
    assert "2 members that have not ended are cancelled" in await tab.page.get_by_role("dialog").inner_text()
    await tab.confirm("Cancel batch")
    await tab.shows("3 of 3 ended")
    await has_state(tab, "cancelled")
    await tab.shows("by hand")
    await tab.page.get_by_role("button", name="Cancel batch…").wait_for(state="detached")
    counts = read(f"{scene.url}/v1/groups/off")["group"]["counts"]
    assert (counts["cancelled"], counts["queued"]) == (2, 1)
