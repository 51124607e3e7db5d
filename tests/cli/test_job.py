"""`titan job show`, `cancel`, `retry` and `delete`."""

from tests.cli.live import Titan


def test_show_page(titan: Titan, group: str) -> None:
    """A job is shown as names and values, without fields that have no value."""
    job_id = titan.made(group, "--payload", "two\nlines", "--timeout", "90")
    shown = titan("job", "show", group, job_id)
    assert shown.code == 0
    rows = dict(
        line.split(maxsplit=1) for line in shown.out.partition("\n\n")[0].splitlines() if not line.startswith(" ")
    )
    assert rows["id"] == job_id
    assert rows["status"] == "queued"
    assert rows["payload"] == "two"
    assert rows["timeout"] == "1 min 30 s"
    assert " s ago (today " in rows["created_at"]
    assert "started_at" not in rows


def test_show_json(titan: Titan, group: str) -> None:
    """With --json, a job is what the API answers."""
    job_id = titan.made(group, "--payload", "x")
    job = titan("job", "show", group, job_id, "--json").json["job"]
    assert (job["id"], job["payload"], job["status"]) == (job_id, "x", "queued")


def test_show_unknown(titan: Titan, group: str) -> None:
    """A refusal is one line on stderr in plain words, and exit code 1."""
    shown = titan("job", "show", group, "nope")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "Error: There is no such job in this group.\n"


def test_show_unreachable_broker(group: str) -> None:
    """A broker that cannot be reached is exit code 3, and the line says where it was sought and what to do."""
    url = "http://127.0.0.1:1"
    shown = Titan(url)("job", "show", group, "nope")
    assert (shown.code, shown.out) == (3, "")
    assert url in shown.err
    assert "--broker-url" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_show_not_a_broker(group: str, broker_thread: object, titan: Titan) -> None:
    """An address of another kind of server is another error than a refusal."""
    shown = titan("job", "show", group, "nope", "--broker-url", f"{titan.broker_url}/elsewhere")
    assert shown.code == 1
    assert len(shown.err.splitlines()) == 1


def test_cancel_several(titan: Titan, group: str) -> None:
    """Cancel continues after a refusal and exits with 1."""
    first, second = titan.made(group), titan.made(group)
    cancelled = titan("job", "cancel", group, first, "nope", second)
    assert cancelled.code == 1
    assert cancelled.out.splitlines() == [f"{first} cancelled", f"{second} cancelled"]
    assert cancelled.err == "nope: There is no such job in this group.\n"


def test_cancel_json(titan: Titan, group: str) -> None:
    """With --json, each id has its job or its error."""
    job_id = titan.made(group)
    done, refused = titan("job", "cancel", group, job_id, "nope", "--json").json["jobs"]
    assert (done["id"], done["ok"], done["job"]["reason"]) == (job_id, True, "client_request")
    assert (refused["id"], refused["error"]["code"]) == ("nope", "not_found")


def test_cancel_unreachable_broker(group: str) -> None:
    """A broker that is gone ends the whole command, and the JSON is closed."""
    cancelled = Titan("http://127.0.0.1:1")("job", "cancel", group, "one", "two", "--json")
    assert cancelled.code == 3
    assert cancelled.json == {"jobs": []}


def test_retry_prints_new_id(titan: Titan, group: str) -> None:
    """Retry prints the old and the new job's id."""
    job_id = titan.made(group)
    titan("job", "cancel", group, job_id)
    old, *_, new, status = titan("job", "retry", group, job_id).out.split()
    assert (old, status) == (job_id, "queued")
    assert titan("job", "show", group, new, "--json").json["job"]["retry_of"] == job_id


def test_promote_queues_now(titan: Titan, group: str) -> None:
    """A delayed job is queued; one that is queued already is refused."""
    job_id = titan.made(group, "--delay", "60")
    assert titan("job", "promote", group, job_id).out == f"{job_id} queued\n"
    refused = titan("job", "promote", group, job_id)
    assert (refused.code, refused.out) == (1, "")
    assert "The job is queued" in refused.err


def test_retry_unfinished(titan: Titan, group: str) -> None:
    """A job that is not finished cannot be retried, and the broker's reason is shown."""
    job_id = titan.made(group)
    refused = titan("job", "retry", group, job_id)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"{job_id}: ")
    assert "queued" in refused.err


def test_delete_finished(titan: Titan, group: str) -> None:
    """A deleted job is gone."""
    job_id = titan.made(group)
    titan("job", "cancel", group, job_id)
    assert titan("job", "delete", group, job_id).out == f"{job_id} deleted\n"
    assert titan("job", "show", group, job_id).code == 1


def test_delete_unfinished(titan: Titan, group: str) -> None:
    """A job that is not finished is not deleted."""
    job_id = titan.made(group)
    refused = titan("job", "delete", group, job_id, "--json")
    assert refused.code == 1
    assert refused.json["jobs"][0]["error"]["code"] == "wrong_state"
    assert titan("job", "show", group, job_id).code == 0
