"""The examples of the page How to for frameworks: a request makes the job that the page promises."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import apps
from tests.frameworks.installed import LIMIT_S, missing, node_modules, program, python_environment
from tests.pages import ROOT, save_files
from tests.system.conftest import Program

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(LIMIT_S + 100)]

HOWTO = ROOT / "broker/docs/howto.md"


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a broker, which is also in the environment of the programs that the test starts."""
    broker = Program("broker", "--port", "0", folder=tmp_path_factory.mktemp("s"))
    address = broker.says(r"serves on (http://\S+);")[1]
    monkeypatch.setenv("TITAN_BROKER_URL", address)
    yield address
    broker.stop()
    broker.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program in the folder of the test: with `start=PROGRAM`, or else `titan`."""
    programs: list[Program] = []

    def start(*words: str, **options: Sequence[str]) -> Program:
        programs.append(Program(*words, folder=tmp_path, **options))
        return programs[-1]

    yield start
    for each in programs:
        each.end()


def make(folder: Path, files: dict[str, str], heading: str, replace: tuple[str, str] = ("", "")) -> None:
    """Write an application with the example below a heading; `replace` changes one line of the example."""
    chapter = HOWTO.read_text("utf-8").partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    [example] = re.findall(r"^```\w+ framework\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    assert replace[0] in example
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip().replace("{example}", example.replace(*replace)), "utf-8")
    save_files(HOWTO, folder)


def post(address: str, body: bytes = b"") -> tuple[int, str]:
    """The status and the text of an answer."""
    try:
        with urllib.request.urlopen(address, body, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def jobs(url: str) -> list[Any]:
    """The jobs of the group mail."""
    with urllib.request.urlopen(f"{url}/v1/groups/mail/jobs", timeout=30) as answer:
        return json.load(answer)["jobs"]


def test_django_enqueues_after_the_commit(
    url: str, tmp_path: Path, start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that is rolled back makes no job, one that is committed does, and a management command runs it."""
    make(tmp_path, apps.DJANGO, "Django")
    environment = python_environment()
    monkeypatch.setenv("PATH", str(environment / "bin"), prepend=":")
    python = (str(environment / "bin/python"),)
    assert start("manage.py", "migrate", "--run-syncdb", start=python).wait() == 0
    shop = start("serve.py", start=python).says(r"serves on (http://\S+)")[1]
    assert post(f"{shop}/orders", b"customer=ann") == (201, "1")
    assert post(f"{shop}/orders", b"customer=nobody")[0] == 409
    assert [(job["image"], job["payload"]) for job in jobs(url)] == [("receipt", "1")]

    [command] = re.findall(r"`titan worker --group mail --run (receipt='.*?')`", HOWTO.read_text("utf-8"))
    worker = start("worker", "--group", "mail", "--run", command.replace("'", ""))
    log = start("job", "log", "--follow", "mail", jobs(url)[0]["id"])
    assert log.wait() == 0
    assert log.output.splitlines()[0] == "receipt for ann"
    worker.stop()


def test_fastapi_enqueues_off_the_event_loop(url: str, tmp_path: Path, start: Callable[..., Program]) -> None:
    """Two requests for one order make one job."""
    make(tmp_path, apps.FASTAPI, "FastAPI")
    python = str(python_environment() / "bin/python")
    shop = start("-m", "uvicorn", "shop:app", "--port", "0", start=(python,)).says(r"running on (http://[\d.:]+)")[1]
    answers = {post(f"{shop}/orders/7/receipt") for _ in range(2)}
    [job] = jobs(url)
    assert (job["image"], job["payload"]) == ("receipt", "7")
    assert answers == {(202, f'{{"job":"{job["id"]}"}}')}


def test_express_enqueues_with_fetch(url: str, tmp_path: Path, start: Callable[..., Program]) -> None:
    """Two requests for one order make one job."""
    node = program("node", "nodejs npm")
    listen = "app.listen(0, function () { console.log(`serves on http://127.0.0.1:${this.address().port}`); });"
    make(tmp_path, apps.EXPRESS, "Express", ("app.listen(3000);", listen))
    (tmp_path / "node_modules").symlink_to(node_modules())
    shop = start("shop.mjs", start=(node,)).says(r"serves on (http://\S+)")[1]
    answers = {post(f"{shop}/orders/7/receipt") for _ in range(2)}
    [job] = jobs(url)
    assert (job["image"], job["payload"]) == ("receipt", "7")
    assert answers == {(202, f'{{"job":"{job["id"]}"}}')}


def test_rails_enqueues_after_the_commit(url: str, tmp_path: Path) -> None:
    """With Rails' Active Record, an order that is rolled back makes no job, and one that is committed does."""
    ruby = program("ruby", "ruby ruby-activerecord ruby-sqlite3")
    found = subprocess.run([ruby, "-e", 'gem "activerecord"; gem "sqlite3"'], capture_output=True, check=False)
    if found.returncode:
        missing("Active Record is not here: apt-get install ruby-activerecord ruby-sqlite3")
    make(tmp_path, apps.RAILS, "Rails")
    ran = subprocess.run([ruby, "shop.rb"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert [(job["image"], job["payload"]) for job in jobs(url)] == [("receipt", ran.stdout.strip())]
