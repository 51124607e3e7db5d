"""A broker for clients of 2016 and one for everybody else, on one store; and who refuses which of them."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.system.conftest import LIMIT_S, Program

Start = Callable[..., tuple[Program, str]]
SENTENCE = (
    r"The broker at {url} runs with --dialect 2016, for programs of that time\. Start another broker on the same store "
    r"without --dialect, and use its address \(--broker-url\)\."
)

pytestmark = pytest.mark.slow


class Brokers(NamedTuple):
    """The addresses of both brokers."""

    old: str
    today: str


@pytest.fixture
def brokers(broker: Start, folder: Path) -> Brokers:
    """Both on one data folder."""
    options = ("--data-dir", str(folder / "store"))
    today = broker(*options)[1]
    return Brokers(broker(*options, "--dialect", "2016")[1], today)


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_job_of_2016_runs_on_a_worker_of_today(brokers: Brokers, titan: Callable[..., Program]) -> None:
    """A program of 2016 polls its task until it is a success, which a worker at the other broker has made it."""
    tasks = f"{brokers.old}/v1/groups/mail/tasks"
    [task] = ask(tasks, {"tasks": [{"image": "send"}]})["tasks"]
    titan("worker", "--broker-url", brokers.today, "--run", "send=true")
    seen, deadline = [], time.monotonic() + LIMIT_S
    while "success" not in seen and time.monotonic() < deadline:
        seen.append(ask(f"{tasks}/{task['id']}")["task"]["status"])
        time.sleep(0.05)  # as a program of that time does: it knows no other way
    assert {*seen} <= {"queued", "running", "success"}
    assert seen[-1] == "success"
    assert ask(f"{brokers.today}/v1/groups/mail/jobs/{task['id']}")["job"]["status"] == "succeeded"


@pytest.mark.parametrize("words", [("job", "list", "mail"), ("job", "next"), ("group", "list"), ("broker", "list")])
def test_command_refuses_the_dialect(brokers: Brokers, titan: Callable[..., Program], words: tuple[str, ...]) -> None:
    """A command says in one line which broker it will not use, and what to do; no job was dispatched."""
    ask(f"{brokers.old}/v1/groups/mail/tasks", {"tasks": [{"image": "send"}]})
    program = titan(*words, "--broker-url", brokers.old)
    assert (program.wait(), program.output.count("\n")) == (1, 1)
    assert program.says(f"^Error: {SENTENCE.format(url=brokers.old)}$")
    [job] = ask(f"{brokers.today}/v1/groups/mail/jobs")["jobs"]
    assert (job["status"], job["deliveries"]) == ("queued", 0)


def test_bench_refuses_the_dialect(brokers: Brokers, titan: Callable[..., Program]) -> None:
    """`titan bench` says what to do, and measures nothing."""
    program = titan("bench", "--broker-url", brokers.old, "--seconds", "0.1")
    assert program.wait() == 1
    assert program.says("Start another broker on the same store without --dialect")
    assert ask(f"{brokers.today}/v1/groups") == {"groups": []}


def test_worker_refuses_the_dialect(brokers: Brokers, titan: Callable[..., Program]) -> None:
    """A worker ends with the same sentence and exit code 2; no job was dispatched."""
    ask(f"{brokers.old}/v1/groups/mail/tasks", {"tasks": [{"image": "send"}]})
    program = titan("worker", "--broker-url", brokers.old, "--run", "send=true")
    assert program.wait() == 2
    assert program.says(SENTENCE.format(url=brokers.old))
    assert "Traceback" not in program.output
    [job] = ask(f"{brokers.today}/v1/groups/mail/jobs")["jobs"]
    assert (job["status"], job["deliveries"]) == ("queued", 0)


def test_doctor_says_what_to_do(brokers: Brokers, titan: Callable[..., Program], folder: Path) -> None:
    """`titan doctor` has the sentence in the line about the broker."""
    program = titan("doctor", "--data-dir", str(folder / "store"), "--broker-url", brokers.old)
    program.wait()
    assert "runs with --dialect 2016" in " ".join(program.output.split())


def test_dialect_that_does_not_exist(titan: Callable[..., Program]) -> None:
    """Another year is refused with what there is."""
    program = titan("broker", "--dialect", "2017")
    assert program.wait() == 2
    assert program.says("'--dialect'.*It must be empty or 2016")


def test_list_of_brokers_says_which_one_speaks_the_dialect(brokers: Brokers, titan: Callable[..., Program]) -> None:
    """`titan broker list` has the dialect of each broker."""
    dialects, deadline = {}, time.monotonic() + LIMIT_S
    while len(dialects) < 2 and time.monotonic() < deadline:  # a broker announces itself just after it listens
        dialects = {one["address"]: one["dialect"] for one in ask(f"{brokers.today}/v1/brokers")["brokers"]}
    assert dialects == {brokers.today: "", brokers.old: "2016"}
    program = titan("broker", "list", "--broker-url", brokers.today)
    assert program.wait() == 0
    assert program.says(f" {brokers.old} +2016 ")
