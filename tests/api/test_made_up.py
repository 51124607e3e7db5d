"""Bytes, texts and queries made up by chance: each is read or refused by name, and nothing else ever happens."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from yarl import URL

from broker.core.errors import Invalid
from broker.core.timestamps import milliseconds, rfc3339
from broker.http.request import query_params
from broker.http.request.decoding import decode, form
from broker.http.routes import ROUTES
from broker.models.reports import Failure
from tests.api.client import Http

pytestmark = pytest.mark.slow
SEARCH = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(SEARCH, max_examples=60)
QUERIES = sorted({route.query for route in ROUTES}, key=lambda kind: kind.__name__)
BODIES = sorted(
    {route.takes for route in ROUTES if isinstance(route.takes, type) and issubclass(route.takes, Struct)},
    key=lambda kind: kind.__name__,
)
NAMES = sorted({name for kind in QUERIES for name in kind.__struct_fields__})
VALUE = (
    st.sampled_from(("", "1", "0", "-1", "007", "1e3", "NaN", "9" * 40, "%ff", "%00", "g", "\u0661", "asc")) | st.text()
)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), VALUE), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("jobs", "image", "lease", "x")), inner)
    ),
    max_leaves=8,
)
TWO = st.integers(0, 99).map("{:02d}".format)
NEARLY_TIMES = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.integers(0, 9999).map("{:04d}".format),
    *(TWO, TWO, st.sampled_from("Tt _"), TWO, TWO, TWO),
    st.sampled_from(("", ".", ".1", ".999999999", ".0" * 2)),
    st.sampled_from(("Z", "z", "", "+00:00", "-23:59", "+24:00", " 01:00", "+0100")),
)
PIECES = st.sampled_from(
    (
        b"--XyZ", b"\r\n", b"--", b"\n", b'Content-Disposition: form-data; name="log"', b"\r\n\r\n", b"hello", b"\x00",
        b"Content-Type: text/plain", b"Content-Transfer-Encoding: base64", b'; filename="../x"', b"\xff",
        b"--XyZ--\r\n", b'Content-Disposition: form-data; name="other"', b"Content-Length: 5", b": ", b"x" * 9000,
    )
)  # fmt: skip


@pytest.mark.parametrize("kind", QUERIES, ids=lambda kind: kind.__name__)
@SEARCH
@given(pairs=PAIRS, raw=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40), is_raw=st.booleans())
def test_query_of_anything_is_read_or_refused(kind: type, pairs: list[tuple[str, str]], raw: str, is_raw: bool) -> None:
    """A query gives the struct, or Invalid with the name of a parameter that is wrong, or that nobody knows."""
    safe = [
        (name.encode("utf-8", "replace").decode(), text.encode("utf-8", "replace").decode()) for name, text in pairs
    ]
    url = URL(f"/?{raw.replace('#', '')}", encoded=True) if is_raw else URL("/").with_query(safe)
    try:
        assert isinstance(query_params.parse(kind, url.raw_query_string), kind)
    except Invalid as refused:
        is_unknown = refused.message.startswith("There is no parameter ")
        assert is_unknown or refused.fields in {*kind.__struct_fields__, ""}  # noqa: PT017 - it need not be refused
        refused.message.encode()


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
@SEARCH
@given(content=JSON, noise=st.binary(max_size=20), is_noise=st.booleans())
def test_body_of_anything_is_read_or_refused(kind: type, content: Any, noise: bytes, is_noise: bool) -> None:
    """A JSON body gives the struct, or Invalid."""
    raw = noise if is_noise else json.dumps(content).encode()
    try:
        assert isinstance(decode(kind, raw), kind)
    except Invalid as refused:
        assert refused.message  # noqa: PT017 - it need not be refused


@SEARCH
@given(raw=st.binary(max_size=60) | st.text(alphabet="reason=error&%+;lase0_", max_size=60).map(str.encode))
def test_form_of_anything_is_read_or_refused(raw: bytes) -> None:
    """A form's body gives a failure, or Invalid."""
    try:
        assert isinstance(form(Failure, raw), Failure)
    except Invalid as refused:
        assert refused.message  # noqa: PT017 - it need not be refused


@SEARCH
@given(text=NEARLY_TIMES | st.text(max_size=30))
def test_time_of_anything_is_read_or_refused(text: str) -> None:
    """A text is a time, which then is the same when it is written and read again, or a ValueError."""
    try:
        ms = milliseconds(text)
    except ValueError:
        return
    if 0 <= ms < 253_402_300_800_000:
        assert milliseconds(rfc3339(ms)) == ms


@FEW
@given(pieces=st.lists(PIECES, max_size=12))
async def test_upload_of_anything_is_stored_or_refused(http: Http, pieces: list[bytes]) -> None:
    """Whatever calls itself a form is a log, or a refusal with the error body; the broker goes on."""
    [job] = await http.running()
    kind = "multipart/form-data; boundary=XyZ"
    reply = await http("POST", f"/v1/groups/g/jobs/{job['id']}/log", b"".join(pieces), Content_Type=kind)
    assert reply.status in {200, 400, 413, 415}, reply
    assert reply.status == 200 or reply.problem.message
    assert (await http("GET", "/healthz")).status == 200
