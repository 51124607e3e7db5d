"""What the pages make of hostile texts and of secrets."""

import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.conftest import Locked, OpenTab, Tab, playwright_api
from tests.browser.scene import Scene, call, end, enqueue, take

MARKUP = "<img src=x onerror=window.pwned=1></script><script>window.pwned=2</script>javascript:window.pwned=3//"
HOSTILE = f"{MARKUP}\u202e"
DEEP = "[" * 10_000 + "]" * 10_000
WIDE = json.dumps({f"key {n}": n for n in range(100_000)})
PAYLOADS = {
    "markup": HOSTILE,
    "json": json.dumps({HOSTILE: HOSTILE, "url": "javascript:window.pwned=4", "nul": "\0", "ansi": "\x1b[31m"}),
    "line": "x" * 1_000_000,
    "wide": WIDE[: 1024 * 1024],
    "deep": DEEP,
}
_FIRST_EVENT = """async (path) => {
  const stop = new AbortController();
  const reader = (await fetch(path, { signal: stop.signal })).body.getReader();
  const decoder = new TextDecoder();
  for (let text = ''; ; text += decoder.decode((await reader.read()).value, { stream: true })) {
    if (/^data: .*\\n\\n/m.test(text)) { stop.abort(); return text; }
  }
}"""
LINK = "\x1b]8;;javascript:window.pwned=5\x07link"


async def unharmed(tab: Tab) -> bool:
    """Whether no text ran as a script or became an element."""
    elements = "main img, main script, main iframe, a[href^=javascript], dialog img, dialog script"
    script = "(elements) => window.pwned === undefined && !document.querySelector(elements)"
    return bool(await tab.page.evaluate(script, elements))


async def test_result_and_progress(tab_of: OpenTab, scene: Scene) -> None:
    """A running job has a bar with its note, in the list too; a finished one has a panel with its result."""
    url, group = scene.url, "made"
    enqueue(url, {}, {}, group=group)
    done, runs = take(url, group), take(url, group)
    end(url, done, "success", {"result": {MARKUP: [1.5, HOSTILE]}, "receipt": {"note": MARKUP}})
    path = f"v1/groups/{group}/jobs/{runs['id']}/touch"
    call(f"{url}/{path}", {"lease": runs["lease"], "progress": 40, "note": f"half of {MARKUP}"})
    tab = await tab_of(url, f"ui/groups/{group}/jobs/{done['id']}")
    await tab.shows("Result")
    await tab.shows(MARKUP)
    assert await tab.page.locator("section.panel:has(h2:text-is('Result')) .tree").count() > 0
    assert await unharmed(tab)
    for page in (f"ui/groups/{group}/jobs/{runs['id']}", f"ui/groups/{group}"):
        await tab.page.goto(f"{url}/{page}")
        await tab.shows("half of")
        assert await tab.page.locator("progress[aria-label='how far it is']").evaluate("(bar) => bar.value") == 40
        assert await unharmed(tab)


@pytest.mark.parametrize("kind", PAYLOADS)
async def test_hostile_job(tab_of: OpenTab, scene: Scene, kind: str) -> None:
    """Hostile texts in every field of a job are shown as they are, on every page that shows them."""
    url, group = scene.url, f"hostile-{kind}"
    enqueue(url, {"image": MARKUP, "payload": PAYLOADS[kind]}, group=group)
    job = take(url, group)
    path = f"v1/groups/{group}/jobs/{job['id']}"
    call(f"{url}/{path}/log", text=f"{HOSTILE}\n\x1b[31m{HOSTILE}{LINK}\n\0\r{HOSTILE}\n")
    receipt = {"worker": MARKUP, "host": MARKUP, "signal": MARKUP[:60]}
    end(url, job, "error", {"reason": MARKUP[:100], "error": HOSTILE, "receipt": receipt})
    [delayed] = enqueue(url, {"image": MARKUP, "payload": HOSTILE, "delay": 3000}, group=group)
    call(f"{url}/v1/groups/{group}", {"group": {"paused": True, "note": MARKUP, "env_vars": {"A": HOSTILE}}}, "PATCH")
    running = [job["id"]]
    worker = {"name": f"w-{kind}", "host": MARKUP, "version": MARKUP[:60], "slots": 1, "images": [MARKUP]}
    call(f"{url}/v1/workers", {**worker, "running": running})
    tab = await tab_of(url)
    for page, shows in {
        f"ui/groups/{group}?order=asc": MARKUP[:40],
        f"ui/groups/{group}/jobs/{job['id']}": MARKUP,
        f"ui/groups/{group}/jobs/{delayed}": MARKUP,
        f"ui/groups/{group}/causes": MARKUP[:20],
        f"ui/groups/{group}/why": MARKUP,
        f"ui/groups/{group}/settings": "Environment",
        f"ui/groups/{group}/enqueue?copy={job['id']}": "A copy, to edit",
        f"ui/groups?q={group}": group,
        "ui/workers": MARKUP,
        f"ui/find?q={job['id']}": MARKUP,
        f"ui/find?q={quote(HOSTILE)}": "Nothing has this id or name.",
        "ui/settings": "configure",
        "ui/": "Needs a look",
    }.items():
        await tab.go(page)
        await tab.shows(shows)
        assert await unharmed(tab), page
        wide, has = await tab.width()
        assert wide <= has, page


async def test_secret_is_masked_until_it_is_revealed(tab_of: OpenTab, locked: Locked) -> None:
    """A session sees a mask in the page, in every answer and in live views; an admin reveals it, and that is noted."""
    tab = await tab_of(locked.first, "ui/login")
    seen: list[str] = []

    async def keep(answer: Any) -> None:
        if "/v1/" in answer.url and "/v1/live" not in answer.url and "reveal" not in answer.url:
            with contextlib.suppress(playwright_api.Error):  # the page left before its answer came
                seen.append(await answer.text())

    tab.page.on("response", keep)
    await tab.log_in(locked.tokens.by_name["admin"])
    await tab.shows("admin")
    body = json.dumps({"jobs": [{"image": "i", "payload": '{"to":"ann","password":"hunter2"}'}]})
    job = await tab.page.evaluate(
        """async (body) => {
          const { csrf } = await (await fetch('ui/session')).json();
          const headers = { 'Titan-CSRF': csrf, 'Content-Type': 'application/json' };
          return (await (await fetch('v1/groups/mail/jobs', { method: 'POST', headers, body })).json()).jobs[0].id;
        }""",
        body,
    )
    await tab.go("ui/groups/mail")
    await tab.shows("••••")
    await tab.go(f"ui/groups/mail/jobs/{job}")
    await tab.shows("••••")
    view = await tab.page.evaluate(_FIRST_EVENT, f"v1/live?view=job:mail/{job}")
    assert "••••" in view
    assert "hunter2" not in view
    assert "hunter2" not in await tab.page.content()
    assert seen
    assert not [text for text in seen if "hunter2" in text]
    await tab.page.click("text=Reveal…")
    await tab.page.click("dialog >> text=Reveal >> nth=-1")
    await tab.shows("hunter2")
    await tab.go("ui/settings")
    row = tab.page.locator("tr", has_text="reveal")
    await row.wait_for()
    assert ("admin" in await row.inner_text(), job in await row.inner_text()) == (True, True)
