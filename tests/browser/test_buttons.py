"""Every button of every screen does something when it is pressed, and each is one that another test uses for real."""

import re

import pytest

from tests.browser.conftest import OpenTab, Tab, playwright_api
from tests.browser.scene import Scene
from tests.browser.screens import SCREENS, Screen

KNOWN = {
    "test_actions": {
        *("Retry…", "Cancel…", "Delete…", "Promote…", "Retry all…", "Cancel all…", "Delete all…", "Promote all…"),
        *("Enqueue", "As curl", "Filter", "Save", "Pause…", "Resume", "Pause NAME", "Resume NAME", "Retry these…"),
        *(
            "Delete group…",
            "Quiet NAME",
            "Resume NAME",
            "Drain NAME",
            "Stop NAME",
            "Pause the live view",
            "Resume the live view",
            "Let groups take turns…",
            "Serve the oldest job first…",
        ),
    },
    "test_bulk": {"New…"},
    "test_batches": {"Close batch…", "Cancel batch…", "Retry failed…"},
    "test_flows": {"Free NAME", "Zoom in", "Zoom out"},
    "test_schedules": {"Run now…", "Show its times", "Run now NAME", "Backfill…", "Delete…"},
    "test_keyboard": {"Skip to the page", "Keyboard"},
    "test_live": {"Time zone: ZONE", "Colours: Auto"},
    "test_access": {"Log in", "End NAME"},
    "test_contents": {"tree", "text", "raw", "download", "Follow", "Wrap", "Load older lines", "Copy"},
}
"""The buttons by the file that has the test of what they do. `test_contents` has those that only show the same anew."""
PRESS = "main button, header button"
NAME = "(one) => (one.checkVisibility() ? one.ariaLabel || one.textContent.trim() : '')"
NAMED = f"() => [...document.querySelectorAll('{PRESS}')].map({NAME}).filter(Boolean)"
LOG_IS_READ = "() => document.querySelector('.log-state')?.innerText !== ''"
SIGNS = """(button) => JSON.stringify([
  location.href, document.querySelectorAll('dialog[open]').length, button?.isConnected ? button.outerHTML : '',
  document.documentElement.dataset.theme ?? '', document.querySelector('#toasts').innerText,
  document.activeElement?.name ?? document.activeElement?.nodeName,
  document.querySelector('.flow-picture')?.getAttribute('width'),
  document.querySelectorAll('main pre, main .problem, .no-wrap, main .tree, main tbody').length,
])"""


def kind_of(name: str) -> str:
    """The name of a button without what differs from screen to screen."""
    name = re.sub(r"^(Pause|Resume|Run now|Quiet|Drain|Stop|End|Free) (?!the live)\S.*", r"\1 NAME", name)
    name = re.sub(r"^Time zone: .*", "Time zone: ZONE", name)
    return re.sub(r"\d[\d,]*", "N", name)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.path)
async def test_press_every_button(tab_of: OpenTab, scene: Scene, screen: Screen) -> None:
    """A button opens a dialog, changes the address, the page or itself, or gives a file; it is never without effect."""
    tab = await tab_of(scene.url, screen.of(scene).replace("groups/mail/enqueue", "groups/pressed/enqueue"))
    await tab.shows(screen.shows)
    await tab.page.wait_for_function(LOG_IS_READ)
    address = tab.page.url
    names = await tab.page.evaluate(f"() => ({NAMED})()")
    known = {name for some in KNOWN.values() for name in some}
    assert {kind_of(name) for name in names} <= known
    for name in dict.fromkeys(names):
        if tab.page.url != address:
            await tab.page.goto(address)
            await tab.settled()
            await tab.shows(screen.shows)
            await tab.page.wait_for_function(LOG_IS_READ)
        assert await does_something(tab, name), name


async def does_something(tab: Tab, name: str) -> bool:
    """Press the button of this name, and close what it opened."""
    script = f"(name) => [...document.querySelectorAll('{PRESS}')].find((one) => ({NAME})(one) === name)"
    button = (await tab.page.evaluate_handle(script, name)).as_element()
    assert button is not None, name
    before = await tab.page.evaluate(SIGNS, button)
    if name == "download":
        async with tab.page.expect_download():
            await button.click()
        return True
    if name == "Skip to the page":
        await button.focus()
        await tab.page.keyboard.press("Enter")
        return await tab.page.evaluate("() => document.activeElement.nodeName") == "H1"
    if name == "Filter":  # without a filter it asks for the same list again
        async with tab.page.expect_request("**/v1/groups/*/jobs?**"):
            await button.click()
        return True
    if await button.evaluate("(one) => one.ariaPressed === 'true' && one.closest('.choice') !== null"):
        return True  # what it chooses is shown
    await button.click()
    try:
        script = f"([button, before]) => ({SIGNS})(button) !== before"
        await tab.page.wait_for_function(script, arg=[button, before], timeout=5000)
    except playwright_api.TimeoutError:
        return False
    if await tab.page.locator("dialog[open]").count():
        await tab.page.keyboard.press("Escape")
        await tab.page.locator("dialog[open]").wait_for(state="detached")
    return True
