"""Rows of scripts and their arguments, against the structs of the API."""

import re
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.json import Decoder, Encoder

from broker.core.timestamps import rfc3339
from broker.models.groups import Counts, Group, GroupSettings, Retentions
from broker.models.jobs import Job, NewJob
from broker.resp.script_source import SCRIPTS
from broker.store.format.group_replies import fields_of, group_of
from broker.store.format.job_json import dispatched_jobs, finished, new_jobs
from broker.store.format.record import Settings, settings_of, settings_text
from broker.store.format.replies import execution_fields, field_of, job_of
from broker.store.format.script_args import enqueue_words, new_batches
from broker.store.group_counts import OUT
from broker.store.tally import Tally
from tests.conftest import NOW
from tests.unit.jobs import NEW_JOBS, SETTINGS

ID = "0" * 16
_NUMBERS = st.integers(0, 10**7)
SETTINGS_OF_JOBS = st.builds(Settings, _NUMBERS, _NUMBERS, st.integers(0, 2), _NUMBERS, _NUMBERS)


def row(**fields):
    """A row as a script answers it."""
    values = {"status": "queued", "job": f'maps {NOW} {{"image":"resize"}}'} | fields
    return [str(word).encode() for pair in {**values, "id": ID}.items() for word in pair]


def text_of(settings, spec, created_at=NOW):
    """What `jobs` has of a job."""
    parts = [settings, b"maps", str(created_at).encode(), spec]
    return b" ".join(parts if settings else parts[1:]).decode()


@given(NEW_JOBS)
def test_words_of_a_new_job_make_its_row(job):
    """What enqueue writes of a job is read as the job in the answer to the producer."""
    runs = new_batches("maps", [job], [ID], "group-image")
    group, n, priority, delay, settings, job_id, spec = enqueue_words(runs)
    assert (group, n, priority, delay, job_id) == ("maps", 1, job.priority or 0, job.delay or 0, ID)
    fields = {"job": text_of(settings, spec), "status": "delayed" if delay else "queued"}
    assert [job_of(row(**fields))] == [Decoder(Job).decode(encoded) for encoded in new_jobs(runs, NOW)]


def test_words_of_a_job_of_defaults_are_empty():
    """A default is not kept, whether it was given or not."""
    given_all = NewJob(image="x", payload="", delay=0, timeout=60, priority=0, max_retries=0, retries_delay=60)
    words = ["maps", 1, 0, 0, b"", ID, b'{"image":"x"}']
    for job in (given_all, NewJob(image="x")):
        assert enqueue_words(new_batches("maps", [job], [ID], "")) == words


def test_words_of_a_retries_delay_of_nothing():
    """A retries_delay of 0 is not the default, and is kept."""
    [run] = new_batches("maps", [NewJob(image="x", retries_delay=0)], [ID], "")
    assert settings_text(run.settings) == b'{"retries_delay":0}'


@given(SETTINGS_OF_JOBS)
def test_settings_are_read_as_they_were_written(settings):
    """What a hash has of a job's settings is all of them, in words that Lua reads as well."""
    text = settings_text(settings)
    assert settings_of(text) == settings
    assert text == b"" or re.fullmatch(rb'\{("[a-z_]+":\d+,?)+\}', text)


@pytest.mark.parametrize("text", [b"0", b"{", b'{"timeout":"x"}', b"[]", b"\xff"])
def test_settings_that_no_broker_wrote_are_the_defaults(text):
    """A damaged record blocks nobody."""
    assert settings_of(text) == settings_of(b"")


@given(st.lists(NEW_JOBS, min_size=1, max_size=5))
def test_new_runs_keep_the_order(jobs):
    """Only neighbours that are alike share a run, so the order of the jobs stays."""
    names = [f"{i:016d}" for i in range(len(jobs))]
    runs = new_batches("maps", jobs, names, "group-image")
    assert [job_id for run in runs for job_id in run.ids] == names
    assert [run.settings for run in runs] == [key for key, _ in groupby(run.settings for run in runs for _ in run.ids)]


@given(NEW_JOBS, st.sampled_from((None, 5)), st.sampled_from((None, b'{"A":"\xc3\xbc"}')), st.sampled_from((None, ID)))
def test_handed_out_is_the_encoding_of_the_job(job, lease_s, env_vars, retry_of):
    """The JSON of a job that is delivered is what the struct would be encoded to."""
    [run] = new_batches("maps", [job], [ID], "group-image")
    own = msgspec.structs.replace(run.settings, retry_of=retry_of or "")
    text = text_of(settings_text(own), run.specs[0], NOW - 5).encode()
    tally = Tally()
    [handed] = dispatched_jobs([NOW, [b"maps", env_vars, ID.encode(), b"17", text, 2]], "abc", lease_s, 0, tally)
    assert tally.of("maps").counts[OUT] == 1
    assert (handed.group_name, handed.id, handed.lease) == ("maps", ID.encode(), b"abc-17")
    told = Decoder(Job).decode(handed.encoded)
    assert Encoder().encode(told) == handed.encoded
    assert told.expires_at == rfc3339(NOW + 1000 * min(own.timeout, lease_s or own.timeout))
    assert (told.image, told.payload or "") == (job.image or "group-image", job.payload or "")


TEXTS = (st.text(), st.text())


@given(NEW_JOBS, *TEXTS, st.sampled_from((None, ID)), st.sampled_from(("succeeded", "failed")), st.booleans())
def test_finished_is_the_encoding_of_the_job(job, reason, error, other, status, is_large):
    """The JSON of a job that has ended is what its whole row would be encoded to, whatever its texts are."""
    [run] = new_batches("maps", [job], [ID], "group-image")
    settings = settings_text(msgspec.structs.replace(run.settings, retry_of=other or ""))
    ends = {"status": status, "run": f"abc-17 3 {NOW + 1} 30 {NOW + 9} {status} {NOW + 2}"}
    own = {"reason": reason, "error": error, "retry_at": other, "spec": run.specs[0].decode() if is_large else ""}
    fields = {"job": text_of(settings, b"" if is_large else run.specs[0]), **ends, **own}
    fields = {name: value for name, value in fields.items() if value not in (None, "")}
    asked = [fields.get(name) for name in ("job", "status", "run", *_fields_of("FINISHED_FIELDS"))]
    told = finished(ID, [None if value is None else str(value).encode() for value in asked])
    assert told == Encoder().encode(job_of(row(**fields)))


def _fields_of(name):
    """A list of fields in finish.lua."""
    found = re.search(rf"^local {name} = {{(.*?)}}", SCRIPTS["finish"].text, re.MULTILINE | re.DOTALL)
    return re.findall(r"'(\w+)'", found[1])


def test_job_of_a_row_without_fields_has_the_defaults():
    """Fields that the hash does not have are the defaults, or left out."""
    job = job_of(row())
    assert (job.delay, job.timeout, job.priority, job.max_retries, job.retries_delay) == (0, 60, 0, 0, 60)
    assert job.deliveries == 0
    left_out = (job.payload, job.started_at, job.completed_at, job.expires_at, job.reason, job.retry_of, job.lease)
    assert set(left_out) == {UNSET}


def test_job_of_a_running_row():
    """Times are RFC 3339; texts and numbers stand as they are."""
    settings = f'{{"retry_of":"{ID}"}}'.encode()
    text = text_of(settings, b'{"image":"x"}')
    job = job_of(row(status="running", run=f"abc-17 2 {NOW}", expires_at=NOW + 1, job=text, reason="ü"))
    assert (job.started_at, job.expires_at) == (rfc3339(NOW), rfc3339(NOW + 1))
    assert (job.deliveries, job.retry_of, job.reason) == (2, ID, "ü")


def test_job_of_a_row_shows_the_lease_only_to_its_holder():
    """The token is in the answer that hands the job out, and in no other."""
    held = row(status="running", run=f"secret 1 {NOW}", env_vars='{"A":"1"}')
    assert job_of(held).lease is UNSET
    assert job_of(held, is_dispatched=True).lease == "secret"
    assert job_of(held).env_vars == {"A": "1"}


@pytest.mark.parametrize(
    ("run", "fields"),
    [
        ("2", {"deliveries": "2"}),
        ("abc-17 2 5", {"lease": "abc-17", "deliveries": "2", "started_at": "5"}),
        ("abc-17 2 5 30 9", {"lease": "abc-17", "deliveries": "2", "started_at": "5"}),
        ("abc-17 2 5 start", {"lease": "abc-17", "deliveries": "2", "started_at": "5"}),
        ("abc-17 2 5 failed 7", {"lease": "abc-17", "deliveries": "2", "started_at": "5", "completed_at": "7"}),
        ("- 1 5 30 9 succeeded 7", {"lease": "-", "deliveries": "1", "started_at": "5", "completed_at": "7"}),
        ("* 0 - cancelled 7", {"lease": "*", "deliveries": "0", "completed_at": "7"}),
    ],
)
def test_run_of_each_kind(run, fields):
    """Each text that `runs` may have of a job says what the scripts mean by it."""
    assert execution_fields(run) == fields


def test_field_of_a_row():
    """One field by name, None where the job does not have it."""
    assert field_of(row(log_bytes=12), "log_bytes") == "12"
    assert field_of(row(run="abc-17 2 5"), "lease") == "abc-17"
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
        rate_limit=settings.rate_limit or UNSET,
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
