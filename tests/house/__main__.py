"""`python -m tests.house [ROOM…]`: counts the remaining riddles of each room, or lists those of the given rooms.

A room is the first part of a path, such as broker/http.
"""

import sys
from collections import Counter

from tests.house.text import TOP, find

KINDS = {".py", ".lua", ".md"}


def main(rooms: list[str]) -> None:
    """Print counts by room, or the riddles of the given rooms."""
    counts: Counter[str] = Counter()
    for path in sorted(path for path in TOP.rglob("*") if path.suffix in KINDS):
        name = path.relative_to(TOP).as_posix()
        if name.startswith("."):
            continue
        found = find(path)
        parts = name.split("/")
        counts["/".join(parts[:2]) if len(parts) > 2 else parts[0]] += len(found)
        if any(name.startswith(room) for room in rooms):
            for riddle in found:
                print(f"{name}:{riddle.line}: {riddle.words!r}: say {riddle.say}")
    for room, number in sorted(counts.items()) if not rooms else ():
        print(f"{number:5} {room}")


if __name__ == "__main__":
    main(sys.argv[1:])
