"""Blocks of headers: parsed line by line or from memory, the result is the same, and no secret stays in memory."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.http.server import header_block
from broker.http.server.header_block import BROWSERS, Headers, parse_headers

NAMES = (
    b"Host", b"host", b"HOST", b"User-Agent", b"Accept", b"Content-Type", b"Content-Length", b"content-length",
    b"Connection", b"Origin", b"Sec-Fetch-Site", b"Titan-Lease", b"titan-lease", b"TITAN-LEASE", b"Authorization",
    b"authorization", b"aUthorization", b"Idempotency-Key", b"Traceparent", b"Tracestate", b"Cookie", b"X-Any",
    b"Transfer-Encoding", b"TE", b"Expect", b"Accept-Charset", b"Hosts", b"", b"Authorization ", b" Authorization",
)  # fmt: skip
VALUES = (
    b"x", b"", b"2", b"keep-alive", b"close", b"a: b", b"a b", b"a\tb", b"\xff", b"a\x00", b"a\r", b"a\nHost: y", b"-1",
)  # fmt: skip
SPACES = (b"", b" ", b"  ", b"\t", b" \t ")
LINES = st.builds(
    lambda name, colon, before, value, after: name + colon + before + value + after,
    st.sampled_from(NAMES),
    st.sampled_from((b":", b":", b":", b":", b"", b" :", b"::")),
    st.sampled_from(SPACES),
    st.sampled_from(VALUES),
    st.sampled_from(SPACES),
)
SECRET = b"tt_0123456789abcdef"


@pytest.fixture(autouse=True)
def nothing_remembered():
    """No test finds what another has left."""
    header_block._remembered.clear()


def line_by_line(block: bytes) -> Headers | None:
    """The headers of a block, without any memory."""
    values: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        title = name.decode("latin-1").title()
        if not colon or re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is None or title in values:
            return None
        if title in {"Transfer-Encoding", "Te", "Expect"} or re.fullmatch(rb"[ -~]*", value) is None:
            return None
        if title == "Connection" and value.lower() != b"keep-alive":
            return None
        if title == "Content-Length" and re.fullmatch(rb"[0-9]{1,10}", value) is None:
            return None
        values[title] = value.decode()
    if "Host" not in values or len(values) > 64:
        return None
    return Headers(values, int(values.get("Content-Length", "0")), bool(BROWSERS & values.keys()))


@given(st.lists(LINES, max_size=8), st.booleans())
def test_a_block_is_parsed_as_line_by_line(lines: list[bytes], has_host: bool) -> None:
    """The first time and from memory, whatever is in the lines and in which order."""
    block = b"".join(b"\r\n" + line for line in ([b"Host: x"] if has_host else []) + lines)
    expected = line_by_line(block)
    assert parse_headers(block) == expected
    assert parse_headers(block) == expected


@given(st.lists(st.sampled_from(NAMES), max_size=6), st.sampled_from(SPACES), st.sampled_from(SPACES), st.randoms())
def test_no_secret_is_remembered(names: list[bytes], before: bytes, after: bytes, random: Random) -> None:
    """A token is neither a key nor a value of what is kept, however its header is spelled and folded."""
    token = b"%b%d" % (SECRET, random.randrange(2**40))
    secrets = [b"Authorization", b"authorization", b"Titan-Lease", b"Cookie", b"X-Api-Key", b"Idempotency-Key"]
    name = random.choice(secrets)
    odd = (name + b": Bearer\r\n " + token, name + b" : " + token, name + b" " + token, token, name + b": \xff" + token)
    secret = random.choice((name + b":" + before + b"Bearer " + token + after, *odd))
    lines = [b"Host: x", *(other + b": 2" for other in names), secret]
    random.shuffle(lines)
    block = b"".join(b"\r\n" + line for line in lines)
    parse_headers(block)
    parse_headers(block)
    assert SECRET not in b"".join(header_block._remembered)
    assert SECRET.decode() not in str(header_block._remembered)


def test_a_new_lease_and_token_find_the_block_in_memory():
    """Only the headers that a client repeats are the key."""
    for i in range(3000):
        found = parse_headers(
            b"\r\nHost: x\r\nTitan-Lease: l%d\r\nUser-Agent: y\r\nAuthorization: Bearer t%d\r\nContent-Length: 2"
            % (i, i)
        )
        assert found is not None
        assert found.values == {
            "Host": "x",
            "User-Agent": "y",
            "Titan-Lease": f"l{i}",
            "Authorization": f"Bearer t{i}",
            "Content-Length": "2",
        }
    assert list(header_block._remembered) == [b"\r\nHost: x\r\nUser-Agent: y\r\nContent-Length: 2"]


def test_what_is_remembered_is_not_changed():
    """The headers of one request are not seen by the next."""
    parse_headers(b"\r\nHost: x\r\nTitan-Lease: l")
    assert parse_headers(b"\r\nHost: x") == Headers({"Host": "x"}, 0, is_of_browser=False)


def test_memory_is_limited():
    """The oldest block is dropped."""
    for i in range(3000):
        assert parse_headers(b"\r\nHost: x%d" % i)
    assert len(header_block._remembered) == 1024
    assert b"\r\nHost: x2999" in header_block._remembered


@pytest.mark.parametrize("name", [b"Accept", b"X-Any"])
def test_limits_of_a_block(name: bytes):
    """64 headers and 8,190 bytes, of whatever kind."""
    many = [b"\r\nX-%d: 1" % i for i in range(63)]
    assert parse_headers(b"\r\nHost: x" + b"".join(many)) is not None
    assert parse_headers(b"\r\nHost: x\r\n" + name + b": 1" + b"".join(many)) is None
    start = b"Host: x\r\n" + name + b": "
    assert parse_headers(b"\r\n" + start + b"y" * (8190 - len(start))) is not None
    assert parse_headers(b"\r\n" + start + b"y" * (8191 - len(start))) is None
