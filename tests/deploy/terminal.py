"""Runs lines of bash as at a terminal, with the runbook's `r` leading to a server."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.servers import StoreServer


def run(text: str, server: StoreServer, names: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """The exit code and the output of lines of bash that are run in a folder; `names` are variables of the shell."""
    ours, theirs = pty.openpty()
    before = "".join(f"{name}='{value}'\n" for name, value in names.items())
    before += f"titan-backup() {{ '{Path(__file__).parents[2] / 'deploy' / 'titan-backup'}' \"$@\"; }}\n"
    before += f"export STORE_SERVER='{server.program}'\n"
    before += f"r() {{ redis-cli -s '{server.socket}' \"$@\"; }}\n"
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
    }
    command = ["bash", "-euo", "pipefail", "-c", before + text]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    ) as shell:
        os.close(theirs)
        output = _all_of(ours)
        code = shell.wait(timeout=60)
    without_bars = re.sub(r"\x1b\[\?25l.*?\x1b\[\?25h\n?", "", output.replace("\r", ""), flags=re.DOTALL)
    return code, re.sub(r"^.*\x1b\[K", "", without_bars, flags=re.MULTILINE)  # what a bar left is wiped


def _all_of(terminal: int) -> str:
    """What is written to a terminal until nobody has it open any more."""
    pieces = []
    with os.fdopen(terminal, "rb", buffering=0) as reader:
        try:
            while piece := reader.read(65_536):
                pieces.append(piece)
        except OSError:  # so does Linux tell that the other side is closed
            pass
    return b"".join(pieces).decode()
