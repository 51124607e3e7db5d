"""What an idempotency record keeps of new jobs, so that a repeated call gets the first answer: their ids and image.

enqueue.lua keeps the note as it is; admit.lua puts the outcomes of the jobs before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from broker.store.format.replies import KEY


class AnswerNote(NamedTuple):
    """`outcomes`: those of admit.lua; none for jobs that enqueue.lua created. `start_within_s`: the group's then."""

    ids: list[str]
    image: str
    start_within_s: int | None
    outcomes: list[str]


def note_text(ids: Sequence[str], image: str, start_within_s: int | None = None) -> str:
    """The note of new jobs, as the scripts get it."""
    default = [] if start_within_s is None else [f"+{start_within_s}"]
    return f"{','.join([*ids, *default])} {image}"


def note_in(text: str) -> AnswerNote:
    """What a record has."""
    words, _, rest = text.partition(" ")
    outcomes = words.split(",") if words else []
    if all(word.startswith("=") or word == KEY or (word.isdigit() and len(word) <= len("100")) for word in outcomes):
        words, _, rest = rest.partition(" ")
    else:
        outcomes = []
    *ids, last = words.split(",")
    if last.startswith("+"):
        return AnswerNote(ids, rest, int(last), outcomes)
    return AnswerNote([*ids, last], rest, None, outcomes)
