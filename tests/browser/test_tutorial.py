"""The tutorial in the dashboard: its texts, commands and pictures."""

from axe_playwright_python.async_playwright import Axe

from tests.browser.conftest import OpenTab
from tests.browser.picture_facts import NAMES
from tests.browser.scene import Scene
from tests.pages import ROOT, steps

_PICTURES = (
    "() => [...document.images].map((image) => [image.src.split('/').pop(), image.naturalWidth, image.alt.length > 9])"
)


async def test_open_the_tutorial(tab_of: OpenTab, scene: Scene) -> None:
    """Every picture is loaded and has a text, the page fits the window, and its links stay in the dashboard."""
    for width, theme in ((1280, "light"), (390, "dark")):
        tab = await tab_of(scene.url, "ui/tutorial", width=width, theme=theme)
        await tab.page.locator("img.picture").last.wait_for()
        await tab.page.evaluate("() => [...document.images].forEach((image) => { image.loading = 'eager'; })")
        await tab.page.wait_for_function("() => [...document.images].every((image) => image.complete)")
        found = await tab.page.evaluate(_PICTURES)
        assert sorted(found) == sorted([f"{name}.webp", 1280, True] for name in NAMES)
        assert await tab.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        links = await tab.page.evaluate("() => [...document.querySelectorAll('.tutorial a')].map((a) => a.href)")
        assert links
        assert all(link.startswith(f"{scene.url}/ui/") for link in links), links
        assert "](" not in await tab.text()
        await tab.page.context.close()


async def test_tutorial_has_the_commands(tab_of: OpenTab, scene: Scene) -> None:
    """The page has the commands of tutorial.md in order, with the address of its own broker and without prompts."""
    tab = await tab_of(scene.url, "ui/tutorial")
    await tab.page.locator(".shell").last.wait_for()
    shown = await tab.page.locator(".shell .code pre").all_text_contents()
    commands = [step.command for step in steps(ROOT / "broker/http/ui/tutorial/tutorial.md")]
    assert shown == [command.replace("http://127.0.0.1:8080", scene.url) for command in commands]


async def test_tutorial_is_linked(tab_of: OpenTab, scene: Scene) -> None:
    """The page of the reference leads to it, and it opens without loading the page anew."""
    tab = await tab_of(scene.url, "ui/docs")
    await tab.page.get_by_role("link", name="Tutorial").click()
    await tab.shows("Tutorial: mails that fail")
    assert tab.page.url == f"{scene.url}/ui/tutorial"


async def test_tutorial_is_accessible(tab_of: OpenTab, scene: Scene) -> None:
    """It has no violation of axe's rules in either theme."""
    for theme in ("light", "dark"):
        tab = await tab_of(scene.url, "ui/tutorial", theme=theme, bypass_csp=True)
        await tab.page.locator("img.picture").last.wait_for()
        found = await Axe().run(tab.page)
        assert [one["id"] for one in found.response["violations"]] == []
        await tab.page.context.close()
