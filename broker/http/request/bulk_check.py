"""Checks the body of a bulk: what its fields say together, and about the new jobs of a retry."""

from broker.core.errors import Invalid
from broker.http.request.decoding import moment
from broker.models.bulk import TAKES, Filters, NewBulk, RetryChanges

_TIMES = ("created_before", "created_after", "completed_before", "completed_after")


def check(given: NewBulk, max_payload_bytes: int) -> None:
    """Raise Invalid, with the name of the field, for a body that means nothing or could not be carried out."""
    _check_statuses(given)
    _check_filters(given)
    _check_times(given)
    if given.set is not None:
        _check_changes(given, given.set, max_payload_bytes)


def _check_statuses(given: NewBulk) -> None:
    takes = ", ".join(TAKES[given.action])
    wrong = [status for status in given.status if status not in TAKES[given.action]]
    if wrong:
        raise Invalid(f"{given.action} takes jobs that are {takes}, not {wrong[0]}.", fields="status")
    ended = [name for name in _TIMES[2:] if getattr(given, name) is not None]
    if ended and "failed" not in TAKES[given.action]:
        raise Invalid(f"{given.action} takes jobs that are {takes}: they have no {ended[0]}.", fields=ended[0])


def _check_filters(given: NewBulk) -> None:
    empty = [name for name in ("image", "reason", "text") if getattr(given, name) == ""]
    if empty:
        raise Invalid(f"{empty[0]} must not be empty: leave it out for all jobs.", fields=empty[0])
    names = [name for name in Filters.__struct_fields__ if getattr(given, name) not in (None, [])]
    if given.ids is not None and len(names) > 1:
        other = next(name for name in names if name != "ids")
        raise Invalid(f"ids names the jobs: leave {other} out.", fields=other)


def _check_times(given: NewBulk) -> None:
    times = {name: moment(getattr(given, name), name) for name in _TIMES}
    for last, first in (_TIMES[:2], _TIMES[2:]):
        before, after = times[last], times[first]
        if before is not None and after is not None and before <= after:
            raise Invalid(f"{last} must be later than {first}.", fields=last)


def _check_changes(given: NewBulk, changes: RetryChanges, max_payload_bytes: int) -> None:
    if given.action != "retry":
        raise Invalid(f"set changes new jobs, and {given.action} makes none: it is for retry.", fields="set")
    if changes.payload and len(changes.payload.encode()) > max_payload_bytes:
        raise Invalid(f"A payload may have {max_payload_bytes} bytes at most.", fields="set.payload")
