"""The systemd units, as systemd reads them."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from broker.core.settings import BrokerSettings
from tests.deploy.conftest import Need
from worker.settings import WorkerSettings

UNITS = {"titan-broker@.service": "titan-broker@8080.service", "titan-worker.service": "titan-worker.service"}
HOW = "apt-get install systemd"


@pytest.fixture
def installed(deploy: Path, tmp_path: Path) -> Path:
    """A folder with the units, their program replaced by one that this machine has."""
    for name in UNITS:
        (tmp_path / name).write_text((deploy / name).read_text().replace("/opt/titan/bin/titan", "/bin/true"))
    return tmp_path


@pytest.mark.parametrize("name", UNITS)
def test_unit_has_nothing_that_systemd_finds(need: Need, installed: Path, name: str) -> None:
    """systemd-analyze verify knows every line and says nothing."""
    command = [need("systemd-analyze", HOW), "verify", str(installed / UNITS[name])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_verify_finds_a_misspelt_line(need: Need, installed: Path) -> None:
    """The check above would not pass over a typo."""
    path = installed / "titan-worker.service"
    path.write_text(path.read_text().replace("KillMode", "KilMode"))
    command = [need("systemd-analyze", HOW), "verify", str(path)]
    assert "KilMode" in subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_hardened(need: Need, installed: Path, name: str) -> None:
    """systemd-analyze security gives an exposure of at most 2.0 of 10."""
    command = [need("systemd-analyze", HOW), "security", "--offline=true", "--no-pager", "--threshold=20"]
    done = subprocess.run([*command, str(installed / name)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", UNITS)
def test_unit_lets_its_process_stop_by_itself(deploy: Path, name: str) -> None:
    """Only the main process gets SIGTERM, and is not killed before its own grace is over."""
    service = _service(deploy / name)
    worker_s = WorkerSettings().grace_s + WorkerSettings().kill_after_s
    own_s = BrokerSettings().shutdown_grace_s if "broker" in name else worker_s
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= own_s + 10


@pytest.mark.parametrize("name", UNITS)
def test_unit_waits_until_its_process_says_that_it_serves(deploy: Path, name: str) -> None:
    """A restart returns when the process serves, a hung one is ended, and a reload sends it SIGHUP."""
    service = _service(deploy / name)
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "60")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.parametrize("name", UNITS)
def test_unit_writes_only_into_its_own_folder(deploy: Path, name: str) -> None:
    """The file system is read-only but for the folder that systemd makes for the unit, in which it starts."""
    service = _service(deploy / name)
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert service["User"] == "titan"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def test_units_use_the_environment_files_of_this_folder(deploy: Path) -> None:
    """Each unit reads the file of its name from /etc/titan."""
    for name in UNITS:
        path = Path(_service(deploy / name)["EnvironmentFile"])
        assert path.parent == Path("/etc/titan")
        assert (deploy / path.name).exists()
        assert re.search(rf"titan-{path.stem}\b", name)


def _service(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # as the documentation of configparser says
    parser.read(path)
    return parser["Service"]
