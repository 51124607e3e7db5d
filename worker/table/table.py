"""The table of a worker: image -> entry, from `--run`, `--config` and `--app`."""

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from broker.core.settings_schema import is_text
from worker.settings import WorkerSettings
from worker.table.entries import Argv, ContainerEntry, Entry, HttpEntry, ProcessEntry, PythonEntry
from worker.table.functions import load
from worker.table.url_allowlist import AllowedUrl, is_address

E = TypeVar("E", bound=Entry)


class Table(Struct, frozen=True):
    """Names are searched first, then addresses, then patterns of container images, each in the order of the file."""

    named: Mapping[str, ProcessEntry | PythonEntry] = {}
    addresses: Sequence[tuple[AllowedUrl, HttpEntry]] = ()
    patterns: Sequence[tuple[str, ContainerEntry]] = ()

    def entry(self, image: str) -> Entry | None:
        """The entry for this image; None if this worker cannot run it."""
        if found := self.named.get(image):
            return found
        if is_address(image):
            return next((entry for address, entry in self.addresses if address.allows(image)), None)
        return next((entry for pattern, entry in self.patterns if fnmatchcase(image, pattern)), None)

    @property
    def names(self) -> list[str] | None:
        """Every image that it can run; None if an address or a pattern allows more than can be listed."""
        return None if self.addresses or self.patterns else sorted(self.named)

    @property
    def kinds(self) -> str:
        """The kinds of its entries, for people: `http, process`."""
        return ", ".join(sorted(map(_kind, self.types)))

    @property
    def types(self) -> set[type[Entry]]:
        """The types of its entries."""
        entries = [*self.named.values(), *(entry for _, entry in (*self.addresses, *self.patterns))]
        return set(map(type, entries))

    def only(self, kind: str) -> "Table":
        """Its entries of one kind, such as `process`; all of them for ""."""
        if not kind:
            return self
        named = {name: entry for name, entry in self.named.items() if _kind(type(entry)) == kind}
        return Table(named, self.addresses if kind == "http" else (), self.patterns if kind == "container" else ())

    def __bool__(self) -> bool:
        return bool(self.named or self.addresses or self.patterns)


class Tables:
    """The table in force. Callers read `current` each time, so that `reload` can replace it."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Read it. Raises ValueError as read_table does."""
        self._settings = settings
        self.current = read_table(settings)

    def reload(self) -> None:
        """Read it again. Raises ValueError as read_table does; then the old one stays."""
        self.current = read_table(self._settings)


def read_table(settings: WorkerSettings) -> Table:
    """All entries of the settings for its runner. Raises ValueError that names the entry and the wrong key."""
    named: dict[str, ProcessEntry | PythonEntry] = {}
    table = _read_file(settings.config) if settings.config else Table()
    entries = [*_runs(settings.run), *table.named.items(), *((name, PythonEntry(name)) for name in load(settings.app))]
    for image, entry in entries:
        if image in named:
            raise ValueError(f"{image!r} is in the table twice")
        named[image] = entry
    return Table(named, table.addresses, table.patterns).only(settings.runner)


def _kind(entry: type[Entry]) -> str:
    return entry.__name__.removesuffix("Entry").lower()


def _runs(entries: Sequence[str]) -> Iterator[tuple[str, ProcessEntry]]:
    for entry in entries:
        image, equals, command = entry.partition("=")
        if not equals or not image.strip():
            raise ValueError(f"{entry!r} is not NAME='command arguments'")
        if not is_text(image):
            raise ValueError(f"{image!r} is not UTF-8 text, as the name of an image must be")
        yield image.strip(), ProcessEntry(_argv(entry, command))


def _argv(entry: str, command: str) -> Argv:
    """Split as a shell would; no shell is run."""
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"{entry!r} cannot be split into arguments: {error}") from None
    if not argv:
        raise ValueError(f"{entry!r} has no command")
    return argv


def _read_file(path: str) -> Table:
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise ValueError(f"{path}: {error}") from None
    unknown = content.keys() - {"process", "container", "http"}
    if unknown:
        raise ValueError(f"{path}: [{min(unknown)}] is none of [process.NAME], [container.PATTERN], [http.ADDRESS]")
    return Table(
        dict(_entries(path, "process", content, ProcessEntry)),
        [(_address(path, text), entry) for text, entry in _entries(path, "http", content, HttpEntry)],
        list(_entries(path, "container", content, ContainerEntry)),
    )


def _entries(path: str, kind: str, content: Mapping[str, Any], struct: type[E]) -> Iterator[tuple[str, E]]:
    rows = content.get(kind, {})
    if not isinstance(rows, dict):
        raise ValueError(f"{path}: {kind} is not a table")  # noqa: TRY004 -- the value in the file is wrong, not an argument
    for name, row in rows.items():
        try:
            yield name, msgspec.convert(row, struct)
        except msgspec.ValidationError as error:
            place = str(error).replace("`$.", "`").replace(" - at `$`", "")
            raise ValueError(f"{path}: [{kind}.{name!r}]: {place}") from None


def _address(path: str, text: str) -> AllowedUrl:
    try:
        return AllowedUrl(text)
    except ValueError as error:
        raise ValueError(f"{path}: [http.{text!r}]: {error}") from None
