"""The allowed files at the top of the repository, so that files which tests leave behind are never committed."""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FOLDERS = {"broker", "worker", "lua", "tests", "deploy", ".ci"}
FILES = {
    "pyproject.toml",
    "titan",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    ".gitignore",
    ".dockerignore",
}


def test_top_has_nothing_else():
    """Git tracks exactly these folders and files at the top."""
    if not (TOP / ".git").exists():
        pytest.skip("this is no clone")
    command = ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
    tops = {(path.partition("/")[0], "/" in path) for path in listed.split("\0") if path}
    assert tops == {(name, True) for name in FOLDERS} | {(name, False) for name in FILES}
