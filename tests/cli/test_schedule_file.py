"""Files of schedules: what they say, what is wrong with them, and what is done to have it so."""

import json
from pathlib import Path

import click
import pytest
from msgspec import structs

from broker.cli.schedule_file import apply_schedules, read_schedules
from broker.core.errors import NotFound
from broker.models.schedules import FireCounts, NewSchedule, Schedule, ScheduledJob

FILE = """
[[schedules]]
group = "mail"
name = "digest"
cron = "30 7 * * 1-5"
zone = "Europe/Berlin"
starts_at = 2027-01-05T08:00:00+01:00
job = { image = "digest", retry = { max = 3, except = ["bad_input"] } }

[[schedules]]
group = "mail"
name = "v1.cleanup"
every = 3600
offset = 60
job.image = "cleanup"

[[schedules]]
group = "backup"
name = "nightly"
cron = ["@daily", "0 12 * * *"]
overlap = "queue"
job.image = "dump"
"""


class FakeBroker:
    """What a file needs of a broker; `calls` has what changed."""

    def __init__(self):
        self.kept = {}
        self.calls = []

    async def schedules(self, group, n=50, cursor=""):  # noqa: ARG002 - a page here has one
        if group not in self.kept:
            raise NotFound
        names = sorted(name for name in self.kept[group] if name > cursor)
        page = [self.kept[group][name] for name in names[:1]]
        return page, names[0] if len(names) > 1 else ""

    async def put_schedule(self, group, name, given):
        before = self.kept.setdefault(group, {}).get(name)
        fields = {key: getattr(given, key) for key in NewSchedule.__struct_fields__ if getattr(given, key) is not None}
        paused = fields.pop("paused", False)
        revision = before.revision if before else 1
        made = Schedule(
            name=name,
            group_name=group,
            state="paused" if paused else "active",
            revision=revision,
            created_at="2026-01-01T00:00:00.000Z",
            updated_at="2026-01-01T00:00:00.000Z",
            counts=FireCounts(),
            **fields,
        )
        if before and before != made:
            made.revision += 1
        self.kept[group][name] = made
        self.calls.append(f"put {group} {name}")
        return made

    async def remove_schedule(self, group, name):
        del self.kept[group][name]
        self.calls.append(f"remove {group} {name}")


def write(folder: Path, text: str, name: str = "schedules.toml") -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


async def applied(broker, file, *, prune=False, dry_run=False):
    changes = apply_schedules(broker, read_schedules(file), prune=prune, dry_run=dry_run)
    return [f"{change.group} {change.name} {change.what}" async for change in changes]


def test_a_file_has_the_fields_of_the_api(tmp_path):
    """A table is a schedule; times of TOML are times of the API; JSON says the same."""
    found = read_schedules(write(tmp_path, FILE))
    assert list(found) == ["mail", "backup"]
    digest = found["mail"]["digest"]
    assert (digest.cron, digest.zone, digest.starts_at) == (
        "30 7 * * 1-5",
        "Europe/Berlin",
        "2027-01-05T08:00:00+01:00",
    )
    assert digest.job.retry.except_ == ("bad_input",)
    cleanup = found["mail"]["v1.cleanup"]
    assert (cleanup.every, cleanup.offset, cleanup.job.image) == (3600, 60, "cleanup")
    text = json.dumps({"schedules": [{"group": "mail", "name": "a", "every": 5, "job": {"image": "x"}}]})
    assert read_schedules(write(tmp_path, text, "a.json"))["mail"]["a"].every == 5


def test_all_faults_of_a_file_are_named(tmp_path):
    """Each field that is not valid is named with its schedule, and what is probably meant, before anything is sent."""
    tables = [
        'group = "mail"\nname = "digest"\ncron = "@daily"\nzone = "Europe/Berln"\njob.image = "x"',
        'group = "mail"\nname = "twice"\ncron = ["@weekly", "0 0 30 2 *"]\njob.image = "x"',
        'group = "mail"\nname = "local"\nevery = 5\nstarts_at = 2027-01-01T00:00:00\njob.image = "x"',
        'group = "mail"\nname = "typo"\nevry = 5\njob.image = "x"',
        'group = "mail"\nname = "deep"\nevery = 5\njob = { image = "x", retry = { maxx = 3 } }',
        'group = "mail"\nname = "none"\nevery = 5',
        'group = "mail"\nname = "a b"\nevery = 5\njob.image = "x"',
        'name = "z"\nevery = 5\njob.image = "x"',
        'group = "mail"\nname = "good"\nevery = 5\njob.image = "x"',
        'group = "mail"\nname = "good"\nevery = 6\njob.image = "x"',
    ]
    file = write(tmp_path, "".join(f"[[schedules]]\n{table}\n" for table in tables))
    with pytest.raises(click.UsageError) as refusal:
        read_schedules(file)
    assert refusal.value.message.splitlines() == [
        f"{file}: schedules[0] mail digest: zone: 'Europe/Berln' is not a time zone. Do you mean 'Europe/Berlin'?",
        "schedules[1] mail twice: cron[1]: '0 0 30 2 *' never comes.",
        "schedules[2] mail local: starts_at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z.",
        "schedules[3] mail typo: evry: There is no field evry in schedule; did you mean every?",
        "schedules[4] mail deep: job.retry.maxx: There is no field maxx in job.retry; did you mean max?",
        "schedules[5] mail none: job is missing.",
        "schedules[6] mail a b: name is needed: 1 to 128 characters of A-Z a-z 0-9 _ . -.",
        "schedules[7] z: group is needed: 1 to 128 characters of A-Z a-z 0-9 _ -.",
        "schedules[9] mail good: name is that of an earlier schedule of the group.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `schedules`"),
        ("[mail]\n[mail]", "Cannot declare"),
        ("schedules = 1", "Expected `array`"),
        ("schedules = [1]", "Expected `object`"),
    ],
)
def test_a_file_without_schedules(tmp_path, text, message):
    """A file that is empty, or no TOML, or has no tables, is refused."""
    with pytest.raises(click.UsageError, match=r"schedules\.toml: ") as refusal:
        read_schedules(write(tmp_path, text))
    assert message in refusal.value.message


async def test_applying_twice_changes_nothing(tmp_path):
    """The second time all is unchanged; a schedule with another field is changed, and only that."""
    broker, file = FakeBroker(), write(tmp_path, FILE)
    names = ["mail digest", "mail v1.cleanup", "backup nightly"]
    assert await applied(broker, file, dry_run=True) == [f"{name} created" for name in names]
    assert broker.calls == []
    assert await applied(broker, file) == [f"{name} created" for name in names]
    for dry_run in (True, False):
        assert await applied(broker, file, dry_run=dry_run) == [f"{name} unchanged" for name in names]
    write(tmp_path, FILE.replace("offset = 60", "offset = 61"))
    for dry_run in (True, False):
        found = await applied(broker, file, dry_run=dry_run)
        assert found == [f"{name} {'changed' if 'v1' in name else 'unchanged'}" for name in names]


async def test_prune_removes_what_the_file_does_not_have(tmp_path):
    """Others of the groups that the file names are removed, at the end; other groups, and without --prune all, stay."""
    broker, file = FakeBroker(), write(tmp_path, FILE)
    await applied(broker, file)
    for group, name in (("mail", "old"), ("mail", "older"), ("other", "one")):
        await broker.put_schedule(group, name, NewSchedule(every=5, job=ScheduledJob(image="x")))
    broker.calls.clear()
    assert "mail old removed" not in await applied(broker, file)
    assert (await applied(broker, file, prune=True, dry_run=True))[-2:] == ["mail old removed", "mail older removed"]
    assert set(broker.kept["mail"]) == {"digest", "v1.cleanup", "old", "older"}
    broker.calls.clear()
    await applied(broker, file, prune=True)
    assert broker.calls[-2:] == ["remove mail old", "remove mail older"]
    assert set(broker.kept["other"]) == {"one"}


async def test_a_pause_by_hand_stays(tmp_path):
    """A file that does not say `paused` leaves a paused schedule paused; one that has it is compared."""
    broker = FakeBroker()
    file = write(tmp_path, FILE)
    await applied(broker, file)
    digest = broker.kept["mail"]["digest"]
    broker.kept["mail"]["digest"] = structs.replace(digest, state="paused")
    assert (await applied(broker, file, dry_run=True))[0] == "mail digest unchanged"
    write(tmp_path, FILE.replace('name = "digest"', 'name = "digest"\npaused = false'))
    assert (await applied(broker, file, dry_run=True))[0] == "mail digest changed"
