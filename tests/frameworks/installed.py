"""Installs the frameworks once for each lock file, below the environment of the tests."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = Path(sys.prefix) / "frameworks"
LIMIT_S = 300
"""How long an installation may take."""


def python_environment() -> Path:
    """A virtual environment with Django, FastAPI and uvicorn, as `requirements.lock` has them."""
    return _installed("requirements.lock", _install_python)


def node_modules() -> Path:
    """The folder `node_modules` with Express, as `package-lock.json` has it."""
    return _installed("package-lock.json", _install_node) / "node_modules"


def program(name: str, package: str) -> str:
    """The path of a program. Without it the test is skipped, and in CI it fails."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not here: apt-get install {package}")
    return str(path)


def missing(text: str) -> None:
    """End a test that cannot run here: a skip, and in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def _installed(lock: str, install: Callable[[Path], None]) -> Path:
    """The folder of a lock file. Of several tests that need it at once, one installs and the others wait."""
    digest = hashlib.sha256((HERE / lock).read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{lock.partition('.')[0]}-{digest}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / "complete").touch()
    return folder


def _install_python(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    options = ("--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes")
    _run(sys.executable, "-m", "pip", "--python", folder, "install", *options, "-r", HERE / "requirements.lock")


def _install_node(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    npm = program("npm", "npm")
    _run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder)


def _run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
