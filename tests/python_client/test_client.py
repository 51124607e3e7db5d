"""The Python client: every verb against a real broker."""

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.system.conftest import Program
from titan import Client, Conflict, IdempotencyMismatch, Invalid, Job, NewJob, NotFound, TitanError, WrongState
from titan.errors import SpeaksDialect

pytestmark = pytest.mark.slow


def run_next(client: Client, group: str, *, reason: str = "") -> Job:
    """Take the next job of the group and report it: a failure if there is a reason."""
    with client.consume(group) as jobs:
        delivery = next(jobs)
        if reason:
            delivery.fail(reason, "it broke")
        else:
            delivery.succeed()
        return delivery.job


def test_enqueue_has_all_fields(client: Client, group: str) -> None:
    """Every field arrives, and durations may be timedeltas; what is not given has the broker's default."""
    job = client.enqueue(
        group,
        image="send",
        payload="to: ann",
        delay=timedelta(minutes=1, microseconds=1),
        timeout=7,
        priority=2,
        max_retries=3,
        retries_delay=timedelta(seconds=9),
    )
    assert (job.status, job.image, job.payload, job.delay, job.timeout) == ("delayed", "send", "to: ann", 61, 7)
    assert (job.priority, job.max_retries, job.retries_delay) == (2, 3, 9)
    assert client.get(group, job.id) == job
    plain = client.enqueue(group, image="send")
    assert (plain.status, plain.payload, plain.timeout, plain.completed_at) == ("queued", "", 60, None)
    assert abs(plain.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_enqueue_with_times(client: Client, group: str) -> None:
    """Times are datetimes of any zone, or texts; spans are seconds or timedeltas. A job has its deadlines in UTC."""
    at = datetime.now(timezone(timedelta(hours=1))).replace(microsecond=123456) + timedelta(days=100)
    end = at.astimezone(UTC).replace(microsecond=500000) + timedelta(seconds=1)
    job = client.enqueue(group, image="send", run_at=at, start_before=at, end_before=f"{end:%Y-%m-%dT%H:%M:%S}.5Z")
    assert (job.status, job.start_before) == ("delayed", at.replace(microsecond=123000))
    assert (job.start_before.tzinfo, job.end_before) == (UTC, end)
    assert client.get(group, job.id) == job
    local = client.enqueue(group, image="send", start_before=datetime(2126, 1, 31, 12))  # noqa: DTZ001 - the case
    assert local.start_before == datetime(2126, 1, 31, 12).astimezone(UTC)
    spans = client.enqueue(group, image="send", start_within=120, end_within=timedelta(minutes=5))
    assert spans.start_before == spans.created_at + timedelta(seconds=120)
    assert spans.end_before == spans.created_at + timedelta(minutes=5)
    plain = client.enqueue(group, image="send")
    assert (plain.start_before, plain.end_before) == (None, None)


def test_enqueue_with_wrong_times(client: Client, group: str) -> None:
    """What is no time is a TypeError here, and a wrong text an Invalid of the broker."""
    with pytest.raises(TypeError, match="run_at is a datetime or an RFC 3339 text, and not 5"):
        client.enqueue(group, image="send", run_at=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="start_within is whole seconds"):
        client.enqueue(group, image="send", start_within=1.5)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match=r"jobs\[0\]\.run_at must be an RFC 3339 time"):
        client.enqueue(group, image="send", run_at="soon")
    with pytest.raises(Invalid) as raised:
        client.enqueue_many(group, [NewJob("send", end_within=5, end_before="2126-01-31T12:00:00Z")])
    assert raised.value.fields == "jobs[0].end_before"


@pytest.mark.parametrize("payload", [{"to": "Zoë", "n": [1, 2.5, None]}, ["a"], 5, 0.5, True])
def test_a_payload_that_is_no_text_is_json(client: Client, group: str, payload: object) -> None:
    """It is sent as JSON text, and `json` decodes it; a str is sent as it is, and bytes are refused."""
    job = client.enqueue(group, image="send", payload=payload)
    assert isinstance(job.payload, str)
    assert job.json() == payload
    assert client.enqueue(group, image="send", payload='"x').payload == '"x'
    with pytest.raises(TypeError, match="decode the bytes"):
        client.enqueue(group, image="send", payload=b"x")


def test_many_jobs_keep_their_order(client: Client, group: str) -> None:
    """More jobs than one call may have, from a generator, as NewJobs and as dicts; a list reads all pages."""
    made = client.enqueue_many(group, (NewJob("send", str(n)) if n % 2 else _fields(n) for n in range(1001)))
    assert [job.payload for job in made] == [str(n) for n in range(1001)]
    assert [job.id for job in client.list(group, statuses="queued", page_size=400)] == [job.id for job in made]
    assert next(client.list(group, newest_first=True)).id == made[-1].id
    assert [job.payload for job in client.list(group, statuses=["queued", "failed"], text="99", image="send")] == [
        str(n) for n in range(1001) if "99" in str(n)
    ]
    assert list(client.list(group, created_after=datetime.now(UTC) + timedelta(days=1))) == []


def _fields(n: int) -> dict[str, object]:
    return {"image": "send", "payload": str(n)}


def test_the_same_key_enqueues_once(client: Client, group: str) -> None:
    """A repeat with the key gives the same jobs, also of several calls; another body is refused."""
    jobs = [NewJob("send", str(n)) for n in range(1001)]
    made = client.enqueue_many(group, jobs, key=f"all-{group}")
    assert [job.id for job in client.enqueue_many(group, jobs, key=f"all-{group}")] == [job.id for job in made]
    one = client.enqueue(group, image="send", key=f"one-{group}")
    assert client.enqueue(group, image="send", key=f"one-{group}") == one
    with pytest.raises(IdempotencyMismatch):
        client.enqueue(group, image="other", key=f"one-{group}")


def test_a_finished_job(client: Client, group: str) -> None:
    """Cancel, which may be repeated, retry, which may not, delete, and the errors of what is not possible."""
    job = client.enqueue(group, image="send")
    assert client.cancel(group, job.id) == client.cancel(group, job.id)
    again = client.retry(group, job.id)
    assert (again.retry_of, client.get(group, job.id).retried_by) == (job.id, again.id)
    with pytest.raises(Conflict):
        client.retry(group, job.id)
    with pytest.raises(WrongState, match="queued"):
        client.delete(group, again.id)
    client.delete(group, job.id)
    with pytest.raises(NotFound):
        client.get(group, job.id)
    later = client.enqueue(group, image="send", delay=60)
    assert client.promote(group, later.id).status == "queued"


def test_errors_have_the_text_of_the_broker(client: Client, group: str) -> None:
    """An error names the field and the code of the answer."""
    with pytest.raises(Invalid, match=r"^jobs\[1\]\.priority must be a whole number from 0 to 2\.$") as raised:
        client.enqueue_many(group, [NewJob("send"), NewJob("send", priority=3)])
    assert (raised.value.fields, raised.value.code) == ("jobs[1].priority", "invalid")
    assert isinstance(raised.value, TitanError)
    with pytest.raises(TypeError, match="max_retry"):
        client.enqueue_many(group, [{"image": "send", "max_retry": 3}])


@pytest.mark.parametrize("name", ["", ".", "..", "\udc80", "a b"])
def test_a_group_that_cannot_be(client: Client, group: str, name: str) -> None:
    """The error is that of a wrong name or id, also where no path can have it."""
    for call in (lambda: client.enqueue(name, image="send"), lambda: client.get(name, "0" * 16)):
        with pytest.raises(Invalid, match=r"^A group's name has 1 to 128 characters"):
            call()
    with pytest.raises(NotFound, match=r"^There is no such job"):
        client.get(group, name)


def test_an_argument_of_another_type(client: Client, group: str) -> None:
    """A duration as text and a job in place of its id are refused in words, before anything is sent."""
    with pytest.raises(TypeError, match=r"^delay is whole seconds or a timedelta, and not '10m'\.$"):
        client.enqueue(group, image="send", delay="10m")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^retries_delay is whole seconds or a timedelta, and not 0\.5\.$"):
        client.enqueue(group, image="send", retries_delay=0.5)  # type: ignore[arg-type]
    assert list(client.list(group)) == []
    with pytest.raises(TypeError, match=r"and not Job: the id of a job is job\.id\.$"):
        client.wait(group, client.enqueue(group, image="send"))  # type: ignore[arg-type]


def test_a_text_that_cannot_be_sent(client: Client, group: str) -> None:
    """Half a surrogate pair, as odd file names have it, is refused by the name of its field; no job is made."""
    words = r"^jobs\[1\]\.payload is no Unicode text: it has the character '\\udc80'\.$"
    with pytest.raises(Invalid, match=words) as raised:
        client.enqueue_many(group, [NewJob("send"), NewJob("send", "ab\udc80")])
    assert raised.value.fields == "jobs[1].payload"
    with pytest.raises(Invalid, match=r"^jobs\[0\]\.image is no"):
        client.enqueue(group, image="\udc80", payload={"a": "\udc80"})
    assert list(client.list(group)) == []


def test_wait_until_a_job_is_finished(client: Client, group: str) -> None:
    """It waits, and returns the job as it ended; a job that does not end in time is a TimeoutError."""
    job = client.enqueue(group, image="send")
    with pytest.raises(TimeoutError, match=rf"{job.id} did not finish within 0\.1 s; it is queued"):
        client.wait(group, job.id, timeout_s=0.1)
    worker = threading.Timer(0.2, run_next, (client, group))
    worker.start()
    assert client.wait(group, job.id, timeout_s=30).has_succeeded
    worker.join()
    with pytest.raises(NotFound):
        client.wait(group, "0" * 16, timeout_s=5)


def test_wait_follows_retries(client: Client, group: str) -> None:
    """The result is the last retry, unless it is not wanted; a failure is a result."""
    job = client.enqueue(group, image="send", max_retries=1, retries_delay=0)
    run_next(client, group, reason="first")
    run_next(client, group, reason="second")
    last = client.wait(group, job.id, timeout_s=30)
    assert (last.retry_of, last.status, last.reason, last.error) == (job.id, "failed", "second", "it broke")
    first = client.wait(group, job.id, timeout_s=30, follow_retries=False)
    assert (first.id, first.reason, first.retried_by) == (job.id, "first", last.id)


def test_a_log(client: Client, group: str) -> None:
    """The log that the consumer wrote, whole or its last lines."""
    job = client.enqueue(group, image="send")
    with client.consume(group) as jobs:
        delivery = next(jobs)
        with delivery:
            delivery.write_log("one\nzwei ü\ndrei\n")
    assert client.log(group, job.id) == "one\nzwei ü\ndrei\n"
    assert client.log(group, job.id, tail=1) == "drei\n"
    with pytest.raises(NotFound):
        client.log(group, client.enqueue(group, image="send").id)


def test_several_threads_share_a_client(client: Client, group: str) -> None:
    """Calls at once do not mix up their answers."""
    found: list[bool] = []

    def enqueue(name: int) -> None:
        found.extend(
            client.enqueue(group, image="send", payload=f"{name}-{n}").payload == f"{name}-{n}" for n in range(20)
        )

    threads = [threading.Thread(target=enqueue, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 160


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch, broker: str, group: str) -> None:
    """Without arguments the address and the token come from variables; an invalid one is named, a token not shown."""
    monkeypatch.setenv("TITAN_BROKER_URL", f"http://127.0.0.1:1;{broker}")
    monkeypatch.setenv("TITAN_TOKEN", "t-1")
    start = time.monotonic()
    with Client() as client:
        assert client.enqueue(group, image="send").group_name == group
    assert time.monotonic() - start < 5
    with pytest.raises(ValueError, match="url names no broker"):
        Client("")
    with pytest.raises(ValueError, match="does not begin with http"):
        Client("127.0.0.1:8080")
    with pytest.raises(ValueError, match="printable ASCII") as raised:
        Client(token="sécret")
    assert "cret" not in str(raised.value)
    with pytest.raises(ValueError, match=r"no-such\.pem cannot be used"):
        Client("https://h", ca_file="no-such.pem")


def test_broker_of_other_clients(tmp_path: Path) -> None:
    """A broker that speaks the dialect of 2016 refuses the client before it does anything, and says what to do."""
    program = Program("broker", "--port", "0", "--dialect", "2016", folder=tmp_path)
    url = program.says(r"serves on (http://\S+);")[1]
    with Client(url) as client, pytest.raises(SpeaksDialect, match="Start another broker on the same store"):
        client.enqueue("mail", image="send")
    assert program.stop() == 0
    program.end()


def test_schedules(client: Client, group: str) -> None:
    """Put, get, run and remove a schedule; what it makes knows it."""
    put = client.put_schedule(group, "digest", cron="30 7 * * 1-5", zone="Europe/Berlin", job={"image": "digest"})
    assert (put["state"], client.get_schedule(group, "digest")) == ("active", put)
    job = client.run_schedule(group, "digest")
    assert (job.schedule, job.scheduled_for is not None) == ("digest", True)
    with pytest.raises(WrongState):
        client.run_schedule(group, "digest")
    assert client.run_schedule(group, "digest", overlap="allow").id != job.id
    client.remove_schedule(group, "digest")
    with pytest.raises(NotFound):
        client.get_schedule(group, "digest")
