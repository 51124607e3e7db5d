"""The files of a container, in a volume: put there before its start; what it writes is read after it."""

import io
import tarfile

from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from worker.runners.aiodocker_private import size_of
from worker.runners.container_config import FOLDER, INPUTS_PATH, RESULT_PATH
from worker.runners.results import MAX_RESULT_BYTES, NO_RESULT, JobResult, result_of_text

_MISSING = 404
_FOR_ALL, _TO_READ = 0o666, 0o444


async def add_files(container: DockerContainer, inputs: bytes) -> None:
    """Put the files into the folder: one for the result, and one with the inputs if there are any. Raises DockerError.

    The user of the container may write the first, and read the other.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for path, content, mode in ((RESULT_PATH, b"", _FOR_ALL), (INPUTS_PATH, inputs, _TO_READ)):
            if content or path == RESULT_PATH:
                file = tarfile.TarInfo(path.removeprefix(f"{FOLDER}/"))
                file.mode, file.size = mode, len(content)
                files.addfile(file, io.BytesIO(content))
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
