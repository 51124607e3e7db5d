"""A root for an image: Debian's own Python of this machine, and busybox. The Dockerfile needs no more of its base."""

import re
import shutil
import subprocess
from pathlib import Path

PYTHON = Path("/usr/bin/python3.11")
FOLDERS = ("/usr/lib/python3.11", "/usr/lib/python3", "/usr/share/python-wheels", "/usr/share/zoneinfo")
PROGRAMS = ("sh", "cat", "chown", "mkdir", "test")

COMMON = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libgcc_s.so.1", "libstdc++.so.6")


def missing() -> str:
    """Why there can be no such root here; "" when there can."""
    if not PYTHON.exists() or not (PYTHON.parents[1] / "lib/python3.11/ensurepip").is_dir():
        return "apt-get install python3-venv (of Debian 12)"
    return "" if shutil.which("busybox") else "apt-get install busybox-static"


def make_root(tree: Path) -> None:
    """Fill an empty folder with the root."""
    for part in ("bin", "etc", "proc", "sys", "dev", "usr/bin", "var/lib"):
        (tree / part).mkdir(parents=True)
    (tree / "tmp").mkdir(mode=0o1777)
    shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
    for program in PROGRAMS:
        (tree / "bin" / program).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    shutil.copy(PYTHON, tree / "usr/bin/python3.11")
    (tree / "usr/bin/python3").symlink_to("python3.11")
    unused = shutil.ignore_patterns("__pycache__", "test", "idlelib", "lib2to3", "pydoc_data", "dist-packages")
    for folder in FOLDERS:
        if Path(folder).is_dir():
            shutil.copytree(folder, tree / folder[1:], symlinks=True, ignore=unused)
    extensions = Path("/usr/lib/python3.11/lib-dynload").glob("*.so")
    for library in _libraries(PYTHON, *extensions) | _common():
        target = tree / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def _common() -> set[str]:
    """What wheels of manylinux may load without bringing it, where this machine has it."""
    done = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True, timeout=60)
    known = dict(re.findall(r"^\s(\S+) \([^)]*\) => (/\S+)", done.stdout, re.MULTILINE))
    return {known[name] for name in COMMON if name in known}


def _libraries(*files: Path) -> set[str]:
    """The shared libraries that these files load, and the program that loads them."""
    done = subprocess.run(["ldd", *map(str, files)], check=True, capture_output=True, text=True, timeout=60)
    return set(re.findall(r"(?:=> |^\s)(/\S+) \(0x", done.stdout, re.MULTILINE))
