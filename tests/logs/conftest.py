"""Places for logs: a folder, and a bucket of a real S3 server."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from broker.core.errors import NotFound
from broker.core.ids import Ids
from broker.logs.storage import Logs, open_logs
from tests.logs.uploading import Front, serving

MAX_BYTES = 16 * 1024 * 1024
BUCKET = "titan-logs"


class Place:
    """A folder for logs."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)

    def objects(self) -> list[str]:
        """The names of all that is kept."""
        return sorted(str(path.relative_to(self.address)) for path in Path(self.address).rglob("*") if path.is_file())

    def unfinished(self) -> list[str]:
        """What uploads left behind that did not end well."""
        return [name for name in self.objects() if "#" in name]


class Bucket(Place):
    """A bucket for logs."""

    def __init__(self, client: Any) -> None:
        self.address = f"s3://{BUCKET}/pre/fix"
        self._client = client

    def objects(self) -> list[str]:
        return [row["Key"] for row in self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def unfinished(self) -> list[str]:
        return [row["Key"] for row in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


class S3(NamedTuple):
    """An S3 server: its address, and a client of it."""

    url: str
    client: Any


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A real S3 server on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket=BUCKET)
    yield S3(url, client)
    client.close()
    server.stop()


@pytest.fixture
def aws(s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The S3 server named by the environment, as obstore reads it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return s3


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for logs of each kind."""
    if request.param == "folder":
        return Place(tmp_path / "logs")
    return Bucket(request.getfixturevalue("aws").client)


@pytest.fixture
def logs(place: Place) -> Logs:
    """The logs at that place, of at most MAX_BYTES each."""
    return open_logs(place.address, MAX_BYTES)


@pytest.fixture
def job_id() -> str:
    """The id of a job that no other test has."""
    return Ids().take(1)[0]


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    """A running server that takes uploads."""
    front = Front()
    async with serving(front.take) as front.port:
        yield front


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    """The given pieces, as a client sends them."""
    for piece in given:
        yield piece


async def content(logs: Logs, job_id: str) -> bytes | None:
    """A stored log; None when there is none. Its size must be the one that was told."""
    try:
        size_bytes, stored = await logs.read(job_id)
    except NotFound:
        return None
    whole = b"".join([piece async for piece in stored])
    assert len(whole) == size_bytes
    return whole


async def last_lines(logs: Logs, job_id: str, lines: int) -> bytes:
    """The last lines of a stored log."""
    return b"".join([piece async for piece in await logs.tail(job_id, lines)])
