"""Suggestions for an unknown word: a known word with one or two other letters, or a synonym from other programs.

A suggestion must be safe to follow. So a word that asks to read (`status`, `get`), or a typo of one (`staus`), never
leads to a command that changes something.
"""

from collections.abc import Collection

READING_WORDS = {
    "status": ("show", "list"),
    "stat": ("show", "list"),
    "state": ("show", "list"),
    "stats": ("show", "list"),
    "info": ("show", "status"),
    "inspect": ("show", "status"),
    "describe": ("show", "status"),
    "get": ("show", "status", "list"),
    "view": ("show", "status"),
    "see": ("show", "status"),
    "show": ("status",),
    "ls": ("list",),
    "ps": ("list",),
    "find": ("list",),
    "search": ("list",),
    "count": ("list",),
    "logs": ("log",),
    "history": ("fires",),
    "runs": ("fires", "history"),
    "tail": ("log",),
    "cat": ("log",),
    "output": ("log",),
    "watch": ("wait", "list"),
    "health": ("doctor",),
    "settings": ("config",),
    "list": (),
    "top": (),
    "help": (),
    "version": (),
}
"""Words that ask to read something, and the commands that may be meant, the most probable first."""

CHANGING_WORDS = {
    "add": ("enqueue",),
    "create": ("enqueue", "new", "set"),
    "new": ("enqueue",),
    "push": ("enqueue",),
    "submit": ("enqueue",),
    "configure": ("set",),
    "update": ("set",),
    "dequeue": ("next",),
    "pop": ("next",),
    "take": ("next",),
    "fetch": ("next",),
    "claim": ("next",),
    "remove": ("delete",),
    "rm": ("delete",),
    "del": ("delete",),
    "start": (),
    "stop": ("drain", "cancel"),
    "abort": ("cancel",),
    "kill": ("cancel",),
    "success": ("succeed",),
    "error": ("fail",),
    "heartbeat": ("touch",),
    "renew": ("touch",),
    "rerun": ("retry",),
    "unpause": ("resume",),
    "serve": ("broker",),
    "server": ("broker",),
    "benchmark": ("bench",),
}
"""Words that ask to change or run something, and the commands that may be meant."""

_SHORT, _LONG = 4, 8


def nearest(word: str, known: Collection[str], read_only: Collection[str] = ()) -> str:
    """The known word that is probably meant, or ''. `read_only`: those of the known words that change nothing."""
    word = word.lower()
    suggestion = _nearest_read_only(word, read_only)
    if suggestion is not None:
        return suggestion
    for meant in CHANGING_WORDS.get(word, ()):
        if meant in known:
            return meant
    found = sorted((distance(word, other), other) for other in known if _is_near(word, other))
    return found[0][1] if found else ""


def _nearest_read_only(word: str, read_only: Collection[str]) -> str | None:
    """The suggestion for a word that asks to read, or ''; None for a word that asks for something else."""
    words = {*READING_WORDS, *read_only}
    near = sorted((distance(word, other), other not in read_only, other) for other in words if _is_near(word, other))
    if not near or word in CHANGING_WORDS:
        return None
    least = near[0][0]
    for _, _, other in (row for row in near if row[0] == least):
        for meant in (other, *READING_WORDS.get(other, ())):
            if meant in read_only:
                return meant
    return ""


def distance(a: str, b: str) -> int:
    """The edit distance: how many letters to insert, delete, replace or swap with the next one to turn a into b."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _is_near(word: str, other: str) -> bool:
    """Whether one is a typo of the other: no difference in a very short word, one letter, or two in a long word."""
    shorter = min(len(word), len(other))
    most = 0 if shorter < _SHORT - 1 else 1 if shorter < _LONG else 2
    return word == other or distance(word, other) <= most
