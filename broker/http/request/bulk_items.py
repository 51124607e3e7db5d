"""The items of a bulk body. Each is checked alone, so that an invalid one does not stop the others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Generic, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from broker.auth.grants import Grant
from broker.core.errors import Forbidden, Invalid, NotFound, TitanError, TooLarge
from broker.core.timestamps import rfc3339
from broker.http.error_responses import problem_of
from broker.http.request.decoding import decode, moment
from broker.http.request.path_params import group_name, job_id
from broker.http.request.results import checked_result
from broker.models.fields import MAX_JOBS
from broker.models.reports import Finish, Held
from broker.models.results import Outcome

Item = TypeVar("Item", bound=Finish | Held)
Reply = TypeVar("Reply")


class Bulk(Protocol[Item]):
    """A bulk body."""

    @property
    def jobs(self) -> list[Item]:
        """Its items."""


class RawItems(Struct, frozen=True):
    """A bulk body whose items are not decoded yet."""

    jobs: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_JOBS)]
    cursor: Raw = Raw()


class ItemId(Struct, frozen=True):
    """The id of an invalid item, if the id itself is valid."""

    id: str = ""


class Items(Generic[Item]):
    """Items in order, each with its id: either a valid item for the store, or its error."""

    def __init__(self, rows: Sequence[tuple[str, Item | TitanError]]) -> None:
        self._rows = rows

    async def outcomes(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Reply | TitanError]]],
        outcome: Callable[[str, Reply], Outcome],
    ) -> list[Outcome]:
        """Call `act` once with all valid items. Returns one outcome for each item, in order."""
        valid = [item for _, item in self._rows if not isinstance(item, TitanError)]
        replies = iter(await act(valid) if valid else ())
        results = [(name, item if isinstance(item, TitanError) else next(replies)) for name, item in self._rows]
        return [
            Outcome(id=name, error=problem_of(result)) if isinstance(result, TitanError) else outcome(name, result)
            for name, result in results
        ]


def read_items(
    bulk: type[Bulk[Item]], kind: type[Item], body: bytes, grant: Grant, max_result_bytes: int
) -> Items[Item]:
    """The items of a bulk body. Raises Invalid when the body is not {"jobs": [1 to 1000 of anything]}."""
    try:
        items = decode(bulk, body).jobs
        for group in {item.group_name for item in items}:
            grant.check(group_name(group))
        rows: list[tuple[str, Item | TitanError]] = []
        for item in items:  # most need no check, and a function for each takes longer
            is_plain = not isinstance(item, Finish) or (item.completed_at is None and item.result is UNSET)
            rows.append((job_id(item.id), item if is_plain else _checked(item, max_result_bytes)))
        return Items(rows)
    except TitanError:  # an item is invalid: check each alone
        listed = decode(RawItems, body).jobs
        return Items([_read(kind, i, bytes(raw), grant, max_result_bytes) for i, raw in enumerate(listed)])


def _read(kind: type[Item], i: int, raw: bytes, grant: Grant, max_result_bytes: int) -> tuple[str, Item | TitanError]:
    try:
        item = decode(kind, raw)
        grant.check(group_name(item.group_name))
        return job_id(item.id), _checked(item, max_result_bytes)
    except Invalid as error:
        return _id_in(raw), Invalid(error.message, fields=f"jobs[{i}].{error.fields}".rstrip("."))
    except (Forbidden, NotFound, TooLarge) as error:
        return _id_in(raw), error


def _checked(item: Item, max_result_bytes: int) -> Item:
    """The item with its time and result in the form that is stored. Raises Invalid, TooLarge."""
    if not isinstance(item, Finish) or (item.completed_at is None and item.result is UNSET):
        return item
    completed_at = moment(item.completed_at, "completed_at")
    result = item.result if item.result is UNSET else checked_result(item.result, max_result_bytes)
    if item.status == "failed" and result is not UNSET:
        raise Invalid("A failed job has no result.", fields="result")
    return msgspec.structs.replace(
        item, completed_at=None if completed_at is None else rfc3339(completed_at), result=result
    )


def _id_in(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=ItemId).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
