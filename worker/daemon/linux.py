"""Information on child processes from Linux, and the adoption of orphans.

On other systems these functions do nothing, and return False or nothing.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TASKS = "/proc/self/task"
_DEAD = "ZX"
"""States of a dead process whose parent has not waited for it, and in a container may never do so."""


def adopt_orphans() -> bool:
    """Adopt every descendant whose parent ends; whether this system can."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> set[int]:
    """The children of this process, adopted and dead ones too; empty where the system does not list them."""
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(_TASKS).iterdir():
            found |= _children_of(task.name)
    return found


def adopted() -> set[int]:
    """The children of the main thread only, in one read: adopted orphans, and those that it started."""
    return _children_of(os.getpid())


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it is gone or we may not read it."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(_pairs(content))


def started_at(pid: int) -> str:
    """When a process was started, in clock ticks of the system; "" if it does not exist or is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in _DEAD else fields[19]


def _children_of(task: str | int) -> set[int]:
    try:
        with open(f"{_TASKS}/{task}/children", "rb", buffering=0) as file:  # noqa: PTH123 -- read after each job
            return set(map(int, file.readall().split()))
    except OSError:
        return set()


def _pairs(content: bytes) -> Iterator[tuple[str, str]]:
    for pair in content.split(b"\0"):
        name, equals, value = pair.decode(errors="replace").partition("=")
        if equals:
            yield name, value


def _prctl(option: int, value: int) -> bool:
    try:
        return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0
    except (AttributeError, OSError, TypeError):
        return False
