"""The environment of a job: a safe part of the worker's, the group's, and what Titan says of the job."""

import os
from collections.abc import Mapping

from broker.models.jobs import Job


def environment_of(job: Job, passed_on: Mapping[str, str]) -> dict[str, str]:
    """Later ones win: what is passed on, the group's env_vars, then TITAN_JOB_ID and its like."""
    return {
        **passed_on,
        **(job.env_vars or {}),
        "TITAN_JOB_ID": job.id,
        "TITAN_GROUP": job.group_name,
        "TITAN_DELIVERY": str(job.deliveries),
        "TITAN_IMAGE": job.image,
    }


def as_bytes(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """The same as the system has it: bytes of the worker's own as they were, and a job's text as UTF-8.

    Raises ValueError for a name or a value that no environment can have.
    """
    return {_as_bytes(name): _as_bytes(value) for name, value in environment.items()}


def _as_bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # the locale of this process does not have all letters
        return text.encode()
