"""Schedules as a person sees them, pauses them, and has them run and make up for what passed."""

import re
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.scene import Scene, call, end, read, take, until

FORMED = {"cron": ["30 2 * 3 *", "0 12 * * 1"], "zone": "Europe/Berlin", "job": {"image": "digest"}}
"""What the test of the form types."""


def put(url: str, group: str, name: str, **schedule: Any) -> str:
    """Make a schedule; its address in the API."""
    path = f"{url}/v1/groups/{group}/schedules/{name}"
    call(path, {"schedule": {"job": {"image": "digest", "payload": '{"to": "all"}'}, **schedule}}, "PUT")
    return path


async def test_next_times_in_the_zone_of_the_schedule(tab_of: OpenTab, scene: Scene) -> None:
    """The page has each time in the zone of the schedule, with its offset, and in that of the browser."""
    path = put(scene.url, "zones", "spring", cron="30 2 * 3 *", zone="Europe/Berlin")
    tab = await tab_of(scene.url, "ui/groups/zones/schedules", timezone_id="Asia/Tokyo")
    await tab.shows("30 2 * 3 *")
    await tab.page.get_by_role("link", name="spring").click()
    first = read(f"{path}/next?n=1")["times"][0]
    row = tab.page.locator("tbody tr", has_text=re.compile(first["local"][:10])).first
    await row.wait_for()
    text = await row.inner_text()
    assert f"{first['local'][:10]} 02:30:00 +01:00" in text
    assert "10:30" in text


async def test_pause_resume_and_run(tab_of: OpenTab, scene: Scene) -> None:
    """A schedule is paused with a note, resumed, and run now; the job leads back to it."""
    path = put(scene.url, "nightly", "backup", cron="@yearly")
    tab = await tab_of(scene.url, "ui/groups/nightly/schedules/backup")
    await tab.page.get_by_role("button", name="Pause…").click()
    await tab.page.get_by_label("Note for others").fill("provider down")
    await tab.confirm("Pause")
    await tab.shows("“provider down”")
    assert read(path)["schedule"]["state"] == "paused"
    await tab.page.get_by_role("button", name="Resume…").click()
    await tab.confirm("Resume")
    await tab.page.locator(".page-head .badge", has_text="active").wait_for()
    await tab.page.get_by_role("button", name="Run now…").click()
    await tab.confirm("Run now")
    await tab.page.wait_for_url("**/ui/groups/nightly/jobs/*")
    end(scene.url, take(scene.url, "nightly"), "success")
    await tab.page.get_by_role("link", name="backup").click()
    row = tab.page.locator("tbody tr", has_text="by hand")
    await row.get_by_text("succeeded").wait_for()


async def test_why_a_time_made_no_job(tab_of: OpenTab, scene: Scene) -> None:
    """A time that was skipped says why, with the job that was in the way; the list has the same numbers."""
    path = put(scene.url, "busy", "tick", every=1)
    until(lambda: read(path)["schedule"]["counts"]["skipped"])
    call(f"{path}/pause", {})
    first = take(scene.url, "busy")["id"]
    tab = await tab_of(scene.url, "ui/groups/busy/schedules/tick")
    row = tab.page.locator("tbody tr", has_text="skipped: the job before it had not ended").first
    await row.get_by_role("link", name=first).wait_for()
    await tab.page.get_by_text("Next times, once it is resumed").wait_for()


async def test_backfill_and_delete(tab_of: OpenTab, scene: Scene) -> None:
    """A backfill makes a job for each time in a span, given in local time; a schedule is deleted after a question."""
    path = put(scene.url, "filled", "daily", cron="0 12 * * *", zone="Asia/Tokyo")
    tab = await tab_of(scene.url, "ui/groups/filled/schedules/daily", timezone_id="Asia/Tokyo")
    await tab.page.get_by_role("button", name="Backfill…").click()
    await tab.page.get_by_label("From").fill("2026-06-01T12:00")
    await tab.page.get_by_label("To", exact=False).last.fill("2026-06-03T11:59")
    await tab.confirm("Backfill")
    await tab.shows("2 jobs made.")
    made = read(f"{scene.url}/v1/groups/filled/jobs")["jobs"]
    assert {job["scheduled_for"] for job in made} == {"2026-06-01T03:00:00.000Z", "2026-06-02T03:00:00.000Z"}
    await tab.page.get_by_role("button", name="Delete…").click()
    await tab.confirm("Delete")
    await tab.shows("This group has no schedules.")
    with pytest.raises(HTTPError, match="404"):
        read(path)


async def test_schedule_in_words(tab_of: OpenTab, scene: Scene) -> None:
    """The page has each cron expression in words with its zone; the zone of the other times is named."""
    put(scene.url, "worded", "daily", cron=["0 3 * * *", "@weekly"], zone="Europe/Berlin")
    tab = await tab_of(scene.url, "ui/groups/worded/schedules/daily", timezone_id="Asia/Tokyo")
    await tab.shows("At 03:00 every day, Europe/Berlin")
    await tab.shows("At 00:00 on Sunday, Europe/Berlin")
    await tab.has(1, tab.page.get_by_role("columnheader", name="Here, Asia/Tokyo"))


async def test_spans_of_a_schedule(tab_of: OpenTab, scene: Scene) -> None:
    """The form shows and takes spans as 1h30m, and names the zone of its times; what is no span is not sent."""
    path = put(scene.url, "spans", "tick", every=5400, catch_up=3600)
    tab = await tab_of(scene.url, "ui/groups/spans/schedules/tick/edit", timezone_id="Asia/Tokyo")
    page = tab.page
    every = page.locator("[name=every]")
    await page.get_by_role("button", name="Save").wait_for()
    assert (await every.input_value(), await page.locator("[name=catch_up]").input_value()) == ("1h30m", "1h")
    await tab.shows("In Asia/Tokyo, the zone of this browser")
    await tab.shows("Never fire for a time that passed longer ago. Default: 1 d. 0 s to 365 d.")
    await every.fill("soon")
    await page.get_by_role("button", name="Save").click()
    await tab.has(1, page.locator("[name=every]:invalid:focus"))
    for name, text in (("every", "2h 15m"), ("jitter", "5m"), ("timeout", "90"), ("unique_key", "k"), ("max_wait", "")):
        await page.locator(f"[name={name}]").fill(text)
    await page.locator("[name=unique_until]").select_option("for")
    await page.locator("[name=unique_for]").fill("1d")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/schedules/tick")
    kept = read(path)["schedule"]
    assert (kept["every"], kept["jitter"], kept["catch_up"], kept["job"]["timeout"]) == (8100, 300, 3600, 90)
    assert kept["job"]["unique"] == {"key": "k", "for": 86400}


async def test_make_and_change_a_schedule(tab_of: OpenTab, scene: Scene) -> None:
    """The form shows the times before it saves, refuses a name that is taken, and keeps what it has no field for."""
    path = put(scene.url, "formed", "other", every=60)
    tab = await tab_of(scene.url, "ui/groups/formed/schedules", timezone_id="Asia/Tokyo")
    page = tab.page
    await page.get_by_role("link", name="New schedule…").click()
    await page.locator("[name=name]").fill("other")
    await page.locator("[name=cron]").fill("30 2 * 3 *\n0 12 * * 1")
    await page.locator("[name=zone]").fill("Europe/Berlin")
    await page.locator("[name=image]").fill("digest")
    await page.locator("[name=payload]").fill("<b>all</b>")
    await page.get_by_role("button", name="Show its times").click()
    await tab.shows("At 12:00 on Monday")
    times = page.locator("section.panel", has_text="It would have these times").locator("tbody tr")
    await times.first.wait_for()
    expected = call(f"{scene.url}/v1/schedules/preview?n=5", {"schedule": FORMED})["times"]
    assert [text[:10] for text in await times.locator("th").all_inner_texts()] == [
        one["local"][:10] for one in expected
    ]
    await page.get_by_role("button", name="Save").click()
    await tab.shows("There is a schedule with this name already")
    await page.locator("[name=name]").fill("digest")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url("**/schedules/digest")
    own = read(path.replace("other", "digest"))["schedule"]
    assert (own["cron"], own["zone"], own["job"]) == (
        ["30 2 * 3 *", "0 12 * * 1"],
        "Europe/Berlin",
        {"image": "digest", "payload": "<b>all</b>"},
    )
    await page.get_by_role("link", name="Change…").click()
    await page.get_by_label("While an earlier job has not ended").select_option("allow")
    await page.locator("[name=retry]").fill('{"max": 2}')
    await page.get_by_role("button", name="Save").click()
    await tab.shows("allow: both run")
    changed = read(path.replace("other", "digest"))["schedule"]
    assert (changed["overlap"], changed["job"]["retry"]["max"], changed["revision"]) == (
        "allow",
        2,
        own["revision"] + 1,
    )
    assert (changed["cron"], changed["job"]["payload"]) == (own["cron"], "<b>all</b>")
