"""Watching processes from outside."""

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
    except FileNotFoundError:
        return True


def open_files() -> list[str]:
    """The descriptors of this process."""
    return sorted(file.name for file in Path("/proc/self/fd").iterdir())


def children() -> str:
    """The numbers of the children of this process, dead ones that nobody asked for among them."""
    return "".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
