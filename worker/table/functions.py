"""Python functions as jobs: `@job` registers one, `--app package.module` imports its module.

from worker import job

@job                                # image "thumbnail", or @job("any/name")
def thumbnail(payload: str) -> None: ...
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, overload

from msgspec import Struct

from broker.models.jobs import Job
from worker.jobs.texts import error_text

F = TypeVar("F", bound=Callable[..., Any])


class Handler(Struct, frozen=True):
    """A registered function. It gets the payload, and the whole job if it has a second parameter."""

    call: Callable[..., Any]
    is_async: bool
    takes_job: bool


_handlers: dict[str, Handler] = {}


@overload
def job(name: F) -> F: ...
@overload
def job(name: str) -> Callable[[F], F]: ...
def job(name: str | F) -> F | Callable[[F], F]:
    """Register a function for jobs of this image; the default is the name of the function."""
    if callable(name):
        return _register(name.__name__, name)
    return lambda function: _register(name, function)


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
    return _handlers if apps else {}


def find(name: str) -> Handler:
    """The function of this name. Raises KeyError."""
    return _handlers[name]


def call(handler: Handler, job: Job) -> Any:
    """The result of the function for this job; of an async one, the coroutine."""
    payload = job.payload or ""
    return handler.call(payload, job) if handler.takes_job else handler.call(payload)


def _register(name: str, function: F) -> F:
    if name in _handlers and _handlers[name].call is not function:
        raise ValueError(f"{name!r} has a handler already")
    _handlers[name] = Handler(
        function, inspect.iscoroutinefunction(function), len(inspect.signature(function).parameters) > 1
    )
    return function
