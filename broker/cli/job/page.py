"""A job as a page: names and values."""

import msgspec
from msgspec import UNSET

from broker.cli.moments import exact, when
from broker.cli.output import page
from broker.models.jobs import Job
from broker.models.workers import Receipt


def job_page(job: Job) -> str:
    """All fields of a job that have a value."""
    return page([(name, _shown(job, name)) for name in job.__struct_fields__])


def _shown(job: Job, name: str) -> object:
    value = getattr(job, name)
    if value is UNSET or value == {}:
        return UNSET
    if name == "receipts":
        return "\n".join(map(receipt_line, value))
    if name == "env_vars":
        return "\n".join(f"{variable}={text}" for variable, text in value.items())
    if name.endswith("_at") and name != "retry_at":
        return when(value)
    return exact(value) if name in {"delay", "timeout", "retries_delay"} else value


def receipt_line(receipt: Receipt) -> str:
    """A receipt as one line: `delivery 1: succeeded, worker w1, exit_code 0`."""
    values = msgspec.structs.asdict(receipt)
    first = f"delivery {values.pop('delivery')}: {values.pop('outcome')}"
    fields = [f"{name} {value}" for name, value in values.items() if value not in ("", None)]
    return ", ".join([first, *fields])
