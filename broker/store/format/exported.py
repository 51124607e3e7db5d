"""The lines of an export: NDJSON that has all that the store keeps of groups and jobs. The page `move` describes them.

Spec and settings of a job are JSON in the store already, and its line has them as they are. Nothing in the lines of
groups and jobs depends on the prefix, on the number of partitions or on an order, so the digest does not either.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from broker.core.errors import Invalid
from broker.core.states import FINISHED
from broker.models.fields import GROUP_NAME, JOB_ID
from broker.models.schedules import NewSchedule
from broker.models.settings import OrderName
from broker.store.format.batches import CALLBACKS, FIELDS, batch_of
from broker.store.format.exported_fields import BatchField, JobField, ScheduleField
from broker.store.format.group_replies import group_of
from broker.store.format.record import Settings, Spec, parts_of, split

FORMAT = 1
"""The number of the format of the lines. An import refuses another one, and layouts whose records it cannot read."""

GroupName = Annotated[str, Meta(pattern=f"^{GROUP_NAME}$")]
JobId = Annotated[str, Meta(pattern=f"^{JOB_ID}$")]
Number = Annotated[int, Meta(ge=0, le=2**53)]
Status = Literal["delayed", "queued", "succeeded", "failed", "cancelled"]
_WAITS = re.compile(r"\d{0,9}|key")
_FINISHED = re.compile(r"\S{1,80} \d{1,9} (\d{1,16}|-)( \d{1,9} \d{1,16}| start)?( \+\+?)? (?P<status>[a-z]+) \d{1,16}")
_CALLBACK = re.compile(
    rf"{GROUP_NAME} {JOB_ID} [012] (-|\+\d{{1,12}}) (?P<settings>-|\{{\S*\}}) (?P<spec>\{{.*\}})", re.DOTALL
)
_MODULUS = 2**256


class Begin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line. `id` is of this export only, so that an import that was cut off knows its file again.

    `version` of Titan wrote it, from a store of this layout. `order`: of all groups, unless it is fifo.
    """

    format: int
    layout: int
    id: str
    version: str
    created_at: str
    key_prefix: str
    partitions: Annotated[int, Meta(ge=1, le=1024)]
    order: OrderName | UnsetType = UNSET


class ExportedGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group. created_at: ms. `settings` are the fields that are not the default, as the store has them.

    `schedules` are those of the group by name, with their fields. Their history is not exported.
    """

    name: GroupName
    created_at: Number
    settings: dict[str, str] = {}
    schedules: dict[str, dict[ScheduleField, str]] | UnsetType = UNSET


class ExportedJob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A job. `score` is its rank when it is queued, when it is due when it is delayed, else when it ended; ms."""

    id: JobId
    group: GroupName
    status: Status
    score: Number
    created_at: Number
    settings: Raw = Raw(b"{}")
    spec: Raw
    execution: str = ""
    fields: dict[JobField, str] = {}


class ExportedBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A batch. created_at: ms. `due`: when the reaper must look at it, ms. `fields` are as the store has them."""

    id: JobId
    group: GroupName
    created_at: Number
    due: Number = 0
    fields: dict[BatchField, str] = {}


class End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The last line: what the lines before it have."""

    groups: int
    batches: int = 0
    jobs: int
    digest: str


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line; it has one of these."""

    export: Begin | None = None
    group: ExportedGroup | None = None
    batch: ExportedBatch | None = None
    job: ExportedJob | None = None
    end: End | None = None

    @property
    def group_name(self) -> str:
        """The group that it is about, or ''."""
        if self.group is not None:
            return self.group.name
        about = self.batch or self.job
        return about.group if about else ""


class _JobSettings(Settings, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    bytes: int = 0


_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(Line).decode
_spec = msgspec.json.Decoder(Spec).decode
_schedule = msgspec.json.Decoder(NewSchedule).decode
_settings = msgspec.json.Decoder(_JobSettings).decode


class Digest:
    """Counts lines of groups, batches and jobs, and sums up their SHA-256: lines in another order have the same sum."""

    def __init__(self) -> None:
        self.groups = 0
        self.batches = 0
        self.jobs = 0
        self._sum = 0

    def add(self, line: bytes, *, is_group: bool = False, is_batch: bool = False) -> None:
        """Count a line, without its end."""
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(line).digest(), "big")) % _MODULUS
        if is_group:
            self.groups += 1
        elif is_batch:
            self.batches += 1
        else:
            self.jobs += 1

    def end(self) -> End:
        """The last line."""
        return End(groups=self.groups, batches=self.batches, jobs=self.jobs, digest=f"{self._sum:064x}")


def encoded(**line: Begin | ExportedGroup | ExportedBatch | ExportedJob | End) -> bytes:
    """A line without its end."""
    return _encode(line)


def exported_schedule(fields: Mapping[str, str]) -> dict[ScheduleField, str]:
    """What an export has of the fields of a schedule: a restore sets the others itself."""
    return {name: fields[name] for name in get_args(ScheduleField) if fields.get(name)}


def group_line(row: Sequence[Any], schedules: dict[str, dict[ScheduleField, str]] | None = None) -> bytes:
    """The line of a group, from its row in the reply of groups.lua, with its schedules."""
    fields = [value.decode() for value in row[8:]]
    settings = dict(sorted(zip(fields[::2], fields[1::2], strict=True)))
    name, created_at = row[0].decode(), int(row[1])
    return encoded(
        group=ExportedGroup(name=name, created_at=created_at, settings=settings, schedules=schedules or UNSET)
    )


def batch_line(row: Sequence[bytes]) -> bytes:
    """The line of a batch, from its row in the reply of export_batches.lua. Raises ValueError for a damaged one."""
    batch_id, created_at, due, *fields = [value.decode() for value in row]
    kept = dict(sorted(zip(fields[::2], fields[1::2], strict=True)))
    group, _ = kept.pop("group", ""), kept.pop("created_at", "")
    line = encoded(
        batch=ExportedBatch(
            id=batch_id,
            group=group,
            created_at=int(created_at),
            due=int(due),
            fields=kept,  # type: ignore[arg-type]  # the next line looks at them
        )
    )
    read_line(line)
    return line


def job_line(row: Sequence[bytes]) -> bytes:
    """The line of a job, from its row in the reply of export.lua. Raises ValueError for a damaged one."""
    job_id, status, score, record, execution, *fields = row
    header, body = split(record)
    settings, group, created_at = parts_of(header)
    texts = [value.decode() for value in fields]
    kept = dict(sorted(zip(texts[::2], texts[1::2], strict=True)))
    kept.pop("spec", None)
    line = encoded(
        job=ExportedJob(
            id=job_id.decode(),
            group=group.decode(),
            status=status.decode(),  # type: ignore[arg-type]  # the script writes no other words
            score=int(score),
            created_at=int(created_at),
            settings=Raw(settings or b"{}"),
            spec=Raw(b"{" + body + b"}"),
            execution=execution.decode(),
            fields=kept,  # type: ignore[arg-type]  # the next line looks at them
        )
    )
    read_line(line)
    return line


def read_line(text: bytes) -> Line:
    """A line, without its end, looked at whole. Raises Invalid."""
    try:
        line = _line(text)
        if line.group is not None:
            group_of(group_words(line.group))
            for fields in (line.group.schedules or {}).values():
                _schedule(fields["spec"])
        if line.batch is not None:
            _check_batch(line.batch)
        if line.job is not None:
            _check_job(line.job)
    except (ValueError, LookupError) as error:
        raise Invalid(str(error)) from None
    if sum(part is not None for part in (line.export, line.group, line.batch, line.job, line.end)) != 1:
        raise Invalid("A line has one of export, group, batch, job and end.")
    return line


def callback_groups(batch: ExportedBatch) -> dict[str, str]:
    """The groups of the callbacks that it has still to create, by the names of the callbacks."""
    if "ended_at" in batch.fields:
        return {}
    given = {name: batch.fields.get(name) for name in CALLBACKS}
    return {name: words.split()[0] for name, words in given.items() if words and f"made_{name}" not in batch.fields}


def _check_batch(batch: ExportedBatch) -> None:
    """Raise ValueError for what the store would not have."""
    batch_of(words_in_reply(batch))
    for name in CALLBACKS:
        words = batch.fields.get(name)
        found = _CALLBACK.fullmatch(words or "")
        if words is not None and found is None:
            raise ValueError(f"{words!r} is no callback")
        if found:
            _spec(found["spec"])
            _settings("{}" if found["settings"] == "-" else found["settings"])


def _fields(batch: ExportedBatch) -> dict[str, str]:
    return {str(name): value for name, value in batch.fields.items()}


def words_in_reply(batch: ExportedBatch) -> list[Any]:
    """A batch as a row of batches.lua."""
    whole: dict[str, Any] = {"id": batch.id, "group": batch.group, "created_at": batch.created_at} | _fields(batch)
    return [whole.get(name, "") for name in FIELDS]


def words_of_batch(batch: ExportedBatch) -> Iterator[str | int]:
    """A batch as restore.lua takes it."""
    fields = {"group": batch.group, "created_at": str(batch.created_at)} | _fields(batch)
    yield from (batch.id, batch.group, batch.due, 2 * len(fields))
    for pair in fields.items():
        yield from pair


def _check_job(job: ExportedJob) -> None:
    """Raise ValueError for what the store would not have."""
    _spec(job.spec)
    settings = bytes(job.settings)
    _settings(settings)
    if not bytes(job.spec).startswith(b"{") or len(settings.split()) > 1:
        raise ValueError("spec and settings are JSON objects, settings without spaces")
    if job.status in FINISHED:
        found = _FINISHED.fullmatch(job.execution)
        if found is None or found["status"] != job.status:
            raise ValueError(f"{job.execution!r} is not the execution of a job that is {job.status}")
    elif _WAITS.fullmatch(job.execution) is None:
        raise ValueError(f"{job.execution!r} is not the execution of a job that is {job.status}")


def group_words(group: ExportedGroup) -> list[Any]:
    """A group as a row of groups.lua."""
    settings = [word.encode() for pair in group.settings.items() for word in pair]
    return [group.name.encode(), group.created_at, *[0] * 6, *settings]


def words_of_group(group: ExportedGroup) -> Iterator[str | int]:
    """A group as restore.lua takes it."""
    yield from (group.name, group.created_at, 2 * len(group.settings))
    for pair in group.settings.items():
        yield from pair


def words_of_job(job: ExportedJob) -> Iterator[str | int | bytes]:
    """A job as restore.lua takes it."""
    settings = bytes(job.settings)
    header = f"{settings.decode()} " if settings != b"{}" else ""
    yield from (job.id, job.group, job.status, job.score, f"{header}{job.group} {job.created_at} ", bytes(job.spec))
    yield from (job.execution, 2 * len(job.fields))
    for pair in job.fields.items():
        yield from pair
