"""What a job of a schedule gets: its schedule and its time, in each runner."""

from broker.models.jobs import Job
from worker.runners.environment import environment_of
from worker.runners.http import headers_of
from worker.table.entries import HttpEntry

AT = "2027-03-28T01:00:00.000Z"


def job(**fields: str) -> Job:
    """A job as a worker gets it."""
    return Job(id="x" * 16, group_name="mail", status="running", image="digest", created_at=AT, **fields)


def test_the_environment_has_the_schedule() -> None:
    """Commands, containers and Python functions share this environment; other jobs have no such variable."""
    scheduled = environment_of(job(schedule="digest", scheduled_for=AT), {})
    assert (scheduled["TITAN_SCHEDULE"], scheduled["TITAN_SCHEDULED_FOR"]) == ("digest", AT)
    assert not [name for name in environment_of(job(), {}) if "SCHEDULE" in name]


def test_http_services_get_headers() -> None:
    """The same as headers."""
    entry = HttpEntry()
    headers = headers_of(entry, job(schedule="digest", scheduled_for=AT))
    assert (headers["Titan-Schedule"], headers["Titan-Scheduled-For"]) == ("digest", AT)
    assert "Titan-Schedule" not in headers_of(entry, job())
