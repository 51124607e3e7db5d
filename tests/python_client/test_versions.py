"""The client on older versions of Python, and as a package of its own."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.python_client.conftest import LIBRARY

TOP = LIBRARY.parents[1]
OLDER = ("3.9", "3.10")
SCENE = """
import sys, threading, time
from datetime import timedelta
from titan import Client, Conflict, NewJob, job

@job("old")
def old(payload: str) -> None: ...

with Client(sys.argv[1]) as client:
    new = [NewJob("old", {"n": n}, timeout=timedelta(minutes=1)) for n in range(3)]
    first, *others = client.enqueue_many(sys.argv[2], new)
    with client.consume(sys.argv[2], lease_s=1) as jobs:
        for delivery in jobs:
            with delivery as job:
                time.sleep(1.5 if job.id == first.id else 0)
                assert job.json()["n"] < 2, "the last"
            if job.id == others[-1].id:
                jobs.stop()
    assert client.wait(sys.argv[2], first.id, timeout_s=5).has_succeeded
    print([job.status for job in client.list(sys.argv[2])], client.log(sys.argv[2], job.id, tail=1).strip())
    try:
        client.cancel(sys.argv[2], first.id)
    except Conflict as error:
        print(type(error).__name__)
"""


def interpreter(version: str) -> str:
    """A Python of this version on the machine; "" if there is none."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    candidates = [*map(str, found), shutil.which(f"python{version}") or ""]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", "import ssl"], capture_output=True, check=False).returncode == 0:
            return candidate
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("version", OLDER)
def test_an_older_python(version: str, broker: str, group: str) -> None:
    """Enqueue, consume, wait, list and errors work there, without any package, and without a warning."""
    python = interpreter(version)
    if not python:
        pytest.skip(f"there is no Python {version} on this machine")
    command = [python, "-I", "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(LIBRARY)!r})\n{SCENE}"]
    ran = subprocess.run([*command, broker, group], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["['succeeded', 'succeeded', 'failed'] AssertionError: the last", "WrongState"]


def test_the_source_is_of_python_39(tmp_path: Path) -> None:
    """The linter finds nothing in it that Python 3.9 does not know; it would find such a thing."""
    ruff = Path(sys.executable).with_name("ruff")
    command = [
        ruff,
        "check",
        "--no-cache",
        "--quiet",
        "--isolated",
        "--target-version",
        "py39",
        "--select",
        "E9,F,FA,UP",
    ]
    subprocess.run([*command, LIBRARY], check=True, timeout=60)
    (tmp_path / "newer.py").write_text("match 1:\n    case _:\n        pass\n")
    assert subprocess.run([*command, tmp_path], check=False, timeout=60, capture_output=True).returncode == 1


def test_both_packages_are_one() -> None:
    """The package of the client alone has the version of the broker, no dependency, and works on Python 3.9."""
    whole = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    alone = tomllib.loads((LIBRARY / "pyproject.toml").read_text("utf-8"))["project"]
    assert alone["version"] == whole["version"]
    assert (alone["dependencies"], alone["requires-python"]) == ([], ">=3.9")


@pytest.mark.slow
def test_a_wheel_has_the_client(tmp_path: Path) -> None:
    """A wheel of the whole project, and one of the client alone, have the package `titan` with its types."""
    for source, name in ((TOP, "whole"), (LIBRARY, "alone")):
        folder = tmp_path / name
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".*", "tests", "*.egg-info", "build"))
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(folder),
        ]
        subprocess.run(build, check=True, timeout=100)
    for wheel in (next(tmp_path.glob("titan_broker-*.whl")), next(tmp_path.glob("titan_client-*.whl"))):
        names = subprocess.run(
            [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True
        )
        files = {line.split()[0] for line in names.stdout.splitlines()[1:]}
        assert {"titan/__init__.py", "titan/client.py", "titan/py.typed"} <= files
        assert not [file for file in files if file.startswith(("worker/library", "library"))]
