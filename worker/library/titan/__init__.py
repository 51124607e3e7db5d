"""The Python client of Titan: enqueue jobs, wait for them, and consume them over HTTP.

    from titan import Client

    with Client("http://127.0.0.1:8080") as client:
        job = client.enqueue("mail", image="send", payload={"to": "ann"})
        client.wait("mail", job.id)

`Client` needs nothing beyond the standard library of Python 3.9 or newer. `job` makes a function a job of
`titan worker`.
"""

from titan.client import Client
from titan.consuming import Consumer, Delivery
from titan.errors import (
    BrokerUnavailable,
    Conflict,
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
from titan.functions import job
from titan.jobs import Job, NewJob

__all__ = [
    "BrokerUnavailable",
    "Client",
    "Conflict",
    "Consumer",
    "Delivery",
    "Forbidden",
    "IdempotencyMismatch",
    "Invalid",
    "Job",
    "LeaseLost",
    "LimitReached",
    "NewJob",
    "NotFound",
    "TitanError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "WrongState",
    "job",
]
