"""Checks the names and ids in the path of a request before they are used."""

import re
from functools import lru_cache

from broker.core.errors import Invalid, NotFound
from broker.core.ids import is_id
from broker.models.fields import GROUP_NAME
from broker.models.schedules import SCHEDULE_NAME
from broker.models.unique import UNIQUE_KEY
from broker.models.workers import WORKER_NAME

NO_BULK = "There is no such bulk, or it was more than 7 days ago."
_GROUP_NAME = re.compile(GROUP_NAME, re.ASCII)
_UNIQUE_KEY = re.compile(UNIQUE_KEY)
_SCHEDULE_NAME = re.compile(SCHEDULE_NAME, re.ASCII)
_WORKER_NAME = re.compile(WORKER_NAME, re.ASCII)


@lru_cache(maxsize=16_384)
def group_name(text: str) -> str:
    """The name of a group. Raises Invalid."""
    if _GROUP_NAME.fullmatch(text) is None:
        raise Invalid("A group's name has 1 to 128 characters of A-Z a-z 0-9 _ -.", fields="group_name")
    return text


def job_id(text: str) -> str:
    """The id of a job. Raises NotFound for a text that cannot be an id."""
    if not is_id(text):
        raise NotFound
    return text


def bulk_id(text: str) -> str:
    """The id of a bulk. Raises NotFound for a text that cannot be an id."""
    if not is_id(text):
        raise NotFound(NO_BULK)
    return text


def batch_id(text: str) -> str:
    """The id of a batch. Raises NotFound for a text that cannot be an id."""
    if not is_id(text):
        raise NotFound("There is no such batch in this group.")
    return text


def unique_key(text: str) -> str:
    """A unique key. Raises NotFound for a text that cannot be one."""
    if _UNIQUE_KEY.fullmatch(text) is None:
        raise NotFound("No job holds this key.")
    return text


def schedule_name(text: str) -> str:
    """The name of a schedule. Raises Invalid."""
    if _SCHEDULE_NAME.fullmatch(text) is None:
        raise Invalid("A schedule's name has 1 to 128 characters of A-Z a-z 0-9 _ . -.", fields="schedule")
    return text


def worker_name(text: str) -> str:
    """The name of a worker. Raises NotFound for a text that cannot be a name."""
    if _WORKER_NAME.fullmatch(text) is None:
        raise NotFound("There is no such worker.")
    return text
