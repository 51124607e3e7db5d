"""The link to the store: rediss:// with authorities, client certificates and the user of broker/docs/secure.md."""

import asyncio
import shlex
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from broker.core.errors import StartFailed
from broker.core.settings import BrokerSettings
from broker.models.jobs import NewJob
from broker.models.reports import Finish
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from broker.store.connect import opened
from tests.conftest import eventually, listening, server_program, waits
from tests.deploy.recipes import recipes
from tests.security.certificates import Authority

PAGE = Path(__file__).resolve().parents[2] / "broker" / "docs" / "secure.md"

pytestmark = [pytest.mark.slow, pytest.mark.service]


class Guarded:
    """A server that speaks TLS only, wants a certificate, and knows the user of the page and no other."""

    def __init__(self, folder: Path) -> None:
        self.ours = Authority(folder, "ours")
        self.caller = self.ours.certificate("caller")
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        [recipe] = [recipe for recipe in recipes(PAGE) if "ACL SETUSER" in recipe.text]
        rule = " ".join(shlex.split(recipe.text.partition("SETUSER ")[2]))
        server = self.ours.certificate("server")
        conf = folder / "redis.conf"
        conf.write_text(
            f"port 0\ntls-port {self.port}\nbind 127.0.0.1\ndir {folder}\nsave ''\n"
            f"tls-cert-file {server}\ntls-key-file {server}\ntls-ca-cert-file {self.ours.pem}\ntls-auth-clients yes\n"
            f"user default off\nuser {rule}\n"
        )
        self.process = subprocess.Popen([server_program("redis"), str(conf)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not self._listens() and time.monotonic() < until:
            time.sleep(0.05)  # that it listens can only be seen by trying

    def settings(
        self, *, ca: Path | None = None, cert: Path | None = None, user: str = "titan:PASSWORD"
    ) -> BrokerSettings:
        """Settings with the store's address, and these files in its query."""
        files = {"ssl_ca_certs": ca, "ssl_certfile": cert, "ssl_keyfile": cert}
        query = urlencode({name: str(path) for name, path in files.items() if path})
        url = f"rediss://{user}@127.0.0.1:{self.port}/0?{query}"
        return BrokerSettings(redis_url=url, store_timeout_s=5)

    def _listens(self) -> bool:
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The server; it ends with the module."""
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    yield server
    server.process.terminate()
    server.process.wait(20)


@pytest.fixture(autouse=True)
async def farewells() -> AsyncIterator[None]:
    """The loop goes on until TLS took leave: redis-py does not wait for that where a call was cancelled."""
    yield
    loop: Any = asyncio.get_running_loop()
    await eventually(lambda: all(transport._sock is None for transport in loop._transports.values()))


async def test_broker_speaks_tls_as_its_own_user(guarded: Guarded) -> None:
    """Through rediss:// with a certificate and the page's user, jobs live their lives and are heard of."""
    settings = guarded.settings(ca=guarded.ours.pem, cert=guarded.caller)
    async with (
        opened(settings) as (store, address, _),
        Notifier(connect_listener(store.topology.all[0].redis), store.partitions) as notifier,
    ):
        assert "PASSWORD" not in address
        await listening(notifier)
        assert await store.dispatcher.next(1, waits=True) == []
        with waits(notifier, ["g"]) as woken:
            await store.enqueuer.enqueue("g", [NewJob(image="i"), NewJob(image="i")], key="k")
            await eventually(woken.is_set)
        jobs = await store.dispatcher.next(2)
        reports = [Finish(group_name="g", id=job.id, lease=job.lease, status="succeeded") for job in jobs]
        assert await store.completer.finish(reports) == [None, None]
        await store.ready()
        assert (await store.groups.show("g")).counts.succeeded == 2


@pytest.mark.parametrize("missing", ["ca", "cert", "user"])
async def test_broker_that_is_not_trusted_or_does_not_trust(
    guarded: Guarded, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the authority, the certificate or the password the start is refused, and no password is shown."""
    given = {"ca": guarded.ours.pem, "cert": guarded.caller} | {missing: None}
    user = "titan:swordfish" if given.pop("user", "") is None else "titan:PASSWORD"
    caplog.set_level("DEBUG")
    with pytest.raises(StartFailed, match="does not answer") as error:
        async with opened(guarded.settings(**given, user=user)):
            pass
    for secret in ("swordfish", "PASSWORD"):
        assert secret not in str(error.value) + caplog.text
