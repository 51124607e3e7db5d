"""Signatures of errors, and failed jobs sorted by cause."""

import pytest

from broker.core.timestamps import rfc3339
from broker.store.failures import LONGEST, causes_of, signature_of


@pytest.mark.parametrize(
    ("error", "signature"),
    [
        ("", ""),
        (" \n\t", ""),
        ("smtp: 550 no such user", "smtp: # no such user"),
        ("exit 1, exit 22", "exit #, exit #"),
        ("exit code 75: line 12 of 40", "exit code 75: line # of #"),
        ('no file "a b.txt" in `x`', "no file # in #"),
        ("user 'ann' is not 'bob'", "user # is not #"),
        ("job 0VbpLuuIC3BdKEe8 of mail", "job # of mail"),
        ("at 0x7ffe12ab and deadbeef01", "at # and #"),
        ("id 3f2b6c1e-9d4a-4c8e-8f00-1234567890ab failed", "id # failed"),
        ("get https://a.example:8080/x?y=1 gave 503", "get # gave #"),
        ("mail to ann.b+c@mail.example.com bounced", "mail to # bounced"),
        ("connect to 10.0.0.12:5432: refused", "connect to #: refused"),
        ("connect to [fe80::1:2:3]: refused", "connect to [#]: refused"),
        ("2026-11-23T19:23:14.165Z timed out", "#T#Z timed out"),
        ("open /var/lib/x-1/y.db: no space", "open #: no space"),
        ("values 1, 2, 3 differ", "values # differ"),
        ("first line 7\nsecond line", "first line #"),
        ("\n\nwords\twith   spaces ", "words with spaces"),
        ("Traceback (most recent call last):\n  File x, line 3\nKeyError: 'k7'\n", "KeyError: #"),
        ("decade facade", "decade facade"),
        ("it's a user's file", "it#s file"),
    ],
)
def test_signature_of_an_error(error: str, signature: str) -> None:
    """Words and an exit code are kept; numbers, ids, addresses, paths and quoted words are #."""
    assert signature_of(error) == signature


def test_signature_is_short() -> None:
    """A long line is cut, whatever it has."""
    for text in ("x" * 4096, "word " * 800, "1a" * 2048, "a.b@" * 1000, "/" * 4096, "f:" * 2000, "'" * 4095):
        assert len(signature_of(text)) <= LONGEST


def row(number: int, reason: str, error: str) -> list[bytes]:
    return [f"{number:016}".encode(), str(1_000 * number).encode(), reason.encode(), error.encode()]


def test_causes_of_many_failures() -> None:
    """1,000 failures with 3 messages and changing ids are 3 causes with exact numbers, the most frequent first."""
    messages = ["no user {}", "no user {}", "connect to 10.0.0.{}: refused", 'bad "{}"']
    rows = [row(n, "exit" if n % 4 else "timeout", messages[n % 4].format(n)) for n in range(1000, 0, -1)]
    causes = causes_of(rows)
    assert [(cause.n, cause.reason, cause.signature) for cause in causes] == [
        (250, "timeout", "no user #"),
        (250, "exit", "bad #"),
        (250, "exit", "connect to #: refused"),
        (250, "exit", "no user #"),
    ]
    same_reason = causes_of([row(n, "", messages[n % 4].format(n)) for n in range(1000, 0, -1)])
    assert [(cause.n, cause.signature) for cause in same_reason] == [
        (500, "no user #"),
        (250, "bad #"),
        (250, "connect to #: refused"),
    ]
    first = same_reason[0]
    assert (first.error, first.first, first.last) == ("no user 1000", rfc3339(1_000), rfc3339(1_000_000))
    assert first.ids == [f"{n:016}" for n in (1000, 997, 996, 993, 992)]
