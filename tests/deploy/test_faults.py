"""What runbook.md says one sees when something is wrong, brought about with a real broker and a real store."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.brokers import ask, eventually, serving, start
from tests.deploy.recipes import DOCS
from tests.deploy.servers import StoreServer

pytestmark = pytest.mark.slow
JOBS = {"jobs": [{"image": "cat"}]}


@pytest.fixture
def url(store_server: StoreServer, tmp_path: Path) -> Iterator[str]:
    """A broker on the store."""
    with serving(tmp_path, "--redis-url", f"unix://{store_server.socket}") as url:
        yield url
    with store_server.client() as client:
        client.flushall()


@pytest.fixture
def told() -> str:
    """The page."""
    return (DOCS / "runbook.md").read_text()


def test_store_away(url: str, store_server: StoreServer) -> None:
    """Alive, not ready, 503 store_unavailable on calls; and well again when the store is back, without a restart."""
    store_server.stop()
    try:
        assert _refusal(f"{url}/v1/groups/mail/jobs", JOBS) == (503, "store_unavailable")
        assert _refusal(f"{url}/readyz") == (503, "store_unavailable")
        assert ask(f"{url}/healthz")[0] == 200
    finally:
        store_server.start()
    assert eventually(lambda: ask(f"{url}/readyz")[0] == 200)
    assert ask(f"{url}/v1/groups/mail/jobs", JOBS)[0] == 201


def test_store_full(url: str, store_server: StoreServer) -> None:
    """503 store_full on enqueue, while next and success go on and the broker is ready."""
    ask(f"{url}/v1/groups/mail/jobs", JOBS)
    with store_server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            assert _refusal(f"{url}/v1/groups/mail/jobs", JOBS) == (503, "store_full")
            [job] = ask(f"{url}/v1/jobs")[1]["jobs"]
            assert ask(f"{url}/v1/groups/mail/jobs/{job['id']}/success", {})[0] == 200
            assert ask(f"{url}/readyz")[0] == 200
        finally:
            client.config_set("maxmemory", 2 * 1024**3)


def test_store_with_a_broken_file(url: str, store_server: StoreServer) -> None:
    """A store whose file lost its end starts without it: the last batch is gone as a whole, all else is as it was."""
    _, last = [ask(f"{url}/v1/groups/mail/jobs", {"jobs": JOBS["jobs"] * 3}) for _ in range(2)]
    assert last[0] == 201
    store_server.kill()
    [file] = (store_server.folder / "appendonlydir").glob("*.incr.aof")
    # The end of the file may be of something else: a broker notes every few seconds that it lives.
    with file.open("r+b") as written:
        written.truncate(written.read().index(last[1]["jobs"][0]["id"].encode()))
    store_server.start()
    assert eventually(lambda: ask(f"{url}/readyz")[0] == 200)
    assert len(ask(f"{url}/v1/groups/mail/jobs")[1]["jobs"]) == 3
    words = [sys.executable, "-m", "broker", "check", "--redis-url", f"unix://{store_server.socket}"]
    checked = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert "0 findings" in checked.stderr
    assert ask(f"{url}/v1/groups/mail/jobs", JOBS)[0] == 201


def test_log_store_away(url: str, told: str, tmp_path: Path) -> None:
    """An upload is a 503 that names the log store; the job goes on without."""
    ask(f"{url}/v1/groups/mail/jobs", JOBS)
    [job] = ask(f"{url}/v1/jobs")[1]["jobs"]
    shutil.rmtree(tmp_path / "logs")
    (tmp_path / "logs").write_text("not a folder")
    status, answer = ask(f"{url}/v1/groups/mail/jobs/{job['id']}/log", text="hello")
    assert (status, answer["error"]["code"]) == (503, "store_unavailable")
    sentence = answer["error"]["message"].partition(":")[0]
    assert f"`{sentence}" in told
    assert ask(f"{url}/v1/groups/mail/jobs/{job['id']}/success", {})[0] == 200


def test_reaper_in_trouble(url: str, told: str, store_server: StoreServer) -> None:
    """A key that the reaper cannot use makes the broker say so, and it is ready again once the key is mended."""
    broken = "titan:{0}:group:mail:delayed"
    with store_server.client() as client:
        client.set(broken, "not a sorted set")
        client.zadd("titan:{0}:due", {"delayed:mail": 1})
        client.publish("titan:{0}:timer", 1)  # wakes the reaper
        assert eventually(lambda: ask(f"{url}/readyz")[0] == 503)
        assert ask(f"{url}/readyz")[1]["error"]["message"].startswith("The reaper is in trouble: ")
        assert "`The reaper is in trouble: " in told
        client.delete(broken)
    assert eventually(lambda: ask(f"{url}/readyz")[0] == 200)


def test_logs_that_cannot_be_deleted(url: str, store_server: StoreServer, tmp_path: Path) -> None:
    """A log that cannot be deleted leaves the broker ready, and goes once it can."""
    ask(f"{url}/v1/groups/mail/jobs", JOBS)
    [job] = ask(f"{url}/v1/jobs")[1]["jobs"]
    assert ask(f"{url}/v1/groups/mail/jobs/{job['id']}/log", text="hello")[0] == 200
    ask(f"{url}/v1/groups/mail/jobs/{job['id']}/success", {})
    (tmp_path / "logs").rename(tmp_path / "moved")
    (tmp_path / "logs").write_text("not a folder")
    with store_server.client() as client:
        client.zadd("titan:{0}:discarded", {job["id"]: 1})
        client.publish("titan:{0}:timer", 1)  # wakes the reaper
        assert ask(f"{url}/readyz")[0] == 200
        (tmp_path / "logs").unlink()
        (tmp_path / "moved").rename(tmp_path / "logs")
        assert eventually(lambda: client.zcard("titan:{0}:discarded") == 0)


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [  # of what it says, the page has all up to the address
        (
            ["--partitions", "2"],
            {},
            "The store was set up with 1 partitions, not 2: leave --partitions out, or give --partitions 1.",
        ),
        ([], {"TITAN_PROT": "1"}, "TITAN_PROT is not a setting; did you mean TITAN_PORT?"),
        (["--redis-url", "redis://127.0.0.1:1"], {}, "The store at redis://…127.0.0.1:1 does not answer: "),
        (["--log-store", "ftp://x"], {}, "The log store …ftp://x cannot be used: "),
    ],
    ids=["partitions", "variable", "address", "log store"],
)
def test_start_ends(
    told: str, store_server: StoreServer, tmp_path: Path, options: list[str], variables: dict[str, str], says: str
) -> None:
    """A start that cannot work ends at once with the line that the page has."""
    with store_server.client() as client:
        client.mset({"titan:format": 1, "titan:partitions": 1})
    with start(tmp_path, "--redis-url", f"unix://{store_server.socket}", *options, **variables) as process:
        said = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert says.replace("…", "") in said
    assert f"`{says.partition('…')[0]}" in told


def _refusal(url: str, body: Any = None) -> tuple[int, str]:
    status, answer = ask(url, body)
    return status, answer["error"]["code"]
