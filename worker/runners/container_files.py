"""The files that a container writes for the worker, in a volume: put there before its start, and read after it."""

import io
import tarfile

from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from worker.runners.aiodocker_private import size_of
from worker.runners.container_config import FOLDER, RESULT_PATH
from worker.runners.results import MAX_RESULT_BYTES, NO_RESULT, JobResult, result_of_text

_MISSING = 404
_FOR_ALL = 0o666


async def add_files(container: DockerContainer) -> None:
    """Put the empty files into the folder; the user of the container may write them. Raises DockerError."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        file = tarfile.TarInfo(RESULT_PATH.removeprefix(f"{FOLDER}/"))
        file.mode = _FOR_ALL
        files.addfile(file)
    await container.put_archive(FOLDER, archive.getvalue())  # type: ignore[no-untyped-call]


async def result_in(container: DockerContainer) -> JobResult:
    """The result that the container has written. Raises DockerError."""
    size_bytes = await _size_of(container, RESULT_PATH)
    if size_bytes > MAX_RESULT_BYTES:
        return JobResult(note=f"no result: it had {size_bytes} bytes")
    return result_of_text(await _read(container, RESULT_PATH)) if size_bytes else NO_RESULT


async def _size_of(container: DockerContainer, path: str) -> int:
    try:
        return await size_of(container, path)
    except DockerError as error:
        if error.status == _MISSING:
            return 0
        raise


async def _read(container: DockerContainer, path: str) -> bytes:
    """A file; b"" for anything else that the container has put in its place."""
    with await container.get_archive(path) as files:
        member = files.next()
        content = files.extractfile(member) if member is not None and member.isreg() else None
        return content.read() if content is not None else b""
