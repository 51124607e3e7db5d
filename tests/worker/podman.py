"""A container engine for tests: podman with its Docker API, in a folder of its own, with an image made of busybox."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CONF = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""
STORAGE = """
[storage]
driver = "{driver}"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
REGISTRIES = """
[[registry]]
location = "127.0.0.1"
insecure = true
"""
PROGRAMS = ("sh", "cat", "sleep", "true", "env", "id", "echo", "dd", "touch", "head", "grep", "kill", "ls", "printf")
IMAGE = "localhost/titan-test:1"


class Podman(NamedTuple):
    """Where it listens, and how its own program is started."""

    address: str
    environment: dict[str, str]

    def __call__(self, *words: str) -> str:
        """What a podman command prints."""
        options: dict[str, Any] = {"env": self.environment, "cwd": self.environment["HOME"], "timeout": 60}
        done = subprocess.run(["podman", *words], check=True, capture_output=True, text=True, **options)
        return done.stdout


def missing() -> str:
    """Why there can be no engine here; "" when there can."""
    absent = [name for name in ("podman", "runc", "busybox") if shutil.which(name) is None]
    if absent:
        return f"apt-get install podman runc busybox-static: {', '.join(absent)} missing"
    return "" if os.geteuid() == 0 else "only root may run containers here"


@contextmanager
def podman(*, is_large: bool = False) -> Iterator[Podman]:
    """An engine inside the block. With `is_large` it does not copy an image for each container, where it can.

    Root of a container without capabilities may write to `/` only where it is a copy.
    """
    with tempfile.TemporaryDirectory(prefix="titan-podman-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "containers.conf").write_text(CONF)
        (folder / "storage.conf").write_text(
            STORAGE.format(folder=folder, driver=_driver(folder) if is_large else "vfs")
        )
        (folder / "registries.conf").write_text(REGISTRIES)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "CONTAINERS_CONF": f"{folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{folder}/registries.conf",
        }
        address = f"unix://{folder}/podman.sock"
        engine = Podman(address, environment)
        _import(folder, environment)
        # Where a container runs out of memory, its monitor leaves a file `oom` in the folder that it was started in.
        with subprocess.Popen(
            ["podman", "system", "service", "--time=0", address], env=environment, cwd=folder
        ) as service:
            try:
                _wait(folder / "podman.sock")
                yield engine
                engine("rm", "--all", "--force", "--time", "0")
            finally:
                service.terminate()
                # The overlay driver mounts its folder on itself, which would keep the folder from being deleted.
                subprocess.run(["umount", f"{folder}/graph/overlay"], check=False, capture_output=True, timeout=60)


def _driver(folder: Path) -> str:
    """The storage driver: overlay where the kernel mounts one in the folder, else vfs, which copies every layer."""
    parts = {name: folder / name for name in ("lowerdir", "upperdir", "workdir", "merged")}
    for part in parts.values():
        part.mkdir()
    options = ",".join(f"{name}={part}" for name, part in parts.items() if name != "merged")
    mount = ["mount", "-t", "overlay", "-o", options, "overlay", str(parts["merged"])]
    if subprocess.run(mount, check=False, capture_output=True, timeout=60).returncode != 0:
        return "vfs"
    subprocess.run(["umount", str(parts["merged"])], check=True, timeout=60)
    return "overlay"


def _import(folder: Path, environment: dict[str, str]) -> None:
    tree = folder / "tree"
    for part in ("bin", "tmp", "etc", "proc", "sys", "dev"):
        (tree / part).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
    for program in PROGRAMS:
        (tree / "bin" / program).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    command = f"tar -C {tree} -c . | podman import - {IMAGE}"
    subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True, timeout=120)


def _wait(socket: Path) -> None:
    until = time.monotonic() + 30
    while not socket.exists():
        if time.monotonic() > until:
            raise TimeoutError("podman's service does not listen")
        time.sleep(0.02)
