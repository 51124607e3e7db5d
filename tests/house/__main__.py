"""`python -m tests.house [ROOM…]`: the riddles that are left, by room; with rooms, each with its place.

A room is the beginning of a path, such as broker/http.
"""

import sys
from collections import Counter

from tests.house.text import TOP, find

FOLDERS = ("broker", "worker", "lua")


def main(rooms: list[str]) -> None:
    """Print counts by room, or the riddles of some rooms."""
    counts: Counter[str] = Counter()
    for path in sorted(path for folder in FOLDERS for kind in ("*.py", "*.lua") for path in (TOP / folder).rglob(kind)):
        name = path.relative_to(TOP).as_posix()
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
