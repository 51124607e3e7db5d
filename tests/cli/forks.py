"""Runs many commands, each in a process of its own that has all modules already: `python -m tests.cli.forks`.

stdin has a JSON list of commands; the first argument says what stdout and stderr of each are: `gone` is a pipe that
nobody reads, `full` a full disk, `file` a file. The answer is a list of exit codes and of what the file has.
"""

import gc
import json
import os
import sys
import tempfile
from typing import NamedTuple

from broker.cli import main
from tests.cli.tree import commands


class End(NamedTuple):
    """How a command ended."""

    code: int
    text: str


def run(words: list[str], stdout: str, stderr: str) -> None:
    """Run one to its end, and report it."""
    with tempfile.TemporaryFile() as kept:
        number = os.fork()
        if number == 0:
            os.dup2(_opened(stdout, kept.fileno()), 1)
            os.dup2(_opened(stderr, kept.fileno()), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            main(words, prog_name="titan")  # it ends the process
        _, status = os.waitpid(number, 0)
        kept.seek(0)
        text = kept.read().decode("utf-8", "replace")
    print(json.dumps(End(os.waitstatus_to_exitcode(status), text)), flush=True)


def _opened(what: str, kept: int) -> int:
    if what == "file":
        return kept
    if what == "full":
        return os.open("/dev/full", os.O_WRONLY)
    theirs, ours = os.pipe()
    os.close(theirs)
    return ours


if __name__ == "__main__":
    dict(commands())  # imports all of them
    gc.freeze()  # else each process walks over all modules as it ends, which takes four times as long as the rest
    for line in json.load(sys.stdin):
        run(line, *sys.argv[1:3])
