"""The code blocks of the pages: each is run somewhere, or read by what it is for."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from broker.models.events import Event
from tests.docs.reference import FOLDER
from worker.settings import WorkerSettings
from worker.table.table import read_table

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("file=", "choice", "recipe", "framework")
"""Blocks that other tests run begin with one of these words: test_readme, test_examples, test_recipes, test_howto."""
OPERATED = {"sh", "bash", "text", "console", "nginx", "json", "yaml"}
"""Languages of commands for an operator's machine, of output and sessions, and of blocks that tests/deploy reads."""


def blocks(language: str) -> list[pytest.param]:
    """The blocks of a language that no other test runs, each with its page."""
    return [
        pytest.param(text, id=f"{page.stem}-{at}")
        for page in sorted(FOLDER.glob("*.md"))
        for at, (name, word, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
        if name == language and not word.startswith(RUN) and page.stem != "worker"
    ]


@pytest.mark.parametrize("text", blocks("toml"))
def test_entries_of_a_worker_are_accepted(text: str, tmp_path: Path) -> None:
    """A worker accepts the entries of its table that the page shows."""
    path = tmp_path / "worker.toml"
    path.write_text(text)
    assert read_table(WorkerSettings(config=str(path)))


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_is_valid(text: str) -> None:
    """Blocks of YAML are read without an error."""
    assert list(yaml.safe_load_all(text))


def test_every_block_has_a_language_that_is_tested() -> None:
    """A program in a page is run by the test that its mark names; one in another language would be run by nobody."""
    used = {
        name
        for page in FOLDER.glob("*.md")
        for name, word, _ in BLOCK.findall(page.read_text("utf-8"))
        if not word.startswith(RUN) and page.stem != "worker"
    }
    assert used - {"toml"} <= OPERATED


def test_events_are_as_the_broker_sends_them() -> None:
    """The example of events has each field as it is written, and none that is left out."""
    lines = (FOLDER / "observe.md").read_text("utf-8").splitlines()
    shown = [text.removeprefix("data: ") for text in lines if text.startswith('data: {"group":')]
    events = [msgspec.json.decode(text, type=Event) for text in shown]
    assert [event.n for event in events] == [1, 2]
    assert [msgspec.json.encode(event).decode() for event in events] == shown
