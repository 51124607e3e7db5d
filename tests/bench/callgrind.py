"""Processes under valgrind's callgrind, which counts their instructions, so other work of the machine changes nothing.

The kernel's work is not counted. A process is some fifty times as slow as else.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CONTROL = "callgrind_control"
_DUMP_S = 60.0


class CountedProcess:
    """A process, and the file to which it writes its counts."""

    def __init__(self, process: "subprocess.Popen[bytes]", counts: Path) -> None:
        self.process = process
        self._counts = counts
        self._dumps = 0

    def instructions(self) -> int:
        """The instructions since the last call, or since the start."""
        words = [_CONTROL, "--dump", str(self.process.pid)]
        subprocess.run(words, check=True, capture_output=True, timeout=_DUMP_S)
        self._dumps += 1
        text = Path(f"{self._counts}.{self._dumps}").read_text()
        found = re.search(r"^summary: (\d+)", text, re.MULTILINE)
        assert found, "callgrind wrote no sum"
        return int(found[1])


@contextmanager
def counted(words: Sequence[str], folder: Path, name: str, **environment: str) -> Iterator[CountedProcess]:
    """Run a program in `folder` inside the block, with these variables too; `<name>.log` has what it prints.

    Raises SystemExit when valgrind is not installed.
    """
    if not shutil.which(_CONTROL):
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    counts = folder / f"{name}.counts"
    tool = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts}"]
    own = {variable: value for variable, value in os.environ.items() if not variable.startswith("TITAN_")}
    with (
        (folder / f"{name}.log").open("wb") as output,
        subprocess.Popen(
            [*tool, *words],
            cwd=folder,
            env=own | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield CountedProcess(process, counts)
        finally:
            process.kill()
