"""The documentation in the browser: search, copying, the choice of a theme, both widths, paper."""

import pytest
from axe_playwright_python.async_playwright import Axe

from broker.docs.contents import NAMES
from tests.browser.conftest import OpenTab
from tests.browser.scene import Scene


@pytest.mark.parametrize("name", NAMES)
async def test_page_fits_and_is_accessible(tab_of: OpenTab, scene: Scene, name: str) -> None:
    """Each page fits a wide and a narrow window, and has no violation of axe's rules in either theme."""
    for width, theme in ((1280, "light"), (390, "dark")):
        tab = await tab_of(scene.url, f"docs/{name}", width=width, theme=theme, bypass_csp=True)
        wide, has = await tab.width()
        assert wide <= has
        found = await Axe().run(tab.page)
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []
        await tab.page.context.close()


async def test_search_the_documentation(tab_of: OpenTab, scene: Scene) -> None:
    """A slash leads to the search; it finds parts of pages while one types, and Enter opens the best."""
    tab = await tab_of(scene.url, "docs/start")
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("fencing tok")
    await tab.page.locator(".found a", has_text="Leases, timeouts").wait_for()
    await tab.page.fill("#docs-search", "glossary of zebras")
    await tab.shows("Nothing has all of these words.")
    await tab.page.fill("#docs-search", "glossary")
    await tab.page.locator(".found a").first.filter(has_text="Glossary").wait_for()
    await tab.page.press("#docs-search", "Enter")
    await tab.page.wait_for_url(f"{scene.url}/docs/concepts#glossary")


async def test_address_of_this_broker(tab_of: OpenTab, scene: Scene) -> None:
    """The page's commands have the address of the broker that serves it."""
    tab = await tab_of(scene.url, "docs/start")
    assert "127.0.0.1:8080" not in await tab.text()
    assert f"api={scene.url}/v1" in await tab.text()


async def test_theme_of_the_documentation(tab_of: OpenTab, scene: Scene) -> None:
    """The theme is that of the dashboard, and a button changes it."""
    tab = await tab_of(scene.url, "docs/")
    script = "() => document.documentElement.dataset.theme ?? 'system'"
    assert await tab.page.evaluate(script) == "system"
    await tab.page.get_by_role("button", name="Colours").click()
    assert await tab.page.evaluate(script) == "light"
    await tab.go("ui/")
    assert await tab.page.evaluate(script) == "light"


async def test_paper_has_only_the_text(tab_of: OpenTab, scene: Scene) -> None:
    """A printed page has no bars and no lists of pages."""
    tab = await tab_of(scene.url, "docs/start")
    await tab.page.emulate_media(media="print")
    for part in (".top", ".contents", ".inside", ".turn"):
        assert not await tab.page.locator(part).is_visible(), part
    assert await tab.page.locator(".paper h1").is_visible()


async def test_paper_is_white_in_every_theme(tab_of: OpenTab, scene: Scene) -> None:
    """With the dark theme too, letters are dark and the paper is white. Code leaves no room for a button."""
    tab = await tab_of(scene.url, "docs/start", width=700)
    await tab.page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    await tab.page.emulate_media(media="print")
    style = "(element, name) => getComputedStyle(element)[name]"
    paper, code = tab.page.locator("html"), tab.page.locator(".paper .code pre").first
    assert await paper.evaluate(style, "backgroundColor") == "rgb(255, 255, 255)"
    assert await tab.page.locator("main").evaluate(style, "color") == "rgb(27, 28, 31)"
    assert await code.evaluate(style, "paddingTop") == "8px"


async def test_documentation_is_linked(tab_of: OpenTab, scene: Scene) -> None:
    """The dashboard's page of calls leads to the documentation, and that one back."""
    tab = await tab_of(scene.url, "ui/docs")
    await tab.page.get_by_role("link", name="Documentation").click()
    await tab.page.wait_for_url(f"{scene.url}/docs/")
    await tab.page.get_by_role("link", name="Try the API").click()
    await tab.shows("HTTP reference")
