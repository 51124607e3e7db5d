"""The sessions of a page: its `console` blocks, each command with the output that the page shows below it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_MARK = "---- titan ----"


class Step(NamedTuple):
    """One command of a session, and the output that the page shows."""

    command: str
    output: str

    def printed(self, text: str) -> bool:
        """Whether this is what the page shows, where an ellipsis stands for any text."""
        shown, pieces = self.output.strip(), text.strip()
        pattern = ".*".join(re.escape(part) for part in shown.split("…"))
        return re.fullmatch(pattern, pieces, re.DOTALL) is not None


def steps(page: Path) -> list[Step]:
    """The commands of a page, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Step(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def run(session: list[Step], folder: Path, port: int) -> list[str]:
    """Run the commands in one shell in a folder; what each printed. 127.0.0.1:8080 becomes the broker's address."""
    script = "".join(f"{step.command}\necho '{_MARK}'\n" for step in session)
    script = script.replace("./titan ", f'"{sys.executable}" -m broker ').replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    shell = subprocess.run(
        ["bash", "-s"],
        input=script,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TITAN_BROKER_URL": f"http://127.0.0.1:{port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=True,
    )
    return shell.stdout.split(f"{_MARK}\n")[:-1]
