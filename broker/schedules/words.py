"""The words of cron expressions: shorthands, what is wrong with one, and one in plain English."""

import difflib
import re

from cronsim import CronSim, CronSimError

from broker.core.words import counted
from broker.schedules.errors import TimetableError
from broker.schedules.zones import EPOCH

SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
LONGEST = 500
"""Characters of an expression. A list of all minutes has 169."""
_FIELDS = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, L for the last day, LW for the last weekday"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of the week", "0 to 7, or SUN to SAT, 5L for the last Friday, 1#2 for the second Monday"),
)

_ONE_VALUE = re.compile(r"(?<!\w)(\w+)-(\w+)/0*[1-9]\d*(?!\w)")


def expanded(expression: str, field: str) -> str:
    """The fields of an expression. Raises TimetableError for an unknown shorthand, or one that is too long.

    A range of one value with a step, as in `1-1/2`, becomes that value: cronsim takes it for all values from it on.
    """
    text = expression.strip()
    if len(text) > LONGEST:
        raise TimetableError(field, f"must have at most {LONGEST} characters.")
    if not text.startswith("@"):
        return _ONE_VALUE.sub(lambda found: found[1] if _is_one(found) else found[0], text)
    if text.lower() not in SHORTHANDS:
        nearest = difflib.get_close_matches(text.lower(), SHORTHANDS, n=1)
        hint = f"Do you mean {nearest[0]}?" if nearest else f"The shorthands are {', '.join(SHORTHANDS)}."
        raise TimetableError(field, f"{expression!r} is not a shorthand. {hint}")
    return SHORTHANDS[text.lower()]


def what_is_wrong(text: str) -> str:
    """A sentence for an expression that cronsim refuses."""
    parts = text.split()
    if len(parts) not in {5, 6}:
        return (
            f"{text!r} has {counted(len(parts), 'field')}. An expression has 5: minute, hour, day of the month, month"
            " and day of the week; or 6, with the second first."
        )
    for place, (name, allowed) in enumerate(_FIELDS[-len(parts) :]):
        part = parts[place]
        if not _is_valid(" ".join(part if index == place else "*" for index in range(len(parts)))):
            return f"the {name} {part!r} is not valid. It is {allowed}, and lists, ranges and steps such as 1,10-20/2."
    return f"{text!r} never comes."


def explain(cron: str) -> str:
    """'30 7 * * 1-5' -> 'At 07:30 from Monday through Friday'. Raises TimetableError, as a timetable does."""
    text = expanded(cron, "cron")
    try:
        return CronSim(text, EPOCH).explain()
    except CronSimError:
        raise TimetableError("cron", what_is_wrong(text)) from None


def _is_valid(text: str) -> bool:
    try:
        CronSim(text, EPOCH)
    except CronSimError:
        return False
    return True


def _is_one(found: re.Match[str]) -> bool:
    first, last = found[1].upper(), found[2].upper()
    return first == last or (first.isdecimal() and last.isdecimal() and int(first) == int(last))
