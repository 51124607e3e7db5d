"""The Python client of Titan: enqueue jobs, wait for them, and consume them over HTTP.

    from titan import Client

    with Client("http://127.0.0.1:8080") as client:
        job = client.enqueue("mail", image="send", payload={"to": "ann"})
        client.wait("mail", job.id)

`Client` needs nothing beyond the standard library of Python 3.9 or newer, and `AsyncClient` needs aiohttp. `job` makes
a function a job of `titan worker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from titan.batches import Batch
from titan.client import Client
from titan.consuming import Consumer, Delivery
from titan.errors import (
    BrokerUnavailable,
    Conflict,
    Duplicate,
    Forbidden,
    IdempotencyMismatch,
    Invalid,
    LeaseLost,
    LimitReached,
    NotFound,
    TitanError,
    TooLarge,
    Unauthorized,
    Unavailable,
    WrongState,
)
from titan.failing import Fail, Retry
from titan.functions import job
from titan.jobs import Input, Job, NewJob
from titan.listening import Event
from titan.waiting import WaitFor

if TYPE_CHECKING:
    from titan.async_client import AsyncClient

__all__ = [
    "AsyncClient",
    "Batch",
    "BrokerUnavailable",
    "Client",
    "Conflict",
    "Consumer",
    "Delivery",
    "Duplicate",
    "Event",
    "Fail",
    "Forbidden",
    "IdempotencyMismatch",
    "Input",
    "Invalid",
    "Job",
    "LeaseLost",
    "LimitReached",
    "NewJob",
    "NotFound",
    "Retry",
    "TitanError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "WaitFor",
    "WrongState",
    "job",
]


def __getattr__(name: str) -> Any:
    """Import `AsyncClient` when it is used first: only it needs aiohttp."""
    if name != "AsyncClient":
        raise AttributeError(f"module 'titan' has no attribute {name!r}")
    try:
        from titan.async_client import AsyncClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError("titan.AsyncClient needs the package aiohttp: pip install 'aiohttp>=3.12'") from error
    return AsyncClient
