"""Places for logs: what can be one, and what happens when one is away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from broker.logs.storage import Logs, open_logs
from tests.logs.conftest import MAX_BYTES, S3, pieces

MIB = 1024 * 1024


def test_open_makes_the_folder_for_its_owner_alone(tmp_path: Path) -> None:
    """Logs may hold secrets: nobody else may look into the folder."""
    open_logs(str(tmp_path / "deep" / "logs"), MAX_BYTES)
    assert (tmp_path / "deep" / "logs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["ftp://host/logs", "file:///tmp", "memory:///", "s3://", "http://host/"])
def test_open_refuses_an_unknown_address(place: str) -> None:
    """Only object stores and folders are places for logs."""
    with pytest.raises(ValueError, match=r"\w"):
        open_logs(place, MAX_BYTES)


def test_open_refuses_a_file_in_the_folders_place(tmp_path: Path) -> None:
    """A folder that cannot be made stops the start."""
    (tmp_path / "logs").touch()
    with pytest.raises(OSError, match="logs"):
        open_logs(str(tmp_path / "logs"), MAX_BYTES)


@pytest.mark.parametrize("place", ["gs://bucket/prefix", "az://container/prefix"])
def test_open_knows_the_other_object_stores(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's and Azure's stores open without being asked anything."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert isinstance(open_logs(place, MAX_BYTES), Logs)


async def test_write_to_a_folder_that_is_no_folder_any_more(tmp_path: Path, job_id: str) -> None:
    """A fault of the folder is told as one of the log store."""
    logs = open_logs(str(tmp_path / "logs"), MAX_BYTES)
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").touch()
    for size in (1, 11 * MIB):
        with pytest.raises(StoreUnavailable, match="log store"):
            await logs.write(job_id, pieces(b"x" * size))
    with pytest.raises(StoreUnavailable, match="log store"):
        await logs.read(job_id)


async def test_write_to_a_store_that_is_away(
    aws: S3, monkeypatch: pytest.MonkeyPatch, job_id: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """A log store that does not answer is told as such, by every method."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_tcp_port_factory()}")
    logs = open_logs("s3://titan-logs", MAX_BYTES)
    for attempt in (
        logs.write(job_id, pieces(b"x")),
        logs.write(job_id, pieces(b"x" * 11 * MIB)),
        logs.read(job_id),
        logs.tail(job_id, 1),
        logs.delete([job_id]),
    ):
        with pytest.raises(StoreUnavailable, match="log store"):
            await attempt


async def test_write_to_a_bucket_that_is_not_there(aws: S3, job_id: str) -> None:
    """A wrong bucket is a fault of the log store, not a missing log."""
    logs = open_logs("s3://no-such-bucket", MAX_BYTES)
    for size in (1, 11 * MIB):
        with pytest.raises(StoreUnavailable, match="log store"):
            await logs.write(job_id, pieces(b"x" * size))
