"""A real broker with something to show, and Chromium: a page that has a fault fails its test.

A fault is an error on the console, an exception in a script, a violation of the policy, a dialog of the browser, an
answer of 500 or above, and a request to another host. A refused call (4xx) is none. For this Chromium no other machine
exists. README.md has the list of what is shown where.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.browser.scene import Scene, fill
from tests.conftest import server_program, start_server
from tests.security.conftest import Tokens
from tests.system.conftest import Program

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is missing: pip install -e '.[test]'")

CHROMIUM = ("chromium-headless-shell", "chromium", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip
SERVES = r"serves on (http://\S+);"
LIMIT_MS = 15_000
CLOSE_S = 20
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
_WATCH = """document.addEventListener('securitypolicyviolation',
  (event) => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample))"""


def limit_ms(promised_s: float) -> float:
    """A time that the pages promise; longer by as much as this machine has more to do than it has cores for."""
    return 1000 * promised_s * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the loop of the browser, and count them as slow."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.slow)


class Tab:
    """A page of the browser, in a profile of its own, and the faults it has so far."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.is_strict = True
        host = urlsplit(url).netloc
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", lambda request: self._see(request.url, host))
        page.on("response", lambda response: self._check(response.status, response.url))
        page.on("dialog", self._dialog)

    async def go(self, path: str) -> None:
        """Open a path of the broker, and wait until the page has its data or an error."""
        await self.page.goto(f"{self.url}/{path}", wait_until="load", timeout=LIMIT_MS)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the page has a heading and loads nothing."""
        script = "() => document.querySelector('main h1') && !document.querySelector('main .loading')"
        await self.page.wait_for_function(script, timeout=LIMIT_MS)

    async def width(self) -> tuple[int, int]:
        """How wide the page is, and how wide the window: the first is larger where it scrolls sideways."""
        script = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        wide, has = await self.page.evaluate(script)
        return wide, has

    async def confirm(self, verb: str) -> None:
        """Press the button of the open dialog that does it, and wait until the dialog is gone."""
        dialog = self.page.get_by_role("dialog")
        await dialog.get_by_role("button", name=verb, exact=True).click()
        await dialog.wait_for(state="detached")

    async def text(self) -> str:
        """The text of the page as a person sees it."""
        return str(await self.page.inner_text("body"))

    async def shows(self, text: str, limit_s: float = 15) -> None:
        """Wait until the page shows a text."""
        script = "(text) => document.body.innerText.includes(text)"
        try:
            await self.page.wait_for_function(script, arg=text, timeout=limit_s * 1000)
        except playwright_api.TimeoutError:
            pytest.fail(f"the page does not show {text!r}, but:\n{await self.text()}")

    async def has(self, number: int, locator: Any) -> None:
        """Wait until the page has so many elements; parts of a page change one after the other."""
        await playwright_api.expect(locator).to_have_count(number, timeout=LIMIT_MS)

    async def log_in(self, token: str) -> None:
        """Send a token with the form of the login."""
        await self.page.fill("input[name=token]", token)
        await self.page.press("input[name=token]", "Enter")

    async def fetch(self, method: str, path: str, headers: dict[str, str] | None = None) -> int:
        """The status of a call that a person makes by hand in the page."""
        script = "([method, path, headers]) => fetch(path, {method, headers}).then((answer) => answer.status)"
        return int(await self.page.evaluate(script, [method, f"{self.url}/{path}", headers or {}]))

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not _REFUSED.search(message.text):
            self.faults.append(f"console: {message.text}")

    def _see(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != host:
            self.faults.append(f"request to another host: {url}")

    def _check(self, status: int, url: str) -> None:
        if status >= 500:
            self.faults.append(f"{status} of {url}")

    async def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


OpenTab = Callable[..., Awaitable[Tab]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's Chromium. Where it is missing the tests are skipped, and fail in CI.

    The one without windows draws the same pages with about half the CPU time.
    """
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        missing = "chromium is missing: apt-get install chromium-headless-shell fonts-dejavu-core"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Any]:
    """One Chromium for all tests of a process."""
    async with playwright_api.async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        async with asyncio.timeout(CLOSE_S):
            await started.close()


class Running:
    """What a test has started: programs of Titan and servers of a store. It ends after the pages of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.servers: list[subprocess.Popen[bytes]] = []

    def serve(self, *options: str) -> str:
        """Start a broker, with its embedded store or with that of `--redis-url`; its address, once it serves."""
        return self.start(*options).says(SERVES)[1]

    def start(self, *options: str) -> Program:
        """Start a broker."""
        folder = self.folder / f"b{len(self.programs)}"
        folder.mkdir()
        self.programs.append(Program("broker", "--port", "0", "--data-dir", str(folder), *options, folder=folder))
        return self.programs[-1]

    def work(self, url: str, **commands: str) -> None:
        """Start a worker of a broker that runs these commands: `hello="sh -c ls"`."""
        options = [word for name, command in commands.items() for word in ("--run", f"{name}={command}")]
        self.programs.append(Program("worker", "--broker-url", url, "--name", "w-real", *options, folder=self.folder))

    def store(self) -> str:
        """Start a store of its own; its address."""
        folder = self.folder / "store"
        folder.mkdir()
        url, server = start_server(server_program("valkey"), folder)
        self.servers.append(server)
        return url

    def pid_of_store(self) -> int:
        """The process of the embedded store of the broker."""
        return int(next(self.folder.glob("**/valkey.pid")).read_text())

    def end(self) -> None:
        """End all of it, whatever it does."""
        for program in self.programs:
            program.started.terminate()
        for program in self.programs:
            with suppress(subprocess.TimeoutExpired):
                program.wait()
            program.end()
        for server in self.servers:
            server.kill()
            server.wait()
        for pid_file in self.folder.glob("**/valkey.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Starts programs of the test."""
    running = Running(tmp_path)
    yield running
    running.end()


@pytest_asyncio.fixture(loop_scope="session")
async def tab_of(browser: Any, running: Running) -> AsyncIterator[OpenTab]:
    """Opens a path of any broker; after the test the page must have no fault.

    The pages are closed before the programs of `running` end, since a page whose broker is gone has faults.

    `is_strict` of the tab is set to False by a test in which the broker answers 503.
    """
    contexts: list[Any] = []
    tabs: list[Tab] = []

    async def open_(url: str, path: str = "ui/", *, width: int = 1280, theme: str = "light", **options: Any) -> Tab:
        context = await browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, service_workers="block", **options
        )
        contexts.append(context)
        context.set_default_timeout(LIMIT_MS)
        await context.add_init_script(_WATCH)
        tabs.append(Tab(await context.new_page(), url))
        await tabs[-1].go(path)
        return tabs[-1]

    yield open_
    for context in contexts:
        async with asyncio.timeout(CLOSE_S):
            await context.close()
    assert [fault for tab in tabs if tab.is_strict for fault in tab.faults] == []


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A broker with its embedded store, jobs in every status, and a worker; nobody needs a token."""
    folder = tmp_path_factory.mktemp("b")
    program = Program("broker", "--port", "0", "--data-dir", str(folder), folder=folder)
    yield fill(program.says(SERVES)[1])
    program.stop()
    program.end()


@pytest.fixture
def scene(filled: Scene) -> Scene:
    """The same, whose worker announced itself just now."""
    filled.announce()
    return filled


class Locked:
    """Two brokers of one store that need tokens, `admin` and `read` of one file."""

    def __init__(self, running: Running) -> None:
        self.tokens = Tokens(running.folder / "tokens.toml")
        for name in ("admin", "read"):
            self.tokens.add(name, name)
        options = ("--redis-url", running.store(), "--log-store", str(running.folder / "logs"))
        both = [running.start(*options, "--tokens", str(self.tokens.path)) for _ in range(2)]
        self.first, self.second = (program.says(SERVES)[1] for program in both)
        self._program = running.programs[-2]

    def take_away(self, name: str) -> None:
        """Take a token from the file, and tell the first broker."""
        rows = self.tokens.path.read_text().split("\n\n")
        self.tokens.path.write_text("\n\n".join(row for row in rows if f'name = "{name}"' not in row))
        self._program.started.send_signal(signal.SIGHUP)


@pytest.fixture
def locked_alone(running: Running) -> Locked:
    """Two brokers for a test that changes their tokens, or is kept out."""
    return Locked(running)


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """Two brokers for all tests of a process."""
    running = Running(tmp_path_factory.mktemp("l"))
    yield Locked(running)
    running.end()
