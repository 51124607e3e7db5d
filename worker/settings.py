"""The settings of the worker, and the environment variables that it passes to jobs."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from msgspec import Meta, Struct

from broker.models.fields import GroupName
from broker.models.workers import WORKER_NAME

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""Variables of the worker that every job gets. None of them holds a secret."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """All settings of a worker. Nothing else in the worker reads the environment."""

    broker_url: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1, description="The broker: http:// or https://. Repeatable: when one fails, the next is asked."
        ),
    ] = ("http://127.0.0.1:8080",)
    token_file: Annotated[
        str, Meta(description="File with the token for the broker. Empty: the variable TITAN_TOKEN, if it exists.")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="PEM file of the authorities for a https:// broker. Empty: those of the system.")
    ] = ""
    cert_file: Annotated[
        str,
        Meta(description="PEM file with the client certificate and key for a broker that requires one. Empty: none."),
    ] = ""
    name: Annotated[
        str,
        Meta(pattern=f"^({WORKER_NAME})?$", description="Unique name of this worker. Empty: host and process."),
    ] = ""
    run: Annotated[
        tuple[str, ...],
        Meta(
            description="NAME='command arguments': jobs of this image run that command, without a shell: | and > are "
            "words of it. Repeatable."
        ),
    ] = ()
    config: Annotated[
        str,
        Meta(description="A TOML file with more entries of the table; the page /docs/worker of a broker has its keys."),
    ] = ""
    app: Annotated[
        tuple[str, ...], Meta(description="A Python module with @job functions: each is an image. Repeatable.")
    ] = ()
    runner: Annotated[
        str,
        Meta(
            pattern="^(process|container|http|python)?$",
            description="Use only the entries of one kind: process, container, http or python. Empty: all.",
        ),
    ] = ""
    pool_size: Annotated[
        int, Meta(ge=0, le=1000, description="Processes for Python functions that are not async; 0: one for each core.")
    ] = 0
    group: Annotated[
        tuple[GroupName, ...],
        Meta(
            description="Take jobs of this group only. Repeatable; none: every group.",
            extra={"variable": "TITAN_GROUPS"},  # a job gets its own group as TITAN_GROUP
        ),
    ] = ()
    concurrency: Annotated[int, Meta(ge=1, le=1000, description="Jobs that run at once at most.")] = 4
    lease_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Lease of a running job, in seconds. It is renewed after each third.")
    ] = 30
    wait_s: Annotated[int, Meta(ge=0, le=30, description="How long one call waits for a job, in seconds.")] = 20
    grace_s: Annotated[
        float, Meta(ge=0, le=86_400, description="At a stop: how long running jobs may continue, in seconds.")
    ] = 25.0
    kill_after_s: Annotated[
        float, Meta(ge=0, le=3600, description="At a job's timeout: time between TERM and KILL, in seconds.")
    ] = 10.0
    give_back_s: Annotated[
        int,
        Meta(ge=0, le=86_400, description="Delay of a job that is released because it cannot run here, in seconds."),
    ] = 30
    keep_log_bytes: Annotated[
        int, Meta(ge=0, description="Output of one job that is kept, half of its head and half of its tail, in bytes.")
    ] = 8 * 1024 * 1024
    stream_s: Annotated[
        float, Meta(ge=0, le=3600, description="How often a running job's log is sent, in seconds; 0: only at its end.")
    ] = 2.0
    metrics_host: Annotated[str, Meta(description="Address of --metrics-port.")] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="Port on which the worker answers /healthz, /readyz and /metrics; 0: none."),
    ] = 0
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    ] = "info"
    log_format: Annotated[
        str,
        Meta(
            pattern="^(text|json)$",
            description="Lines of the log for people, text, or one JSON object a line for programs, json.",
        ),
    ] = "text"
    otel: Annotated[
        bool,
        Meta(
            description="Whether it sends spans and metrics by OpenTelemetry; needs the extra otel. "
            "The OTEL_ variables say where to."
        ),
    ] = False


def job_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The part of the worker's environment that every job gets."""
    present = os.environ if environ is None else environ
    return {name: present[name] for name in INHERITED if name in present}


def docker_host(environ: Mapping[str, str] | None = None) -> str:
    """The address of the container engine, DOCKER_HOST as for the programs of Docker; "" if it is not set."""
    return (os.environ if environ is None else environ).get("DOCKER_HOST", "")


def app_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of Python functions in the pool: that of the worker without the settings of Titan."""
    present = os.environ if environ is None else environ
    return {name: value for name, value in present.items() if not name.startswith("TITAN_")}


@contextmanager
def with_variables(variables: Mapping[bytes, bytes]) -> Iterator[None]:
    """Add these variables to the environment of this process, inside the block."""
    before = {name: os.environb.get(name) for name in variables}
    os.environb.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environb.pop(name, None)
            else:
                os.environb[name] = value
