"""A shim that is run as a program: `limits.py refusal=FD LIMIT=N… user=UID:GID:GROUPS lc_ctype=LOCALE -- PATH ARGV0 …`.

It limits its process, becomes the user, then becomes the command, which starts as it would without limits: with the
signals that Python ignores at their defaults, and without the LC_CTYPE that Python sets.

The parent could not do it without a moment in which the command runs unlimited, nor without giving up the fast way to
start a process. It imports nothing of this package, so that it starts in a few ms.
"""

import os
import resource
import signal
import sys

LIMITS = {
    "memory_bytes": resource.RLIMIT_AS,
    "cpu_s": resource.RLIMIT_CPU,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}
_GRACE_S = 1
"""Between SIGXCPU at the limit of CPU, which names the cause, and SIGKILL."""
_CANNOT_RUN = 126
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main(words: list[str]) -> None:
    """Do as the words say and exec; what goes wrong is said in the log and on the descriptor of `refusal`."""
    end = words.index("--")
    path, *argv = words[end + 1 :]
    refusal = int(words[0].partition("=")[2])
    os.set_inheritable(refusal, False)  # noqa: FBT003 -- the system's own signature
    try:
        _prepare(words[1:end])
        os.execv(path, argv)  # noqa: S606 -- argv of the worker's table
    except (OSError, ValueError) as error:
        said = f"cannot run {path!r}: {getattr(error, 'strerror', None) or error}"
        print(said, file=sys.stderr)  # noqa: T201 -- into the job's log
        os.write(refusal, said.encode(errors="backslashreplace"))
        sys.exit(_CANNOT_RUN)


def _prepare(words: list[str]) -> None:
    """Set each limit, never above what the parent has, then the user."""
    os.unsetenv("LC_CTYPE")
    for word in words:
        name, _, value = word.partition("=")
        if name == "user":
            _become(*value.split(":"))
        elif name == "lc_ctype":
            os.putenv("LC_CTYPE", value)
        else:
            _limit(name, int(value))
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)


def _limit(name: str, value: int) -> None:
    highest = resource.getrlimit(LIMITS[name])[1]
    hard = value + _GRACE_S if name == "cpu_s" else value
    if highest != resource.RLIM_INFINITY:
        value, hard = min(value, highest), min(hard, highest)
    resource.setrlimit(LIMITS[name], (value, hard))


def _become(uid: str, gid: str, groups: str) -> None:
    os.setgroups([int(group) for group in groups.split(",")])
    os.setgid(int(gid))
    os.setuid(int(uid))


if __name__ == "__main__":
    main(sys.argv[1:])
