"""Python functions as jobs: `@job` registers one, and `titan worker --app package.module` runs it.

    from titan import job

    @job                                # image "thumbnail", or @job("any/name")
    def thumbnail(payload: str) -> None: ...

The decorator needs no worker: a program that only enqueues may import the module, too.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

registered: dict[str, Callable[..., Any]] = {}
"""The registered functions by image."""


@overload
def job(name: F) -> F: ...
@overload
def job(name: str) -> Callable[[F], F]: ...
def job(name: str | F) -> F | Callable[[F], F]:
    """Register a function for jobs of this image; the default is the name of the function.

    The function gets the payload, and the whole job if it has a second parameter. It may be `async`. Raises ValueError
    if the image has another function already.
    """
    if callable(name):
        return _register(name.__name__, name)
    return lambda function: _register(name, function)


def _register(name: str, function: F) -> F:
    if registered.get(name, function) is not function:
        raise ValueError(f"{name!r} has a handler already")
    registered[name] = function
    return function
