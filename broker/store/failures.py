"""Sorts failed jobs by cause: the reason, and the signature of the error."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from broker.core.timestamps import rfc3339
from broker.models.failures import CAUSE_IDS, Cause

LONGEST = 200
"""How many characters a signature has at most."""
_READ = 1000
"""How many characters of a line are read for it."""
_DIFFERS = re.compile(
    r"""
    "[^"]*" | '[^']*' | `[^`]*` | «[^»]*» | “[^”]*”            # quoted words
    | [a-z][a-z0-9+.-]{1,20}://[^\s,;)\]}>"']+                  # addresses
    | [\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})*
    | (?<!\w)/(?:[\w.@%+~-]+/?)+                                # paths
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b           # UUIDs
    | (?<![\w:])(?=[a-f:]*[0-9])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])  # IPv6 and MAC addresses, times
    | \b0x[0-9a-f]+\b                                           # hexadecimal numbers, digests
    | \b(?=[a-f]*[0-9])[0-9a-f]{6,}\b
    | \b(?=[a-z]*[0-9])[0-9a-z]{12,}\b                          # ids
    | (?<!^exit\ code\ )(?<!\d)\d+(?:[.:,_-]\d+)*               # numbers, dates, IPv4 addresses; not an exit code
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_SPACES = re.compile(r"\s+")
_SEVERAL = re.compile(r"#(?:[\s,;]*#)+")
_TRACEBACK = "Traceback (most recent call last)"


def signature_of(error: str) -> str:
    """The first line of an error, or the last one of a Python traceback, with # for what differs from job to job."""
    lines = [line for line in error.splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1 if lines[0].startswith(_TRACEBACK) else 0]
    text = _DIFFERS.sub("#", line[:_READ])
    return _SEVERAL.sub("#", _SPACES.sub(" ", text).strip())[:LONGEST]


def cause_of(reason: str, error: str) -> str:
    """The name of the cause of a failed job. It is the same at every broker."""
    return _named(reason, signature_of(error))


def causes_of(rows: Iterable[Sequence[bytes]]) -> list[Cause]:
    """The causes of failed jobs, the most frequent first. Rows have id, completed_at in ms, reason and error.

    The newest job comes first.
    """
    alike: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    for row in rows:
        job_id, completed_at, reason, error = (value.decode() for value in row)
        alike.setdefault((reason, signature_of(error)), []).append((job_id, int(float(completed_at)), error))
    causes = [
        Cause(
            cause=_named(reason, signature),
            signature=signature,
            reason=reason,
            error=jobs[0][2],
            n=len(jobs),
            first=rfc3339(jobs[-1][1]),
            last=rfc3339(jobs[0][1]),
            ids=[job_id for job_id, _, _ in jobs[:CAUSE_IDS]],
        )
        for (reason, signature), jobs in alike.items()
    ]
    return sorted(causes, key=lambda cause: -cause.n)


def _named(reason: str, signature: str) -> str:
    return hashlib.sha256(f"{reason}\n{signature}".encode()).hexdigest()[:12]
