"""The code blocks of the pages: each is run somewhere, or its syntax is checked."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.reference import FOLDER
from worker.settings import WorkerSettings
from worker.table.table import read_table

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECKERS = {"javascript": ["node", "--input-type=module", "--check"], "ruby": ["ruby", "-c"]}
"""Programs that check the syntax of their input."""
RUN = ("file=", "choice", "recipe")
"""Blocks that other tests run begin with one of these words: test_readme.py, test_examples.py, test_recipes.py."""
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


@pytest.mark.parametrize("text", blocks("python"))
def test_python_block_compiles(text: str) -> None:
    """Python of a framework that is not installed here is at least Python."""
    assert compile(text, "page", "exec")


@pytest.mark.parametrize("language", CHECKERS)
def test_block_of_another_language_is_valid(language: str) -> None:
    """Code for Node.js or Ruby has no error of syntax; without the program nobody knows."""
    command, found = CHECKERS[language], blocks(language)
    assert found
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for block in found:
        done = subprocess.run([*command, "-"], input=block.values[0], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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
    """A block in another language would be tested by nobody."""
    used = {name for page in FOLDER.glob("*.md") for name, _, _ in BLOCK.findall(page.read_text("utf-8"))}
    assert used - {"python", "toml", *CHECKERS} <= OPERATED
