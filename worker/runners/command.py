"""Builds the command for a job from an entry of the table and the environment of the worker."""

import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from typing import NamedTuple

from broker.models.jobs import Job
from worker.runners import rlimits
from worker.runners.environment import environment_of
from worker.table.entries import Argv, Limits, ProcessEntry

_NONE = Limits()


class User(NamedTuple):
    """The user of a command, if it is not that of the worker."""

    uid: int
    gid: int
    groups: list[int]


class Command(NamedTuple):
    """A command to start."""

    argv: Argv
    executable: str
    environment: dict[str, str]
    cwd: str | None
    user: User | None
    """The user that starts it; None: that of the worker, and its shim may change it."""
    owner_uid: int | None
    """The owner of its files, if it is not the user of the worker."""


def command_of(entry: ProcessEntry, job: Job, inherited: Mapping[str, str], error_pipe: int) -> Command:
    """The command of this job. With limits, its shim reports on `error_pipe` why it cannot run it.

    Raises ValueError for a user that does not exist.
    """
    user, of_user = _user(entry.user) if entry.user else (None, {})
    environment = environment_of(job, {**inherited, **of_user, **entry.env})
    argv, owner_uid = entry.argv, user.uid if user else None
    executable = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=inherited.get("PATH")) or argv[0]
    if entry.limits != _NONE:
        # The shim becomes the user, who may not be able to read it.
        words = _words(error_pipe, entry.limits, user, environment.get("LC_CTYPE"))
        argv = (sys.executable, "-I", "-S", rlimits.__file__, *words, "--", executable, *argv)
        executable, user = sys.executable, None
    return Command(argv, executable, environment, entry.cwd or None, user, owner_uid)


def _words(error_pipe: int, given: Limits, user: User | None, lc_ctype: str | None) -> list[str]:
    words = [f"error_pipe={error_pipe}"]
    words += [f"{name}={value}" for name in rlimits.LIMITS if (value := getattr(given, name)) is not None]
    if user:
        words.append(f"user={user.uid}:{user.gid}:{','.join(map(str, user.groups))}")
    if lc_ctype is not None:
        words.append(f"lc_ctype={lc_ctype}")
    return words


def _user(name: str) -> tuple[User | None, dict[str, str]]:
    try:
        row = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"there is no user {name!r}") from None
    variables = {"HOME": row.pw_dir, "USER": row.pw_name, "LOGNAME": row.pw_name, "SHELL": row.pw_shell}
    if row.pw_uid == os.geteuid():
        return None, variables
    return User(row.pw_uid, row.pw_gid, os.getgrouplist(row.pw_name, row.pw_gid)), variables
