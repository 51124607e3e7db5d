"""What a valid job is, and that every valid one survives the store."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from broker.models.fields import MAX_JOBS
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob, NewJobs
from tests.stores import Store
from tests.unit.jobs import NEW_JOBS, SETTINGS

SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
BOUNDS = {
    "delay": (0, 31_536_000),
    "timeout": (1, 604_800),
    "priority": (0, 2),
    "max_retries": (0, 25),
    "retries_delay": (0, 31_536_000),
}


def refusal(**fields):
    """What msgspec says of a body with one job of these fields."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({"jobs": [{"image": "x"} | fields]}, NewJobs)
    return str(refused.value)


@pytest.mark.parametrize(("name", "low", "high"), [(name, *bounds) for name, bounds in BOUNDS.items()])
def test_new_job_takes_its_bounds_and_nothing_beyond(name, low, high):
    """Both ends of a range are taken; one more or less is refused with the field's path."""
    for value in (low, high, None):
        assert getattr(msgspec.convert({"image": "x", name: value}, NewJob), name) == value
    for value in (low - 1, high + 1, 2**63, 1.5, "1", True, [], {}):
        assert f"$.jobs[0].{name}" in refusal(**{name: value})


@pytest.mark.parametrize("image", ["x" * 256, 7, ["x"], {"name": "x"}])
def test_new_job_refuses_an_image_that_is_none(image):
    """An image has up to 255 characters. The reader of many images looks for control characters."""
    assert "$.jobs[0].image" in refusal(image=image)


def test_new_job_takes_a_whole_job_back():
    """Fields that only the broker gives are passed over, so that a job may be sent as it came."""
    job = Job(id="0" * 16, group_name="maps", status="failed", image="x", created_at="2026-11-23T19:23:14.165Z")
    taken = msgspec.convert(msgspec.to_builtins(job), NewJob)
    assert taken == NewJob(image="x", delay=0, timeout=60, priority=0, max_retries=0, retries_delay=60)


def test_new_jobs_are_one_to_a_thousand():
    """A body has at least one job and at most a thousand."""
    for number in (0, MAX_JOBS + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"jobs": [{"image": "x"}] * number}, NewJobs)
    assert len(msgspec.convert({"jobs": [{}] * MAX_JOBS}, NewJobs).jobs) == MAX_JOBS


@given(NEW_JOBS)
def test_new_job_of_the_strategy_is_valid(job):
    """What the tests call any valid job is one that the API takes."""
    assert msgspec.convert(msgspec.to_builtins(job), NewJob) == job


def test_a_job_leaves_out_what_it_does_not_have():
    """An absent value is left out of the answer, never null and never empty."""
    job = Job(id="0" * 16, group_name="maps", status="queued", image="x", created_at="2026-11-23T19:23:14.165Z")
    assert not {None, ""} & set(map(str, msgspec.to_builtins(job).values()))
    assert set(msgspec.to_builtins(job)) & {"payload", "lease", "reason", "started_at"} == set()


@SLOW
@given(jobs=st.lists(NEW_JOBS, min_size=1, max_size=5))
async def test_any_valid_job_survives_the_store(store: Store, jobs):
    """All that a producer may send is returned unchanged, at once and later."""
    made = (await store.enqueue("maps", jobs)).jobs
    assert [await store.show("maps", job.id) for job in made] == made
    for job, kept in zip(jobs, made, strict=True):
        assert (kept.image, kept.payload) == (job.image, job.payload or UNSET)
        for name in BOUNDS:
            assert getattr(job, name) in {None, getattr(kept, name)}


@SLOW
@given(wanted=SETTINGS)
async def test_any_valid_settings_survive_the_store(store: Store, wanted: GroupSettings):
    """Whatever a group may be set to is in force afterwards."""
    group = await store.configure("maps", wanted)
    assert (group.image, group.env_vars) == (wanted.image or UNSET, wanted.env_vars or UNSET)
    assert (group.paused, group.require_lease) == (bool(wanted.paused), bool(wanted.require_lease))
    assert group.delivery_limit == (wanted.delivery_limit or 5)
