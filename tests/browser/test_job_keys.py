"""The keys of a group's jobs, such as tenants, and the settings that limit them, as a person sees and changes them."""

from axe_playwright_python.async_playwright import Axe

from tests.browser.conftest import OpenTab
from tests.browser.scene import Scene, call, enqueue, read, take


async def test_keys_of_a_group(tab_of: OpenTab, scene: Scene) -> None:
    """A panel has each key with its jobs and places; the page of a held job says for what it waits, and why."""
    call(f"{scene.url}/v1/groups/clips", {"group": {"key_concurrency": 2}}, "PUT")
    ids = enqueue(scene.url, *[{"key": "<b>acme</b>"}] * 4, group="clips")
    take(scene.url, "clips")
    tab = await tab_of(scene.url, "ui/groups/clips/enqueue", bypass_csp=True)
    await tab.page.get_by_label("Image").fill("clip")
    await tab.page.locator("[name=job_key]").fill("blue")
    await tab.page.get_by_role("button", name="Enqueue", exact=True).click()
    await tab.shows("blue")
    await tab.go("ui/groups/clips")
    rows = tab.page.locator("section", has_text="Keys").locator("tbody tr")
    acme = rows.filter(has_text="<b>acme</b>").first
    await acme.wait_for()
    assert (await acme.inner_text()).split()[:4] == ["<b>acme</b>", "1", "1", "2"]
    assert "2 of 2" in await acme.inner_text()
    assert "1 of 2" in await rows.filter(has_text="blue").first.inner_text()
    for width, theme in ((1280, "light"), (1280, "dark"), (390, "light")):
        await tab.page.set_viewport_size({"width": width, "height": 800})
        await tab.page.emulate_media(color_scheme=theme)
        assert (await Axe().run(tab.page)).response["violations"] == []
        wide, has = await tab.width()
        assert wide <= has
    await tab.go(f"ui/groups/clips/jobs/{ids[3]}")
    await tab.shows("a place of its key")
    await tab.shows("2 jobs of 2 are queued or run")


async def test_keys_in_the_list_of_jobs(tab_of: OpenTab, scene: Scene) -> None:
    """The list has a column of keys once a job has one; the jobs without a key have a row of their own in the panel."""
    enqueue(scene.url, {}, {}, {}, group="mixed")
    tab = await tab_of(scene.url, "ui/groups/mixed")
    header = tab.page.get_by_role("columnheader", name="Key", exact=True)
    await tab.has(3, tab.page.locator("tr[data-row]"))
    await tab.has(0, header)
    [job] = enqueue(scene.url, {"key": "<b>acme</b>"}, group="mixed")
    await tab.has(2, header)
    await tab.has(1, tab.page.locator("tr[data-row]", has_text="<b>acme</b>").get_by_role("link", name=job))
    without = tab.page.get_by_role("table", name="Keys of mixed").get_by_role("row", name="no key")
    await tab.has(1, without.get_by_role("cell", name="3", exact=True))
    await tab.has(1, without.get_by_role("cell", name="no limit"))


async def test_settings_of_keys_and_budgets(tab_of: OpenTab, scene: Scene) -> None:
    """The form has all settings of fairness and limits; a group whose turns are asleep says so."""
    call(f"{scene.url}/v1/groups/tenants", {"group": {}}, "PUT")
    tab = await tab_of(scene.url, "ui/groups/tenants/settings")
    page = tab.page
    values = {"weight": "3", "key_concurrency": "2", "rate_limit": "5000/h:50", "max_jobs": "900", "max_bytes": "70000"}
    for name, value in {**values, "priority_boost": "500"}.items():
        await page.locator(f"[name={name}]").fill(value)
    for name in ("fair_keys", "key_strict"):
        await page.locator(f"[name={name}]").check()
    await page.get_by_role("button", name="Save").click()
    await tab.shows("Saved.")
    group = read(f"{scene.url}/v1/groups/tenants")["group"]
    assert group["rate_limit"] == {"jobs": 5000, "per": 3600, "burst": 50}
    shown = [group[name] for name in ("weight", "key_concurrency", "max_jobs", "max_bytes", "priority_boost")]
    assert shown == [3, 2, 900, 70_000, 500]
    assert (group["fair_keys"], group["key_strict"], group["asleep"]) == (True, True, ["fair_keys"])
    await tab.go("ui/groups/tenants")
    await tab.shows("take turns once groups do")
    await tab.shows("3 jobs a turn")
    await tab.go("ui/groups/tenants/settings")
    await page.locator("[name=fair_keys]").uncheck()
    await page.get_by_role("button", name="Save").click()
    await tab.shows("Saved.")
    assert "fair_keys" not in read(f"{scene.url}/v1/groups/tenants")["group"]
