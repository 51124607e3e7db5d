"""README's session, run as it is printed, against what README's first command starts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
MARK = "---- titan ----"


def commands() -> Iterator[tuple[str, str]]:
    """Each command of the session, with what README says it prints."""
    for block in BLOCKS:
        for step in block.split("$ ")[1:] if block.startswith("$ ") else ():
            command, _, output = step.partition("\n")
            yield command, output


def matches(printed: str, expected: str) -> bool:
    """Whether what was printed is what README says, where … stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@pytest.fixture
def up(tmp_path: Path) -> Iterator[int]:
    """`titan up` in an empty folder; its port."""
    program = subprocess.Popen(
        [sys.executable, "-m", "broker", "up", "--port", "0"],
        cwd=tmp_path,
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
    yield int(served[1])
    program.send_signal(signal.SIGINT)
    rest, _ = program.communicate(timeout=30)
    assert program.returncode == 0, rest


@pytest.mark.slow
def test_the_session_prints_what_readme_says(up: int, tmp_path: Path) -> None:
    """Every command of README's session, in one shell, prints what README says."""
    steps = list(commands())
    assert len(steps) >= 15
    (tmp_path / "titan").symlink_to(ROOT / "titan")
    script = "".join(f"{command}\necho '{MARK}'\n" for command, _ in steps)
    script = script.replace("./titan ", f"TITAN_BROKER_URL=http://127.0.0.1:{up} {sys.executable} -m broker ")
    shell = subprocess.run(
        ["bash", "-s"],
        input=script.replace("127.0.0.1:8080", f"127.0.0.1:{up}"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = shell.stdout.split(f"{MARK}\n")
    for (command, expected), output in zip(steps, printed, strict=False):
        assert matches(output, expected), f"$ {command}\n{output}\nREADME: {expected}\n{shell.stderr}"
