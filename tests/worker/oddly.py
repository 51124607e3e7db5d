"""Parents that start a program oddly: words to put before its own, and what a system has to allow for some of them."""

import os
import subprocess
import sys

import pytest

_IGNORE = "[signal.signal(n, signal.SIG_IGN) for n in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]"
_BLOCK = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
_REMOVED = "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())"


def after(text: str, *words: str) -> tuple[str, ...]:
    """Words that start a program after some Python; `words` are its sys.argv[1:] up to the program."""
    program = f"import fcntl, os, signal, socket, sys, tempfile, termios; {text}; os.execvp(sys.argv[{len(words) + 1}], sys.argv[{len(words) + 1}:])"  # noqa: E501
    return (sys.executable, "-c", program, *words)


PARENTS = {
    "ignores every signal": after(_IGNORE),
    "blocks every signal": after(_BLOCK),
    "ignores SIGCHLD": after("signal.signal(signal.SIGCHLD, signal.SIG_IGN)"),
    "closes stdin": after("os.close(0)"),
    "closes stdin and stdout": after("os.close(0); os.close(1)"),
    "removes the folder": after(_REMOVED),
    "has few descriptors": ("sh", "-c", 'ulimit -n 40; exec "$@"', "sh"),
    "has a umask of 077": ("sh", "-c", 'umask 077; exec "$@"', "sh"),
    "has an odd locale": ("env", "LC_ALL=C", "LANG=xx_YY.ISO-8859-15", "PYTHONIOENCODING=ascii"),
    "has a locale of UTF-8": ("env", "LANG=C.UTF-8"),
    "has no HOME": ("env", "-u", "HOME"),
}
"""Parents whose children can still be read."""

MUTE = {
    "closes all three": after("os.close(0); os.close(1); os.close(2)"),
    "has a full disk": ("sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh"),
    "reads nothing": after("r, w = os.pipe(); os.dup2(w, 1); os.dup2(w, 2); os.close(r); os.close(w)"),
}
"""Parents whose children nobody can read."""


def unshared(*options: str) -> tuple[str, ...]:
    """Words that start a program in namespaces of its own. Where that is not allowed: a skip, and in CI a failure."""
    words = ("unshare", "--map-root-user", *options)
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, text=True, timeout=20, check=False)
        why = tried.stderr.strip() if tried.returncode else ""
    except OSError as error:
        why = str(error)
    if why and os.environ.get("CI"):
        pytest.fail(f"namespaces cannot be made here: {why}")
    if why:
        pytest.skip(f"namespaces cannot be made here: {why}")
    return words
