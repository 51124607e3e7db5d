"""Who may look at the pages, and what other pages may do: login, sessions, other sites, other names, a base path."""

import os
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.browser.conftest import Locked, OpenTab, Running, Tab
from tests.browser.scene import Scene, enqueue, fill, read
from tests.browser.screens import SCREENS
from tests.deploy.conftest import missing
from tests.deploy.proxies import Proxy, free_port, where
from tests.security.conftest import Tokens

_NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log warn; worker_processes 1; user {user};
events {{ worker_connections 200; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""

_DOCUMENT = Path(__file__).parents[2] / "broker" / "docs" / "dashboard.md"
_CHANGE = """async () => {
  const { csrf } = await (await fetch('ui/session')).json();
  const headers = { 'Titan-CSRF': csrf, 'Content-Type': 'application/json' };
  return (await fetch('v1/groups/mail', { method: 'PUT', headers, body: '{"group":{}}' })).status;
}"""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WORDS = "(all) => all.map((one) => one.innerText.trim().replace('…', ''))"
_ACTIONS = {
    *("Retry", "Cancel", "Delete", "Promote", "Copy", "Pause", "Resume", "Drain", "Quiet", "Enqueue", "Enqueue one"),
    *("Retry all", "Cancel all", "Delete all", "Promote all", "Settings", "Change", "Save", "Stop", "End", "Reveal"),
    *("Add jobs", "Close batch", "Cancel batch", "Retry failed", "Free", "Run now", "Backfill"),
}
"""The words of all buttons and links that change something, or lead to a form that does."""


async def test_log_in_and_out(tab_of: OpenTab, locked: Locked) -> None:
    """Without a session a page leads to the login, back to the same address after it, and out again."""
    tab = await tab_of(locked.first, "ui/groups/mail?status=failed")
    await tab.shows("Token")
    await tab.log_in("titan_wrong")
    await tab.shows("does not know that token")
    await tab.log_in(locked.tokens.by_name["admin"])
    await tab.page.wait_for_url("**/ui/groups/mail?status=failed")
    await tab.shows("admin")
    assert locked.tokens.by_name["admin"] not in await tab.page.content()
    assert await tab.page.evaluate("() => document.cookie") == ""
    await tab.page.click("details.who summary")
    await tab.page.click("text=Log out")
    await tab.shows("Token")
    assert await tab.fetch("GET", "v1/groups") == 401


async def test_log_in_with_wrong_tokens(tab_of: OpenTab, locked_alone: Locked) -> None:
    """Five wrong tokens are 401, the sixth is a 429, and the page says so."""
    tab = await tab_of(locked_alone.first, "ui/login")
    statuses: list[int] = []
    for n in range(6):
        async with tab.page.expect_response("**/ui/login") as answered:
            await tab.log_in(f"titan_{n}")
        statuses.append((await answered.value).status)
        await tab.shows("Log in")
    await tab.shows("Too many wrong tokens")
    assert statuses == [401] * 5 + [429]


async def test_token_taken_away(tab_of: OpenTab, locked_alone: Locked) -> None:
    """A token that is taken from the file of one broker ends its sessions there at once, and at the other in 30 s."""
    tab = await tab_of(locked_alone.first, "ui/workers")
    await tab.shows("Token")
    await tab.log_in(locked_alone.tokens.by_name["admin"])
    await tab.shows("admin")
    other = await tab.page.context.new_page()
    await other.goto(f"{locked_alone.second}/ui/workers")
    await other.wait_for_function("() => document.body.innerText.includes('admin')")
    locked_alone.take_away("admin")
    await tab.shows("Token")
    await other.wait_for_selector("input[name=token]", timeout=31_000)


async def test_end_a_session_of_another(tab_of: OpenTab, locked_alone: Locked) -> None:
    """An admin sees who is logged in and ends a session: its page leads to the login at its next call."""
    reader = await tab_of(locked_alone.first, "ui/login")
    await reader.log_in(locked_alone.tokens.by_name["read"])
    await reader.shows("Workers")
    await reader.go("ui/groups")
    admin = await tab_of(locked_alone.first, "ui/login")
    await admin.log_in(locked_alone.tokens.by_name["admin"])
    await admin.shows("Workers")
    await admin.go("ui/settings")
    await admin.page.get_by_role("button", name="End the session of read").click()
    await admin.confirm("End it")
    await reader.shows("Token")
    await admin.shows("admin")


async def test_session_that_ended(tab_of: OpenTab, locked: Locked) -> None:
    """A page whose session has ended leads to the login, and back to the same address."""
    tab = await tab_of(locked.first, "ui/login")
    await tab.log_in(locked.tokens.by_name["read"])
    await tab.shows("read")
    await tab.go("ui/workers")
    await tab.page.context.clear_cookies()
    await tab.shows("Token")
    assert "to=ui" in tab.page.url


async def test_tab_of_another_site(tab_of: OpenTab, scene: Scene, browser: Any) -> None:
    """A page of another site that posts a cancel and takes jobs with an image is refused twice, and no job moves."""
    url = scene.url
    [job] = enqueue(url, {"payload": "stay"}, group="quiet")
    page = f"""<img src="{url}/v1/jobs?n=10&group=quiet"><script>
      fetch("{url}/v1/groups/quiet/jobs/{job}/cancel", {{method: "POST", mode: "no-cors", credentials: "include"}})
    </script>"""
    async with foreign(page) as address:
        context = await browser.new_context()
        tab = await context.new_page()
        await tab.goto(address, wait_until="networkidle")
        await context.close()
    counts = urlopen(f"{url}/metrics")
    for verb in ("cancel", "next"):
        assert f'titan_requests_total{{status="403",verb="{verb}"}} 1.0\n' in counts
    assert read(f"{url}/v1/groups/quiet/jobs/{job}")["job"]["status"] == "queued"


def urlopen(url: str) -> str:
    """The text of an answer."""
    with _DIRECT.open(url, timeout=10) as answer:
        return str(answer.read().decode())


async def test_page_under_another_name(scene: Scene, browser: Any) -> None:
    """Under a name that is not the broker's an open broker shows no page."""
    context = await browser.new_context()
    tab = await context.new_page()
    answer = await tab.goto(scene.url.replace("127.0.0.1", "evil.example") + "/ui/")
    assert answer.status == 421
    await context.close()


@pytest.fixture
def nginx(tmp_path: Path) -> str:
    """The program."""
    program = where("nginx")
    if program is None:
        missing("nginx is missing: apt-get install nginx-light")
    return str(program)


def location_of(broker: str, *, is_removed: bool, more: str = "") -> str:
    """What dashboard.md has for nginx, for /a/b instead of /titan. `more`: a line that it has in addition."""
    block = _DOCUMENT.read_text().partition("```nginx\n")[2].partition("```")[0]
    assert "proxy_pass http://127.0.0.1:8080;" in block
    block = block.replace("/titan", "/a/b").replace("http://127.0.0.1:8080", broker + ("/" if is_removed else ""))
    return block.replace("{", "{" + more)


@pytest.mark.parametrize(
    ("way", "is_removed"), [("option", True), ("option", False), ("header", True)], ids=["removed", "kept", "named"]
)
async def test_base_path_behind_nginx(
    tab_of: OpenTab, running: Running, nginx: str, way: str, is_removed: bool
) -> None:
    """Behind a proxy at /a/b, which removes that from the path or not, all works: screens, login, changes, live views.

    A proxy that names the prefix has removed it, and then the broker needs no setting but whom to trust.
    """
    tokens = Tokens(running.folder / "tokens")
    token = tokens.add("ann", "admin")
    options = ("--base-path", "/a/b") if way == "option" else ("--trust-proxy", "127.0.0.1")
    broker = running.serve("--tokens", str(tokens.path), *options)
    folder, port = running.folder, free_port()
    prefix = "proxy_set_header X-Forwarded-Prefix /a/b;" if way == "header" else ""
    (folder / "nginx.conf").write_text(
        _NGINX.format(
            folder=folder, port=port, user="root" if os.getuid() == 0 else "nobody",
            location=location_of(broker, is_removed=is_removed, more=prefix),
        )
    )  # fmt: skip
    proxy = Proxy([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder)
    try:
        tab = await tab_of(f"{proxy.url}/a/b", "ui/enqueue")
        await use_pages(tab, token)
        await tab.page.context.close()
    finally:
        proxy.end()


async def use_pages(tab: Tab, token: str) -> None:
    """Log in, enqueue a job by the form, see it live, open every screen, follow a link, and log out."""
    await tab.log_in(token)
    await tab.page.wait_for_url("**/a/b/ui/enqueue")
    [cookie] = await tab.page.context.cookies()
    assert (cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == ("/a/b", True, "Strict")
    await tab.page.fill("[name=group]", "mail")
    await tab.page.fill("[name=image]", "send")
    await tab.page.get_by_role("button", name="Enqueue", exact=True).click()
    await tab.page.wait_for_url("**/a/b/ui/groups/mail/jobs/*")
    job = tab.page.url.rpartition("/")[2]
    for screen in SCREENS:
        if "login" not in screen.path:
            await tab.go(screen.path.format_map(defaultdict(lambda: "0" * 16, queued=job, failed=job)))
            await tab.has(1, tab.page.locator("nav.nav"))
    await tab.go("ui/groups/mail")
    await tab.page.wait_for_selector(".fresh.live")
    assert await tab.page.evaluate(_CHANGE) == 200
    await tab.page.click("nav >> text=Workers")
    await tab.page.wait_for_url("**/a/b/ui/workers")
    await tab.page.reload()
    await tab.shows("No worker has announced itself")
    await tab.page.click("details.who summary")
    await tab.page.click("text=Log out")
    await tab.page.wait_for_url("**/a/b/ui/login")
    await tab.shows("Token")


async def test_pages_that_only_read(tab_of: OpenTab, running: Running) -> None:
    """With --ui read no page has an action, also before the first job, and a call by hand is a 403."""
    url = running.serve("--ui", "read")
    tab = await tab_of(url)
    await tab.shows("This broker has no group yet.")
    assert await tab.page.locator("main a[href='ui/enqueue']").count() == 0
    reading = fill(url)
    await tab.shows("mail")
    await sees_no_action(tab, [screen.of(reading) for screen in SCREENS])
    assert await tab.fetch("POST", f"v1/groups/mail/jobs/{reading.ids['queued']}/cancel") == 403


async def test_first_job_by_hand(tab_of: OpenTab, running: Running) -> None:
    """Before the first job the overview leads who may enqueue to the form."""
    tab = await tab_of(running.serve())
    await tab.page.get_by_role("link", name="enqueue it here").click()
    await tab.page.wait_for_url("**/ui/enqueue")


async def test_reader_sees_no_action(tab_of: OpenTab, locked: Locked) -> None:
    """A token that may only read sees no action on any page, and is refused by hand."""
    scene = fill(locked.first, locked.tokens.by_name["admin"])
    tab = await tab_of(locked.first, "ui/login")
    await tab.log_in(locked.tokens.by_name["read"])
    await tab.shows("mail")
    await sees_no_action(tab, [screen.of(scene) for screen in SCREENS if screen.path != "ui/login"])
    assert await tab.fetch("POST", "v1/groups/mail/jobs") == 403


async def sees_no_action(tab: Tab, paths: list[str]) -> None:
    """None of these pages has a button or a link of an action."""
    for path in paths:
        await tab.go(path)
        words = set(await tab.page.eval_on_selector_all("main button, main a", _WORDS))
        assert not _ACTIONS & words, path


def foreign(page: str) -> Any:
    """An address of another site that serves this page, inside the block."""

    class Server:
        async def __aenter__(self) -> str:
            async def answer(_: web.Request) -> web.Response:
                return web.Response(text=page, content_type="text/html")

            app = web.Application()
            app.router.add_get("/", answer)
            self.runner = web.AppRunner(app)
            await self.runner.setup()
            site = web.TCPSite(self.runner, "127.0.0.1", 0)
            await site.start()
            return f"http://localhost:{self.runner.addresses[0][1]}/"

        async def __aexit__(self, *_: object) -> None:
            await self.runner.cleanup()

    return Server()
