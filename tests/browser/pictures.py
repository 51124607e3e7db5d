"""`python -m tests.browser.pictures`: makes the pictures of README.md and of the tutorial, in Chromium.

They are files of the tutorial, which every broker serves: so a page without a way to the Internet has them too.
"""

import asyncio
import base64
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import async_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.picture_facts import FOLDER, HEIGHT, MAX_BYTES, WIDTH
from tests.browser.picture_scene import FULL, PictureScene, picture_scene
from tests.browser.scene import call
from tests.deploy.brokers import ask, eventually

QUALITY = 82
UNDER_WAY = 10
"""Jobs that the bulk has done before its picture."""
_SETTLES_S = 4.0
"""How long a page is watched before its picture: the counts of the overview are up to 5 s old."""


class Picture(NamedTuple):
    """A picture: its name, the path of the page, and a text that the page must show."""

    name: str
    path: str
    shows: str


BULK = Picture("bulk", "ui/bulk", FULL)


def pictures(scene: PictureScene) -> list[Picture]:
    """The pictures, but for that of a bulk at work."""
    return [
        Picture("overview", "ui/", "invoices"),
        Picture("group", "ui/groups/mail?status=failed", "the mailbox is full"),
        Picture("causes", "ui/groups/mail/causes", "the mailbox is full"),
        Picture("job", f"ui/groups/mail/jobs/{scene.failed}", "exit code"),
        Picture("why", f"ui/groups/invoices/jobs/{scene.waiting}", "the printer is being moved"),
    ]


async def take(page: Any, url: str, picture: Picture) -> bytes:
    """Open the page of a picture and take it, as WebP."""
    await page.goto(f"{url}/{picture.path}", wait_until="load")
    await page.wait_for_function("(text) => document.body.innerText.includes(text)", arg=picture.shows)
    await asyncio.sleep(_SETTLES_S)
    await page.evaluate("() => document.activeElement?.blur()")
    session = await page.context.new_cdp_session(page)
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(shot["data"])


async def make(scene: PictureScene, folder: Path) -> None:
    """Make all pictures in a folder. Raises ValueError if one is too large."""
    async with async_playwright() as playwright:
        path = next(filter(None, map(shutil.which, CHROMIUM)))
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        for picture in pictures(scene):
            _keep(folder, picture.name, await take(page, scene.url, picture))
        begin_bulk(scene.url)
        _keep(folder, BULK.name, await take(page, scene.url, BULK))
        await browser.close()


def begin_bulk(url: str) -> None:
    """Begin the bulk that one picture shows, and wait until it is under way."""
    given = {"action": "retry", "cause": FULL, "retried": False, "rate": 4}
    begun = call(f"{url}/v1/groups/mail/bulk", given)["bulk"]["id"]
    if not eventually(lambda: ask(f"{url}/v1/bulk/{begun}")[1]["bulk"]["done"] >= UNDER_WAY):
        raise TimeoutError("the bulk did not begin")


def _keep(folder: Path, name: str, content: bytes) -> None:
    print(f"{name}.webp: {len(content) / 1000:.0f} kB", flush=True)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name}.webp is larger than {MAX_BYTES} bytes")
    (folder / f"{name}.webp").write_bytes(content)


def main() -> None:
    """Make the pictures of the repository."""
    with tempfile.TemporaryDirectory() as folder, picture_scene(Path(folder)) as scene:
        asyncio.run(make(scene, FOLDER))


if __name__ == "__main__":
    main()
