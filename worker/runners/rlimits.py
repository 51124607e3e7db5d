"""A shim, run as `rlimits.py error_pipe=FD LIMIT=N… user=UID:GID:GROUPS lc_ctype=LOCALE -- PATH ARGV0 …`.

It sets the limits of its process, changes the user, and executes the command. The command starts as without limits: the
signals that Python ignores have their defaults, and the LC_CTYPE that Python sets is removed.

If the parent set the limits, the command would run without them for a moment, or the parent could not use the fast way
to start a process. The shim imports nothing of this package, so it starts in a few ms.
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
"""Time between SIGXCPU at the CPU limit, which shows the cause, and SIGKILL, s."""
_CANNOT_RUN = 126
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main(words: list[str]) -> None:
    """Apply the arguments and exec. An error is written to the log and to the descriptor of `error_pipe`."""
    end = words.index("--")
    path, *argv = words[end + 1 :]
    error_pipe = int(words[0].partition("=")[2])
    os.set_inheritable(error_pipe, False)  # noqa: FBT003 -- the system's own signature
    try:
        _prepare(words[1:end])
        os.execv(path, argv)  # noqa: S606 -- argv of the worker's table
    except (OSError, ValueError) as error:
        message = f"cannot run {path!r}: {getattr(error, 'strerror', None) or error}"
        print(message, file=sys.stderr)  # noqa: T201 -- into the job's log
        os.write(error_pipe, message.encode(errors="backslashreplace"))
        sys.exit(_CANNOT_RUN)


def _prepare(words: list[str]) -> None:
    """Set each limit, at most that of the parent, then the user."""
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
