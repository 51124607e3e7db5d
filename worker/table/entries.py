"""Entries of the table, one struct for each way to run a job. An unknown field is refused."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Argv = tuple[str, ...]
Env = dict[str, str]

_MIB = 1024 * 1024


class Limits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of one process, as in setrlimit; a field that is not given is no limit."""

    memory_bytes: Annotated[int, Meta(ge=1)] | None = None
    cpu_s: Annotated[int, Meta(ge=1)] | None = None
    open_files: Annotated[int, Meta(ge=8)] | None = None
    processes: Annotated[int, Meta(ge=1)] | None = None


class ProcessEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A command. `payload`: the job's payload is on stdin, or in the file that TITAN_PAYLOAD_FILE names."""

    argv: Annotated[Argv, Meta(min_length=1)]
    cwd: str = ""
    env: Env = {}
    user: str = ""
    limits: Limits = Limits()
    payload: Literal["stdin", "file"] = "stdin"


class ContainerEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A container of the job's image. The defaults give it no network, no capability, no writable root and no root.

    `reports`: it has a folder with the files that TITAN_RESULT and TITAN_PROGRESS name. To make and to read it takes
    the engine some time.
    """

    pull: Literal["always", "missing", "never"] = "missing"
    command: Argv = ()
    env: Env = {}
    user: str = "65534:65534"
    network: str = "none"
    memory_bytes: Annotated[int, Meta(ge=6 * _MIB)] = 512 * _MIB
    cpus: Annotated[float, Meta(gt=0)] = 1.0
    processes: Annotated[int, Meta(ge=1)] = 256
    read_only: bool = True
    tmp_bytes: Annotated[int, Meta(ge=0)] = 64 * _MIB
    reports: bool = False


class HttpEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """An address that gets the payload as the body of a POST."""

    headers: dict[str, str] = {}
    content_type: str = "text/plain; charset=utf-8"


class PythonEntry(Struct, frozen=True):
    """A function that an app of the worker has registered under this name."""

    handler: str


Entry = ProcessEntry | ContainerEntry | HttpEntry | PythonEntry
