"""worker/library/README.md: its examples run as they are printed, and its tables agree with the code."""

import inspect
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import titan
from tests.python_client.conftest import LIBRARY
from tests.system.conftest import Program
from titan import AsyncClient, Client, NewJob, errors

README = (LIBRARY / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `titan up`, which has a worker for the group `sample`."""
    program = Program("up", "--port", "0", folder=tmp_path_factory.mktemp("s"))
    url = program.says(r"serves on (http://\S+);")[1]
    program.says("Ctrl-C stops")
    yield url
    program.stop(signal.SIGINT)
    program.end()


def start(example: str, url: str, folder: Path) -> subprocess.Popen[str]:
    """Start an example against this broker."""
    code = example.replace("http://127.0.0.1:8080", url)
    command = [sys.executable, "-W", "error", "-u", "-c", code]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_examples_do_what_the_page_says(up: str, tmp_path: Path) -> None:
    """Each example ends well and prints what it should; the consumer prints its job and ends at SIGTERM."""
    enqueue, times, ties, batch, wait, listen, consume, asynchronous, function, refused = EXAMPLES
    patterns = {
        enqueue: r'\w{16} delayed {"to":"ann"}\n2 to: bob\n',
        times: r"0:05:00\ndelayed True\n",
        ties: r"delayed 2\nTrue True\nThe job \w{16} holds the key \S+\.\n",
        batch: r"running 4\ncancelled \['on_over'\]\n",
        wait: r"succeeded [\s\S]*Ann[\s\S]*",
        listen: r"gap .*\n",
        asynchronous: r"sending {'to': 'ann'}\nsucceeded\n",
        function: "",
        refused: r"jobs\[0\]\.priority - jobs\[0\]\.priority must be .*\nThere is no such job in this group\.\n",
    }
    for example, pattern in patterns.items():
        printed, complaints = (program := start(example, up, tmp_path)).communicate(timeout=60)
        assert (program.returncode, complaints) == (0, "")
        assert re.fullmatch(pattern, printed), printed
    consumer = start(consume, up, tmp_path)
    assert consumer.stdout is not None
    assert [consumer.stdout.readline() for _ in range(3)] == [
        f"sending {text}\n" for text in ("to: bob", "to: eve", "order 7")
    ]
    consumer.send_signal(signal.SIGTERM)
    assert (consumer.communicate(timeout=30)[1], consumer.returncode) == ("", 0)


def rows(heading: str) -> dict[str, str]:
    """The first two columns of the table in a chapter."""
    (chapter,) = [part for part in re.split(r"^## ", README, flags=re.MULTILINE) if part.startswith(f"{heading}\n")]
    found = re.findall(r"^\| (`.*?) \| (.*?) \|", chapter, re.MULTILINE)
    return dict(found)


def test_the_tables_have_every_field_and_setting() -> None:
    """The fields of a new job and the arguments of a client are those of the code, with their defaults."""
    assert [name.strip("`") for name in rows("Enqueue")] == list(NewJob.__dataclass_fields__)
    arguments = inspect.signature(Client).parameters
    settings = rows("Settings")
    assert {name.strip("`") for name in settings} == set(arguments)
    assert {name: settings[f"`{name}`"] for name in ("timeout_s", "retries")} == {"timeout_s": "10", "retries": "5"}
    assert inspect.signature(AsyncClient).parameters.keys() == arguments.keys()
    assert (arguments["timeout_s"].default, arguments["retries"].default) == (10, 5)


def test_the_table_of_errors_has_classes_of_the_package() -> None:
    """Each class is one of `titan`, and each error of `titan` is in the table, but the base."""
    named = set(re.findall(r"`(\w+)`", " ".join(rows("Errors"))))
    exported = {name for name in titan.__all__ if isinstance(getattr(errors, name, None), type)}
    assert named == exported - {"TitanError"}
