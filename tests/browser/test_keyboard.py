"""The keyboard alone: find, open, act with the dialog, and back, with the focus seen at each step."""

import asyncio

from tests.browser.conftest import OpenTab, Running, Tab
from tests.browser.scene import Scene, enqueue, fill, read

_SEEN = """() => {
  const one = document.activeElement;
  const box = one.getBoundingClientRect();
  const isInside = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0;
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(one);
  const isDrawn = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && !/, 0\\)$/.test(outlineColor);
  const name = `${one.nodeName} ${one.id || one.name || one.innerText?.slice(0, 40)} ${isInside} ${isDrawn}`;
  return one !== document.body && isInside && (isDrawn || one.nodeName === 'H1') ? '' : name;
}"""


async def sees_focus(tab: Tab) -> None:
    """The focus is on an element inside the window, with a line around it; a heading after a page change needs none."""
    assert await tab.page.evaluate(_SEEN) == ""


async def test_find_open_retry_and_back(tab_of: OpenTab, running: Running) -> None:
    """With the keyboard alone somebody finds a failed job by its id, retries it with the dialog, and goes back."""
    scene = fill(running.serve())
    failed = scene.ids["failed"]
    tab = await tab_of(scene.url, "ui/groups/mail?status=failed")
    page, keys = tab.page, tab.page.keyboard
    await tab.shows("bad_exit")
    await keys.press("/")
    assert await page.evaluate("() => document.activeElement.id") == "find"
    await sees_focus(tab)
    await keys.type(failed)
    await keys.press("Enter")
    await page.wait_for_url(f"**/jobs/{failed}")
    await tab.shows("550")
    await sees_focus(tab)
    await keys.press("r")
    await page.wait_for_selector("dialog[open]")
    await sees_focus(tab)
    await keys.press("Shift+Tab")
    assert await page.evaluate("() => document.activeElement.innerText") == "Keep as it is"
    await sees_focus(tab)
    await keys.press("Tab")
    await sees_focus(tab)
    await keys.press("Enter")
    await page.wait_for_selector("dialog[open]", state="detached")
    await page.wait_for_url(lambda url: "/jobs/" in url and failed not in url)  # that of the retry
    job = read(f"{scene.url}/v1/groups/mail/jobs/{failed}")["job"]
    assert page.url.endswith(job["retry_at"])
    await tab.settled()
    await sees_focus(tab)
    await page.go_back()  # Alt and Left; a window without a frame has no such key
    await page.wait_for_url(f"**/jobs/{failed}")
    await tab.settled()
    await sees_focus(tab)
    await page.go_back()  # Alt and Left; a window without a frame has no such key
    await page.wait_for_url("**/groups/mail?status=failed")
    await tab.shows("bad_exit")


async def test_walk_and_select_rows(tab_of: OpenTab, scene: Scene) -> None:
    """The keys j, k, x and Enter walk, select and open rows; Escape in a dialog gives the focus back to the row."""
    ids = enqueue(scene.url, {}, {}, {}, group="rows")
    tab = await tab_of(scene.url, "ui/groups/rows?order=asc")
    keys = tab.page.keyboard
    await tab.shows(ids[2])
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        await keys.press(key)
        assert await tab.page.evaluate("() => document.activeElement.innerText") == ids[at]
        await sees_focus(tab)
    await keys.press("x")
    await tab.shows("1 selected")
    await keys.press("c")
    await tab.shows("Cancel 1 selected job?")
    await sees_focus(tab)
    await keys.press("Escape")
    await tab.page.wait_for_selector("dialog[open]", state="detached")
    await sees_focus(tab)
    await keys.press("j")
    await keys.press("Enter")
    await tab.page.wait_for_url(f"**/jobs/{ids[2]}")


async def test_tab_reaches_everything(tab_of: OpenTab, scene: Scene) -> None:
    """Tab goes through all links, buttons and fields of a page in their order, and the focus is seen on each."""
    tab = await tab_of(scene.url, "ui/groups/reports")
    await tab.shows("render")
    await tab.page.keyboard.press(".")  # so that nothing is drawn anew
    await tab.page.evaluate("""() => {
      const all = document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]');
      const isClosed = (one) => one.closest('details:not([open]) > :not(summary)');
      window.missing = new Set([...all].filter((one) => one.checkVisibility() && !one.disabled && !isClosed(one)));
      const [first] = window.missing;
      first.focus();
      window.missing.delete(first);
    }""")
    for _ in range(200):
        await tab.page.keyboard.press("Tab")
        if await tab.page.evaluate("() => document.activeElement === document.body"):
            break  # the end of the page
        await sees_focus(tab)
        await tab.page.evaluate("() => window.missing.delete(document.activeElement)")
    assert await tab.page.evaluate("() => [...window.missing].map((one) => one.outerHTML)") == []


async def test_go_to_pages_and_help(tab_of: OpenTab, scene: Scene) -> None:
    """Two letters, the first a g, go to a page; ? lists the keys, and switches all those of one letter off and on."""
    tab = await tab_of(scene.url)
    page, keys = tab.page, tab.page.keyboard
    for letter, path in (("g", "groups"), ("w", "workers"), ("b", "bulk"), ("d", "docs"), ("s", "settings"), ("o", "")):
        await keys.press("g")
        await keys.press(letter)
        await page.wait_for_url(f"**/ui/{path}")
        await tab.settled()
    await keys.press("?")
    await page.get_by_role("dialog", name="Keyboard").wait_for()
    await page.get_by_role("checkbox").press("Space")
    await keys.press("Escape")
    await page.get_by_role("dialog").wait_for(state="detached")
    await keys.press("/")
    assert await page.evaluate("() => document.activeElement.id") != "find"
    await page.get_by_label("Find a job by its id").focus()
    await keys.type("g w?")  # no key while somebody types
    assert await page.input_value("#find") == "g w?"
    async with asyncio.timeout(10):
        await page.wait_for_selector("dialog[open]", state="detached")
    assert page.url.endswith("/ui/")
