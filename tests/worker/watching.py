"""Watching processes from outside."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.conftest import eventually


async def written(file: Path) -> str:
    """A line that another process writes into a file, once it is whole."""
    await eventually(lambda: _text(file).endswith("\n"))
    return _text(file)


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or waits for a parent that does not ask."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between open and read
        return True


def open_files(pid: int | str = "self") -> list[str]:
    """The descriptors of a process."""
    return sorted(file.name for file in Path(f"/proc/{pid}/fd").iterdir())


def open_kinds(pid: int) -> Counter[str]:
    """How many descriptors of each kind a process has: pipes, files by their names; but for connections."""
    names: Counter[str] = Counter()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names[str(file.readlink()).partition(":[")[0]] += 1
    del names["socket"]
    return names


def children(pid: int | str = "self") -> str:
    """The numbers of the children of a process, dead ones that nobody asked for among them."""
    return "".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))


def memory_kib(pid: int) -> int:
    """How much memory a process has now, in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
