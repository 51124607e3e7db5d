"""A registry of images for tests, on 127.0.0.1: one image with busybox in it, and what was asked for."""

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class Registry:
    """It serves `image`, which prints the last argument of `put`."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        """The requested paths, without the one of the version check."""
        self._blobs: dict[str, bytes] = {}
        self._manifest = b""
        self._may_answer = asyncio.Event()
        self._may_answer.set()

    @property
    def image(self) -> str:
        """The image's whole name."""
        return f"127.0.0.1:{self.port}/box:1"

    def put(self, said: str) -> None:
        """Put another image in the place of the one before."""
        layer = _tree(said)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/cat", "/said"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        self._manifest = _json(
            schemaVersion=2,
            mediaType=_MANIFEST,
            config=self._blob(_CONFIG, _json(**config)),
            layers=[self._blob(_LAYER, layer)],
        )

    @asynccontextmanager
    async def held_back(self) -> AsyncIterator[None]:
        """What images are made of is on its way for as long as the block lasts."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    async def answer(self, request: web.Request) -> web.Response:
        """The registry's API, as far as a pull needs it."""
        path = request.path
        if path == "/v2/":
            return web.json_response({})
        self.asked.append(path)
        name = path.rpartition("/")[2]
        if path.startswith("/v2/box/manifests/"):
            headers = {"Content-Type": _MANIFEST, "Docker-Content-Digest": _digest(self._manifest)}
            return web.Response(body=self._manifest, headers=headers)
        if name in self._blobs:
            await self._may_answer.wait()
            return web.Response(body=self._blobs[name])
        return web.json_response({"errors": [{"code": "NAME_UNKNOWN", "message": "not here"}]}, status=404)

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        self._blobs[_digest(content)] = content
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


@asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    """A registry inside the block."""
    registry = Registry()
    registry.put("first")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        await runner.cleanup()


def _tree(said: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in ("bin", "tmp", "proc", "sys", "dev", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        _add(tar, "bin/cat", Path(shutil.which("busybox") or "").read_bytes(), 0o755)
        _add(tar, "said", said.encode(), 0o644)
    return content.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(**value: Any) -> bytes:
    return json.dumps(value).encode()
