"""The sessions of a page: its `console` blocks, each command with the output that the page shows below it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_MARK = "---- titan ----"
LIMIT_S = 300
"""How long a session may take; on an idle machine one takes a quarter of a minute."""


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
    """The commands of a page, in order. Lines that begin with `> ` continue a command, as in a shell."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [_step(part) for part in parts]


def save_files(page: Path, folder: Path) -> list[str]:
    """Save the files that the page asks its reader to save, blocks marked `file=NAME`; their names."""
    found = re.findall(r"^```\w+ file=(\S+)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for name, text in found:
        (folder / name).write_text(text, "utf-8")
    return [name for name, _ in found]


def _step(part: str) -> Step:
    first, _, rest = part.partition("\n")
    more = re.match(r"(?:> .*\n)*", rest)
    assert more is not None
    lines = [first, *(line.removeprefix("> ") for line in more[0].splitlines())]
    return Step("\n".join(lines), rest[more.end() :])


def run(session: list[Step], folder: Path, port: int, store_port: int = 6379) -> list[str]:
    """Run the commands in one shell in a folder; what each printed.

    The pages' ports, 8080 and 6379, are replaced. What the commands leave running ends with the shell.
    """
    script = "".join(f"{step.command}\necho '{_MARK}'\n" for step in session)
    script = script.replace("./titan ", f'"{sys.executable}" -m broker ')
    script = re.sub(r"(127\.0\.0\.1:|--port )8080\b", rf"\g<1>{port}", script)
    script = re.sub(r"\b6379\b", str(store_port), script)
    shell = subprocess.run(
        ["bash", "-s"],
        input=f"trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{script}",
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TITAN_BROKER_URL": f"http://127.0.0.1:{port}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return shell.stdout.split(f"{_MARK}\n")[:-1]


@contextmanager
def running_up(folder: Path) -> Iterator[int]:
    """`titan up` in a folder; its port."""
    program = subprocess.Popen(
        [sys.executable, "-m", "broker", "up", "--port", "0"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    lines = []
    for line in program.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C stops"):
            break
    served = re.search(r"serves on http://127\.0\.0\.1:(\d+);", "".join(lines))
    assert served, lines
    try:
        yield int(served[1])
    finally:
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=30)
    assert program.returncode == 0, rest
