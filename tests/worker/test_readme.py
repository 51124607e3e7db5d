"""broker/docs/worker.md: its files, its sessions run as they are printed, and its table of outcomes."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from broker.core.settings_schema import settings_of
from tests.worker.conftest import Front
from tests.worker.podman import IMAGE, missing, podman
from tests.worker.programs import Start
from worker.jobs import outcome
from worker.settings import INHERITED, WorkerSettings
from worker.table.entries import ContainerEntry, HttpEntry, Limits, ProcessEntry

ROOT = Path(__file__).parents[2]
README = (ROOT / "broker/docs/worker.md").read_text()
BUSYBOX = "docker.io/library/busybox:1"
MARK = "---- titan ----"


def blocks(kind: str) -> list[str]:
    """The page's blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def steps(*, of_containers: bool) -> list[tuple[str, str]]:
    """Each command, with its output on the page."""
    found = [
        step.partition("\n") for block in blocks("console") for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    return [(command, output) for command, _, output in found if (BUSYBOX in command) == of_containers]


@pytest.fixture
async def hooks() -> AsyncIterator[int]:
    """A site that answers with what it was asked; its port."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.path} {await request.text()}\n")

    app = web.Application()
    app.router.add_post("/hooks/{rest:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def run(session: list[tuple[str, str]], front: Front, start: Start, folder: Path, port: int, **more: str) -> None:
    """Start the page's worker in a folder with the page's files, and run the commands."""
    (config,), (app,) = blocks("toml"), blocks("python")
    (folder / "worker.toml").write_text(config.replace("9000", str(port)))
    (folder / "shop.py").write_text(app)
    (words,) = [line.split()[2:] for block in blocks("sh") for line in block.splitlines()]
    words = [str(folder / word) if word == "worker.toml" else word for word in words]
    worker = await start(*words, PYTHONPATH=str(folder), **more)
    await worker.says("asks for jobs")
    script = f'titan() {{ "{sys.executable}" -m broker "$@"; }}\n'
    script += "".join(f"{command}\necho '{MARK}'\n" for command, _ in session).replace("9000", str(port))
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TITAN_BROKER_URL": front.url},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        printed = (await shell.communicate())[0].decode().split(f"{MARK}\n")
    assert [text.strip() for text in printed[:-1]] == [expected.strip() for _, expected in session]


@pytest.mark.slow
async def test_the_sessions_print_what_the_page_says(front: Front, start: Start, tmp_path: Path, hooks: int) -> None:
    """Commands, addresses and functions of the page's own worker.toml and shop.py do what the page shows."""
    session = steps(of_containers=False)
    assert len(session) == 5
    await run(session, front, start, tmp_path, hooks)


@pytest.mark.slow
@pytest.mark.xdist_group("podman")
async def test_the_session_with_a_container(front: Front, start: Start, tmp_path: Path, hooks: int) -> None:
    """The same with a container engine and the image that the page names."""
    if why := missing():
        (pytest.fail if "CI" in os.environ else pytest.skip)(why)
    session = steps(of_containers=True)
    assert len(session) == 1
    with podman() as engine:
        engine("tag", IMAGE, BUSYBOX)
        await run(session, front, start, tmp_path, hooks, DOCKER_HOST=engine.address)


def test_the_table_has_each_outcome_and_reason() -> None:
    """The page's table names every outcome of the code, with the statuses that the code's own table gives it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if re.match(r"\| .*\| (Succeeded|Failed|Released|Waiting|Dropped) \|", line)
    ]
    assert {row[1] for row in rows} == {kind.__name__ for kind in outcome.Outcome.__args__}
    by_outcome = {kind: {row[2] for row in rows if row[1] == kind} for kind in ("Succeeded", "Failed", "Released")}
    assert by_outcome == {"Succeeded": {"succeeded"}, "Failed": {"failed"}, "Released": {"delayed", "queued"}}
    reasons = {row[3] for row in rows if row[1] == "Failed"} - {"http_404, http_500, …", "that reason"}
    sources = "".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    assert reasons == set(re.findall(r'Failed\(\s*"(\w+)",', sources))


def keys(heading: str) -> dict[str, str]:
    """The first column of the first table in a chapter, and its default as the page has it."""
    chapter = re.split(r"^## ", README, flags=re.MULTILINE)
    (text,) = [part for part in chapter if part.startswith(f"{heading}\n")]
    return dict(re.findall(r"^\| `([\w-]+)` \| `?(.*?)`? \| .* \|$", text, re.MULTILINE))


def default_of(value: object) -> str:
    """A default as the page writes it; "" for one that the page describes in words."""
    value = value[0] if isinstance(value, tuple) and value else value
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, int | float) else str(value or "")


def expected_defaults(defaults: dict[str, object], page: dict[str, str]) -> dict[str, str]:
    """Each name with its default in the code; where that is empty, with the words of the page."""
    return {
        name: "" if value in ({}, ()) else default_of(value) or page.get(name, "") for name, value in defaults.items()
    }


def test_the_page_has_every_setting() -> None:
    """The table of settings has each option in the order of the code, and its default."""
    page = keys("Settings")
    rows = settings_of(WorkerSettings)
    code = expected_defaults({row.option: row.default for row in rows}, page)
    assert list(page) == list(code)
    assert {name: value for name, value in code.items() if value} == {
        name: page[name] for name, value in code.items() if value
    }
    odd = {row.option: row.variable for row in rows if row.variable != f"TITAN_{row.name.upper()}"}
    assert odd == {"--group": "TITAN_GROUPS"}
    assert "`TITAN_GROUPS`" in README


def test_the_page_has_every_key_of_a_container() -> None:
    """The table of keys has each key in the order of the code, and its default."""
    page = keys("Containers")
    fields = {field.name: field.default for field in msgspec.structs.fields(ContainerEntry)}
    code = expected_defaults(
        {name: "" if value is msgspec.NODEFAULT else value for name, value in fields.items()}, page
    )
    assert list(page) == list(code)
    assert {name: value for name, value in code.items() if value} == {
        name: page[name] for name, value in code.items() if value
    }


@pytest.mark.parametrize("kind", [ProcessEntry, HttpEntry, Limits])
def test_the_page_has_the_keys_of_other_entries(kind: type[msgspec.Struct]) -> None:
    """Its worker.toml shows each key, or a chapter explains it."""
    for name in kind.__struct_fields__:
        assert re.search(rf"\b{name} = |`{name}`", README), name


def test_the_page_has_the_inherited_variables() -> None:
    """The variables that a command gets from the worker are those of the code."""
    (text,) = re.findall(r"the worker's (`PATH`.*?);", README, re.DOTALL)
    assert re.findall(r"`(\w+)`", text) == list(INHERITED)


def test_the_contents_name_every_chapter() -> None:
    """In the order of the page."""
    contents = README.partition("\n## ")[0]
    chapters = re.findall(r"^## (.*)$", README, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", chapter.lower()).replace(" ", "-") for chapter in chapters]
    assert sorted(re.findall(r"\(#([\w-]+)\)", contents)) == sorted(anchors)
