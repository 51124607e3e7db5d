"""The files of a container, in a volume: put there before its start; what it writes is read after it."""

import io
import tarfile

from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from worker.runners.aiodocker_private import stat_of
from worker.runners.container_config import FOLDER, INPUTS_PATH, PROGRESS_PATH, RESULT_PATH
from worker.runners.results import MAX_RESULT_BYTES, NO_RESULT, JobResult, result_of_text

_MISSING = 404
_FOR_ALL, _TO_READ = 0o666, 0o444


async def add_files(container: DockerContainer, inputs: bytes) -> None:
    """Put the files into the folder: for result and progress, and one with the inputs if there are any.

    The user of the container may write the first two, and read the other. Raises DockerError.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        written = [(path, b"", _FOR_ALL) for path in (RESULT_PATH, PROGRESS_PATH)]
        for path, content, mode in (*written, (INPUTS_PATH, inputs, _TO_READ)):
            if content or path != INPUTS_PATH:
                file = tarfile.TarInfo(path.removeprefix(f"{FOLDER}/"))
                file.mode, file.size = mode, len(content)
                files.addfile(file, io.BytesIO(content))
    await container.put_archive(FOLDER, archive.getvalue())  # type: ignore[no-untyped-call]


async def result_in(container: DockerContainer) -> JobResult:
    """The result that the container has written. Raises DockerError."""
    size_bytes = await _size_of(container, RESULT_PATH)
    if size_bytes > MAX_RESULT_BYTES:
        return JobResult(note=f"no result: it had {size_bytes} bytes")
    return result_of_text(await read_file(container, RESULT_PATH)) if size_bytes else NO_RESULT


async def read_file(container: DockerContainer, path: str) -> bytes:
    """A file; b"" for anything else that the container has put in its place. Raises DockerError."""
    with await container.get_archive(path) as files:
        member = files.next()
        content = files.extractfile(member) if member is not None and member.isreg() else None
        return content.read() if content is not None else b""


async def _size_of(container: DockerContainer, path: str) -> int:
    try:
        return (await stat_of(container, path)).size_bytes
    except DockerError as error:
        if error.status == _MISSING:
            return 0
        raise
