"""Jobs that wait for each other, unique keys, and jobs that failed for good, as a person sees and uses them."""

from urllib.parse import quote

from tests.browser.conftest import OpenTab
from tests.browser.scene import Scene, call, end, enqueue, fail, read, take, until


async def test_flow_as_a_picture(tab_of: OpenTab, scene: Scene) -> None:
    """Boxes stand in layers by what they wait for, with sign and word of the status; a box leads to its job."""
    tab = await tab_of(scene.url, f"ui/groups/docs/jobs/{scene.ids['held']}")
    boxes = tab.page.locator(".flow-picture .flow-job")
    await boxes.nth(5).wait_for()
    texts = {text.split("\n")[0]: text for text in await boxes.all_inner_texts()}
    assert set(texts) == {"pull", "thumb", "text", "index", "publish", "tidy"}
    for image, status in (("pull", "succeeded"), ("thumb", "running"), ("publish", "delayed")):
        assert status in texts[image]
    script = "(boxes) => boxes.map((box) => [box.innerText.split('\\n')[0], box.getBoundingClientRect().x])"
    left = dict(await boxes.evaluate_all(script))
    assert left["pull"] < left["thumb"] == left["text"] < left["index"] < left["publish"] < left["tidy"]
    await tab.has(7, tab.page.locator(".flow-arrow"))
    assert await tab.page.locator(".flow-job.is-here").inner_text() == texts["publish"]
    await tab.has(1, tab.page.locator(".flow-picture .icon.is-running"))
    await boxes.filter(has_text="thumb").click()
    await tab.page.wait_for_url(f"**/jobs/{scene.ids['thumb']}")


async def test_flow_as_a_list(tab_of: OpenTab, scene: Scene) -> None:
    """The keyboard and a screen reader pass the picture, and have its jobs as a list of links."""
    tab = await tab_of(scene.url, f"ui/groups/docs/jobs/{scene.ids['held']}")
    await tab.page.get_by_text("As a list").focus()
    await tab.page.keyboard.press("Enter")
    rows = tab.page.locator(".flow-list > li")
    await tab.has(6, rows)
    publish = rows.filter(has_text="publish")
    assert scene.ids["thumb"] in await publish.inner_text()
    assert await publish.get_attribute("aria-current") == "true"
    await tab.page.keyboard.press("Tab")
    assert await tab.page.evaluate("document.activeElement.closest('.flow-list') !== null")
    await tab.has(0, tab.page.locator(".flow-picture a:not([tabindex='-1'])"))


async def test_flow_changes_while_it_is_seen(tab_of: OpenTab, scene: Scene) -> None:
    """When a job ends, its box and those that waited for it change without a reload, and why has no link any more."""
    first, second = enqueue(scene.url, {"ref": "a", "image": "one"}, {"image": "two", "after": ["a"]}, group="chain")
    tab = await tab_of(scene.url, f"ui/groups/chain/jobs/{second}")
    await tab.page.locator(".verdict a", has_text=first).wait_for()
    await tab.page.locator(".ties a", has_text=first).wait_for()
    await tab.has(0, tab.page.get_by_role("button", name="Promote…"))
    end(scene.url, take(scene.url, "chain"), "success")
    await tab.page.locator(".flow-job.is-succeeded", has_text="one").wait_for()
    await tab.page.locator(".flow-job.is-queued", has_text="two").wait_for()
    await tab.has(0, tab.page.locator(".verdict a"))
    await tab.go(f"ui/groups/chain/jobs/{first}")
    await tab.page.locator(".flow-job", has_text="two").wait_for()


async def test_flow_that_is_large(tab_of: OpenTab, scene: Scene) -> None:
    """Of very many jobs the nearest 200 are drawn, and a text says how many more there are, also on a phone."""
    jobs = [{"ref": "a"}, *({"image": f"step-{n}", "after": ["a"]} for n in range(230))]
    [first, *_] = enqueue(scene.url, *jobs, group="large")
    tab = await tab_of(scene.url, f"ui/groups/large/jobs/{first}", width=390)
    await tab.shows("The nearest 200 jobs are drawn; 31 further jobs belong to it.")
    await tab.has(200, tab.page.locator(".flow-picture .flow-job"))
    wide, has = await tab.width()
    assert wide <= has


async def test_picture_in_another_size(tab_of: OpenTab, scene: Scene) -> None:
    """The picture becomes smaller and larger with its boxes, and the job of the page stays in sight."""
    tab = await tab_of(scene.url, f"ui/groups/docs/jobs/{scene.ids['tidy']}", width=390)
    picture = tab.page.locator(".flow-picture")
    was = float(await picture.get_attribute("width") or 0)
    await tab.page.get_by_role("button", name="Zoom out").click()
    await tab.page.wait_for_function("(width) => document.querySelector('.flow-picture').clientWidth < width", arg=was)
    small = await tab.page.locator(".flow-job.is-here").bounding_box()
    for _ in range(2):
        await tab.page.get_by_role("button", name="Zoom in").click()
    await tab.page.wait_for_function("(width) => document.querySelector('.flow-picture').clientWidth > width", arg=was)
    assert await tab.page.get_by_role("button", name="Zoom in").is_disabled()
    large = await tab.page.locator(".flow-job.is-here").bounding_box()
    assert small
    assert large
    assert small["width"] < 168 < large["width"]
    assert 0 <= large["x"] < 390


async def test_inputs_and_the_retry_of_a_flow(tab_of: OpenTab, scene: Scene) -> None:
    """A job shows the results that it was given, and its retry repeats what was cancelled with it."""
    jobs = [
        {"ref": "a", "image": "one"},
        {"ref": "b", "image": "two", "after": ["a"]},
        {"image": "three", "after": ["b"]},
    ]
    _, second, third = enqueue(scene.url, *jobs, group="inputs")
    end(scene.url, take(scene.url, "inputs"), "success", {"result": {"pages": 3}})
    until(lambda: read(f"{scene.url}/v1/groups/inputs")["group"]["counts"]["queued"] == 1)
    end(scene.url, take(scene.url, "inputs"), "error")
    tab = await tab_of(scene.url, f"ui/groups/inputs/jobs/{second}")
    inputs = tab.page.locator("section", has=tab.page.get_by_role("heading", name="Inputs", exact=True))
    await inputs.wait_for()
    assert "pages3" in await inputs.inner_text()
    await tab.page.locator(".flow-job.is-cancelled", has_text="three").wait_for()
    await tab.page.get_by_role("button", name="Retry…").click()
    assert await tab.page.get_by_role("checkbox").is_checked()
    await tab.confirm("Retry")
    await tab.shows("2 new jobs made.")
    assert read(f"{scene.url}/v1/groups/inputs/jobs/{third}")["job"]["retry_at"]


async def test_flow_says_what_was_retried(tab_of: OpenTab, scene: Scene) -> None:
    """The box of a job that was retried by a new one, and its row in the list, link to the new one."""
    [first, second] = enqueue(scene.url, {"ref": "a", "image": "one"}, {"image": "two", "after": ["a"]}, group="again")
    end(scene.url, take(scene.url, "again"), "error")
    made = call(f"{scene.url}/v1/groups/again/jobs/{first}/retry", {})["job"]["id"]
    tab = await tab_of(scene.url, f"ui/groups/again/jobs/{second}")
    boxes = tab.page.locator(".flow-picture foreignObject")
    await tab.has(2, boxes)
    await tab.has(1, boxes.filter(has_text=f"retried as …{made[-6:]}"))
    await tab.page.get_by_text("As a list").click()
    retries = tab.page.locator(".flow-list > li", has_text="retried as").get_by_role("link", name=made)
    await tab.has(1, retries)
    await boxes.get_by_text(f"…{made[-6:]}").click()
    await tab.page.wait_for_url(f"**/jobs/{made}")


async def test_job_alone_has_no_flow(tab_of: OpenTab, scene: Scene) -> None:
    """A job that waits for none and that none waits for has no picture."""
    tab = await tab_of(scene.url, f"ui/groups/mail/jobs/{scene.ids['queued']}")
    await tab.page.get_by_role("heading", name="Timeline").wait_for()
    await tab.has(0, tab.page.locator(".flow-box"))


async def test_unique_key_and_its_follower(tab_of: OpenTab, scene: Scene) -> None:
    """The holder names its key and its follower, and the follower the holder."""
    tab = await tab_of(scene.url, f"ui/groups/docs/jobs/{scene.ids['holder']}")
    await tab.page.locator(".facts > div", has_text="Followed by").get_by_role("link").wait_for()
    facts = tab.page.locator(".facts").first
    assert "doc-7 until it has ended; a second one follows it" in await facts.inner_text()
    assert scene.ids["follower"] in await facts.inner_text()
    await tab.go(f"ui/groups/docs/jobs/{scene.ids['follower']}")
    await tab.page.locator(".facts > div", has_text="Held by").get_by_role("link", name=scene.ids["holder"]).wait_for()
    await tab.has(1, tab.page.locator(".flow-arrow.is-key"))


async def test_free_a_unique_key(tab_of: OpenTab, scene: Scene) -> None:
    """A key of the group is freed after a question; its row goes, the job stays, and the audit has who did it."""
    key = "order/7 <b>"
    [holder] = enqueue(scene.url, {"unique": {"key": key, "for": 3600}}, group="keys")
    tab = await tab_of(scene.url, "ui/groups/keys")
    row = tab.page.locator("tr", has_text=key)
    await row.get_by_role("link", name=holder).wait_for()
    assert "queued" in await row.inner_text()
    await row.get_by_role("button", name=f"Free {key}").click()
    assert holder in await tab.page.get_by_role("dialog").inner_text()
    await tab.confirm("Free")
    await row.wait_for(state="detached")
    assert read(f"{scene.url}/v1/groups/keys/unique")["keys"] == []
    assert read(f"{scene.url}/v1/groups/keys/jobs/{holder}")["job"]["status"] == "queued"
    until(lambda: any(one["act"] == "free_key" for one in read(f"{scene.url}/v1/audit?n=20")["entries"]))


async def test_retry_all_that_failed_for_good(tab_of: OpenTab, scene: Scene) -> None:
    """The choice leaves out what was retried; Retry all counts these jobs alone."""
    first, *_ = fail(scene.url, "dead", "a", "b", "c")
    call(f"{scene.url}/v1/groups/dead/jobs/{first}/retry", {})
    tab = await tab_of(scene.url, "ui/groups/dead?status=failed")
    await tab.page.get_by_role("link", name=first).wait_for()
    await tab.page.get_by_role("link", name="failed for good").click()
    await tab.page.wait_for_url("**?dead=1")
    await tab.page.get_by_role("link", name=first).wait_for(state="detached")
    await tab.has(2, tab.page.locator("tr[data-row]"))
    await tab.has(0, tab.page.get_by_role("button", name="Cancel all…"))
    await tab.page.get_by_role("button", name="Retry all…").click()
    await tab.page.get_by_text("2 jobs match now.").wait_for()
    assert "not retried yet" in await tab.page.get_by_role("dialog").inner_text()
    await tab.confirm("Retry 2 jobs")
    await tab.page.wait_for_url("**/ui/bulk/*")
    await tab.page.locator(".page-head .badge", has_text="done").wait_for()
    assert read(f"{scene.url}/v1/groups/dead")["group"]["counts"]["queued"] == 3


async def test_where_dead_letters_are(tab_of: OpenTab, scene: Scene) -> None:
    """Of jobs that failed for good the list has the group of the copy, which leads to it; without copies no column."""
    fail(scene.url, "letters", "a")
    tab = await tab_of(scene.url, "ui/groups/letters?dead=1")
    column = tab.page.get_by_role("columnheader", name="Dead letter")
    await tab.has(1, tab.page.locator("tr[data-row]"))
    await tab.has(0, column)
    call(f"{scene.url}/v1/groups/letters", {"group": {"dead_letter_to": "morgue"}}, "PUT")
    [failed] = fail(scene.url, "letters", "b")
    copy = read(f"{scene.url}/v1/groups/letters/jobs/{failed}")["job"]["dead_letter"]["id"]
    await tab.has(1, column)
    await tab.page.locator("tr[data-row]", has_text=failed).get_by_role("link", name="morgue").click()
    await tab.page.wait_for_url(f"**/ui/groups/morgue/jobs/{copy}")


async def test_enqueue_a_job_that_waits_with_a_key(tab_of: OpenTab, scene: Scene) -> None:
    """The form takes the jobs to wait for and a key; a second job with the key is not made, and the page says so."""
    [parent] = enqueue(scene.url, {}, group="tied")
    for text in ("1 job enqueued.", "A job has this unique key already: nothing was made."):
        tab = await tab_of(scene.url, "ui/groups/tied/enqueue")
        await tab.page.get_by_label("Image").fill("post")
        await tab.page.get_by_label("After", exact=False).first.fill(parent)
        await tab.page.locator("[name=after_on]").select_option("over")
        await tab.page.get_by_label("Unique key").fill("doc 9")
        await tab.page.locator("[name=unique_until]").select_option("for")
        await tab.page.locator("[name=unique_for]").fill("10m")
        await tab.page.get_by_role("button", name="Enqueue", exact=True).click()
        await tab.page.wait_for_url("**/jobs/*")
        await tab.shows(text)
    held = read(f"{scene.url}/v1/groups/tied/unique/{quote('doc 9')}")["unique"]
    job = read(f"{scene.url}/v1/groups/tied/jobs/{held['holder']}")["job"]
    assert (job["after"], job["after_on"]) == ([parent], "over")
    assert job["unique"] == {"key": "doc 9", "for": 600}
    assert read(f"{scene.url}/v1/groups/tied")["group"]["counts"]["delayed"] == 1
