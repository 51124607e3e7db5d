"""Every screen, in both themes and in windows of all widths: no fault, no sideways scroll, and accessible."""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe

from tests.browser.conftest import OpenTab, Tab
from tests.browser.scene import Scene
from tests.browser.screens import SCREENS, Screen

of_every_screen = pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.path)
THEMES = ("light", "dark")
WIDTHS = (1280, 390, 320)
"""A desk, a phone, and a desk at 400 %."""
DIALOGS = {
    "ui/groups/mail/jobs/{failed}": ("Retry…", "Delete…"),
    "ui/groups/mail/jobs/{running}": ("Cancel…",),
    "ui/groups/mail/jobs/{delayed}": ("Promote…",),
    "ui/groups/mail?status=failed": ("Pause…", "Retry all…", "Delete all…"),
    "ui/groups/mail?dead=1": ("Retry all…",),
    "ui/groups/docs": ("Free doc-7",),
    "ui/groups/scans/batches/{batch}": ("Cancel batch…",),
    "ui/groups/reports": ("Resume",),
    "ui/workers": ("Drain w-1",),
}


@of_every_screen
async def test_open_a_screen(tab_of: OpenTab, scene: Scene, screen: Screen) -> None:
    """A screen opens by its address, shows what it is for under one heading, and fits into every window."""
    tab = await tab_of(scene.url, screen.of(scene))
    await tab.shows(screen.shows)
    await tab.has(1, tab.page.locator("h1"))
    if screen.is_whole:
        await tab.has(0, tab.page.locator(".banner"))
    for width in WIDTHS:
        await tab.page.set_viewport_size({"width": width, "height": 800})
        wide, has = await tab.width()
        assert wide <= has, width
        await tab.shows(screen.shows)
    assert await lost(tab) == []


async def lost(tab: Tab) -> list[str]:
    """The links of the page to addresses of this broker that lead to no page."""
    script = """async () => {
      const { pages } = await import(document.querySelector('script[src]').src.replace('app.js', 'pages/index.js'));
      const base = new URL(document.baseURI).pathname;
      return [...document.querySelectorAll('a[href]')].map((link) => new URL(link.href)).filter((url) => {
        const below = url.pathname.slice(base.length);
        if (!below.startsWith('ui/')) return !below.startsWith('v1/') && !below.startsWith('docs/');
        const path = url.pathname.slice(base.length + 3).replace(/\\/$/, '');
        return pages.findIndex(({ pattern }) => pattern.test(path)) === pages.length - 1;
      }).map((url) => url.href);
    }"""
    return list(await tab.page.evaluate(script))


@of_every_screen
async def test_screen_is_accessible(tab_of: OpenTab, scene: Scene, screen: Screen) -> None:
    """A screen has no violation of axe's rules, in both themes, wide and narrow."""
    tab = await tab_of(scene.url, screen.of(scene), bypass_csp=True)
    await tab.shows(screen.shows)
    for width in WIDTHS[:2]:
        await tab.page.set_viewport_size({"width": width, "height": 800})
        await check_both_themes(tab, str(width))


@pytest.mark.parametrize("path", DIALOGS)
async def test_dialog_is_accessible(tab_of: OpenTab, scene: Scene, path: str) -> None:
    """A dialog has no violation of axe's rules, and fits on a phone."""
    tab = await tab_of(scene.url, path.format_map(scene.ids), bypass_csp=True)
    for name in DIALOGS[path]:
        await tab.page.get_by_role("button", name=name, exact=True).click()
        await tab.page.wait_for_selector("dialog[open]")
        await check_both_themes(tab, name)
        await tab.page.set_viewport_size({"width": 320, "height": 800})
        wide, has = await tab.width()
        assert wide <= has, name
        await tab.page.set_viewport_size({"width": 1280, "height": 800})
        await tab.page.keyboard.press("Escape")
        await tab.page.wait_for_selector("dialog[open]", state="detached")


async def check_both_themes(tab: Tab, about: str) -> None:
    """Ask axe in the light and in the dark theme."""
    for theme in THEMES:
        await tab.page.emulate_media(color_scheme=theme)
        found = await Axe().run(tab.page)
        assert told(found.response) == [], (about, theme)


def told(response: dict[str, Any]) -> list[str]:
    """The violations, each with its rule and the elements."""
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes']]}" for one in response["violations"]]


async def test_axe_finds_what_is_wrong(tab_of: OpenTab, scene: Scene) -> None:
    """A page with a picture without words and with grey on grey has violations."""
    tab = await tab_of(scene.url, "ui/workers", bypass_csp=True)
    await tab.page.evaluate("""() => {
      const text = document.createElement('p');
      text.append('grey on grey');
      text.style.setProperty('color', '#999');
      text.style.setProperty('background', '#aaa');
      document.body.append(document.createElement('img'), text);
    }""")
    rules = {one.split(":")[0] for one in told((await Axe().run(tab.page)).response)}
    assert {"image-alt", "color-contrast"} <= rules
