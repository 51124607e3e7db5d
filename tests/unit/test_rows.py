"""Rows of scripts and their arguments, against the structs of the API."""

from hypothesis import given
from msgspec import UNSET

from broker.models import Counts, Group, GroupSettings, NewJob, Retentions
from broker.rows import arguments_of, field_of, fields_of, group_of, job_of, new_job
from broker.times import rfc3339
from tests.conftest import NOW
from tests.unit.jobs import NEW_JOBS, SETTINGS

ID = "0" * 16
FIELDS = ("delay", "priority", "timeout", "max_retries", "retries_delay", "spec")


def row(**fields):
    """A row as a script answers it."""
    values = {"group_name": "maps", "status": "queued", "created_at": NOW, "spec": '{"image":"resize"}'} | fields
    return [ID.encode(), *(str(word).encode() for pair in values.items() for word in pair)]


@given(NEW_JOBS)
def test_arguments_of_a_job_make_its_row(job):
    """What enqueue writes of a job is read back as the job that the producer was told."""
    _, *words = arguments_of(job, ID, "group-image")
    fields = {name: word for name, word in zip(FIELDS, words, strict=True) if word != ""}
    fields["status"] = "delayed" if job.delay else "queued"
    assert job_of(row(**fields)) == new_job(job, ID, "maps", "group-image", NOW)


def test_arguments_of_a_job_of_defaults_are_empty():
    """A default is not kept, whether it was given or not."""
    given_all = NewJob(image="x", payload="", delay=0, timeout=60, priority=0, max_retries=0, retries_delay=60)
    words = (ID, "", "", "", "", "", '{"image":"x"}')
    assert arguments_of(given_all, ID, "") == arguments_of(NewJob(image="x"), ID, "") == words


def test_arguments_of_a_retries_delay_of_nothing():
    """A retries_delay of 0 is not the default, and is kept."""
    assert arguments_of(NewJob(image="x", retries_delay=0), ID, "")[5] == 0


def test_job_of_a_row_without_fields_has_the_defaults():
    """Fields that the hash does not have are the defaults, or left out."""
    job = job_of(row())
    assert (job.delay, job.timeout, job.priority, job.max_retries, job.retries_delay) == (0, 60, 0, 0, 60)
    assert job.deliveries == 0
    left_out = (job.payload, job.started_at, job.completed_at, job.expires_at, job.reason, job.retry_of, job.lease)
    assert set(left_out) == {UNSET}


def test_job_of_a_running_row():
    """Times are RFC 3339; texts and numbers stand as they are."""
    job = job_of(row(status="running", started_at=NOW, expires_at=NOW + 1, deliveries=2, retry_of=ID, reason="ü"))
    assert (job.started_at, job.expires_at) == (rfc3339(NOW), rfc3339(NOW + 1))
    assert (job.deliveries, job.retry_of, job.reason) == (2, ID, "ü")


def test_job_of_a_row_shows_the_lease_only_to_its_holder():
    """The token is in the answer that hands the job out, and in no other."""
    held = row(status="running", lease="secret", env_vars='{"A":"1"}')
    assert job_of(held).lease is UNSET
    assert job_of(held, is_handed_out=True).lease == "secret"
    assert job_of(held).env_vars == {"A": "1"}


def test_field_of_a_row():
    """One field by name, None where the hash does not have it."""
    assert field_of(row(log_bytes=12), "log_bytes") == "12"
    assert field_of(row(), "log_bytes") is None


@given(SETTINGS)
def test_fields_of_settings_make_the_group(settings):
    """What configure writes of settings is read back as the settings in force."""
    fields = [word.encode() for word in fields_of(settings)]
    group = group_of([b"maps", str(NOW).encode(), 1, 2, 3, 4, 5, 6, *fields])
    assert group == Group(
        name="maps",
        created_at=rfc3339(NOW),
        image=settings.image or UNSET,
        env_vars=settings.env_vars or UNSET,
        max_concurrency=settings.max_concurrency or UNSET,
        paused=bool(settings.paused),
        delivery_limit=settings.delivery_limit or 5,
        require_lease=bool(settings.require_lease),
        retention=settings.retention or Retentions(),
        counts=Counts(delayed=1, queued=2, running=3, succeeded=4, failed=5, cancelled=6),
    )


def test_fields_of_no_settings():
    """A group of defaults has no fields at all."""
    assert (
        fields_of(GroupSettings()) == fields_of(GroupSettings(paused=False, retention=Retentions(), env_vars={})) == []
    )
