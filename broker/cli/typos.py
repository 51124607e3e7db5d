"""Which word was perhaps meant: one that is mistyped by a letter or two, or another program's word for the same.

Whoever follows a suggestion must not change what they only wanted to look at: a word that asks to look (`status`,
`get`), and one that is nearly such a word (`staus`), never leads to a command that changes something.
"""

from collections.abc import Collection

LOOKS = {
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
"""Words that ask to look at something, and the commands that may be meant, the likeliest first."""

CHANGES = {
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
"""Words that ask to change something, or to run it."""

_SHORT, _LONG = 4, 8


def nearest(word: str, known: Collection[str], looking: Collection[str] = ()) -> str:
    """The one of the known words that is meant by this one, or ''. Those of `looking` change nothing."""
    word = word.lower()
    asks = _nearest_look(word, looking)
    if asks is not None:
        return asks
    for meant in CHANGES.get(word, ()):
        if meant in known:
            return meant
    found = sorted((distance(word, one), one) for one in known if _is_near(word, one))
    return found[0][1] if found else ""


def _nearest_look(word: str, looking: Collection[str]) -> str | None:
    """What a word that asks to look leads to, '' for nothing; None for one that asks for something else."""
    near = sorted((distance(word, one), one not in looking, one) for one in {*LOOKS, *looking} if _is_near(word, one))
    if not near or word in CHANGES:
        return None
    best = near[0][0]
    for _, _, one in (row for row in near if row[0] == best):
        for meant in (one, *LOOKS.get(one, ())):
            if meant in looking:
                return meant
    return ""


def distance(a: str, b: str) -> int:
    """How many letters must be put in, left out, changed, or changed with their neighbour to make one word another."""
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


def _is_near(word: str, one: str) -> bool:
    """One letter is a typo, in a long word two; a short word has to be the word itself."""
    least = min(len(word), len(one))
    most = 0 if least < _SHORT - 1 else 1 if least < _LONG else 2
    return word == one or distance(word, one) <= most
