"""Backup and restore, as broker/docs/backup.md has them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import Need
from tests.deploy.recipes import DOCS
from tests.deploy.servers import StoreServer
from tests.deploy.terminal import run


@pytest.fixture
def copy(need: Need, store_server: StoreServer, tmp_path: Path) -> Path:
    """A copy of a store that holds one key, made while it runs."""
    need("redis-cli", "apt-get install redis-tools")
    with store_server.client() as client:
        client.set("titan:{0}:sequence", 7)
        client.config_set("repl-diskless-sync-delay", 0)  # else a copy begins after 5 s
    code, output = run("r --rdb titan.rdb", store_server, {}, tmp_path)
    assert code == 0, output
    return tmp_path / "titan.rdb"


@pytest.fixture
def restored(copy: Path, store_server: StoreServer, tmp_path: Path) -> Iterator[StoreServer]:
    """A server that is not started, with the copy in its folder as `titan.rdb`."""
    folder = tmp_path / "restored"
    folder.mkdir()
    copy.rename(folder / "titan.rdb")
    server = StoreServer(store_server.program, store_server.conf, folder)
    yield server
    server.stop()


def test_copy_is_ignored_by_a_server_with_an_append_only_file(restored: StoreServer) -> None:
    """As dump.rdb the copy is not loaded: the page warns of it."""
    (restored.folder / "titan.rdb").rename(restored.folder / "dump.rdb")
    restored.start()
    with restored.client() as client:
        assert client.dbsize() == 0


def test_copy_is_restored_as_the_page_says(restored: StoreServer) -> None:
    """After the page's lines a server that is started as usual has everything, also after a kill."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DOCS / "backup.md").read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if block.startswith("mkdir appendonlydir")]
    subprocess.run(["bash", "-euc", block], cwd=restored.folder, check=True)
    for _ in range(2):
        restored.start()
        with restored.client() as client:
            assert client.get("titan:{0}:sequence") == "7"
        restored.kill()
