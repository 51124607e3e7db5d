"""Python functions as jobs: `@job` of titan.functions registers one, `--app package.module` imports its module."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from broker.models.jobs import Job
from titan.functions import registered
from worker.jobs.running_job import Say, running_job
from worker.jobs.texts import error_text


class Handler(Struct, frozen=True):
    """A registered function. It gets the payload, and the whole job if it has a second parameter."""

    call: Callable[..., Any]
    is_async: bool
    takes_job: bool


def load(apps: Sequence[str]) -> Mapping[str, Handler]:
    """Import these modules, from the working directory too; all registered functions.

    Raises ValueError that names the module.
    """
    with suppress(FileNotFoundError):  # the working directory was removed
        if apps and not {"", str(Path.cwd())} & set(sys.path):
            sys.path.insert(0, str(Path.cwd()))
    for app in apps:
        try:
            importlib.import_module(app)
        except (Exception, SystemExit) as error:
            raise ValueError(f"app {app!r} cannot be imported: {error_text(error)}") from error
    return {name: _handler(function) for name, function in registered.items()} if apps else {}


def find(name: str) -> Handler:
    """The function of this name. Raises KeyError."""
    return _handler(registered[name])


def call(handler: Handler, job: Job, say: Say, inputs: bytes = b"") -> Any:
    """The result of the function for this job; of an async one, the coroutine.

    `say` becomes its `job.progress`, and `inputs`, a JSON list, its `job.inputs`.
    """
    payload = job.payload or ""
    return handler.call(payload, running_job(job, say, inputs)) if handler.takes_job else handler.call(payload)


@cache
def _handler(function: Callable[..., Any]) -> Handler:
    return Handler(function, inspect.iscoroutinefunction(function), len(inspect.signature(function).parameters) > 1)
