"""What an image is built from in tests: a root of Debian 12 with its Python, and the wheels of a lock file."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = "bookworm"
PYTHON = "3.11"
"""The Python of the suite."""
UNUSED = ("doc", "info", "locale", "man")

Program = subprocess.Popen[str]
"""A program that runs, to be awaited with `finish`."""

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 1 << 30
"""More than the root as a folder takes."""
MINORS = range(17, 37)
"""The versions of glibc that wheels may ask for: from 2.17 to that of the suite."""


def missing() -> str:
    """Why there can be no such root here; "" when there can."""
    return "" if shutil.which("mmdebstrap") else "apt-get install mmdebstrap"


def start_root(archive: Path) -> Program:
    """Start to make a tar file of the root.

    dpkg waits for the disk after every file, which is most of the time where the disk is slow. In memory it does not.
    """
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--include=python3-venv"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in UNUSED]
    command += [SUITE, str(archive)]  # from the mirror of Debian that it knows
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED_BYTES
    return _start(command, TMPDIR=str(MEMORY if has_room else archive.parent))


def start_download(lock: Path, wheels: Path, python: str = PYTHON, machine: str = "") -> Program:
    """Start to download the wheels of a lock file for a version of Python and a machine; "" is this machine.

    pip would read the lock's markers for the Python that it runs on. Without them it downloads all packages.
    """
    machine = machine or platform.machine()
    wheels.mkdir(parents=True, exist_ok=True)
    bare = wheels.with_name(f"{wheels.name}-{lock.name}")
    bare.write_text(re.sub(r" ;[^\\\n]*", "", lock.read_text()))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--require-hashes", "--requirement", str(bare)]
    for minor in MINORS:
        command += ["--platform", f"manylinux_2_{minor}_{machine}"]
    return _start([*command, "--platform", f"manylinux2014_{machine}", "--dest", str(wheels)])


def finish(program: Program) -> None:
    """Wait until it has ended well. Raises AssertionError with what it said."""
    _, said = program.communicate(timeout=400)
    assert program.returncode == 0, said[-2000:]


def _start(command: list[str], **variables: str) -> Program:
    environment = os.environ | variables
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
