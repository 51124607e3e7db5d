"""Cursors: the text in a list's answer decodes to its position; anything else is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.errors import Invalid
from broker.store.pagination import cursor, position

MEMBERS = st.text("abcXYZ019_-", min_size=1, max_size=128)


def encoded(plain):
    """Bytes as a cursor has them."""
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


@given(score=st.integers(-(10**16), 10**16), member=MEMBERS)
def test_place_is_that_of_the_cursor(score, member):
    """A cursor comes back as the score and member that it was made of, and fits into a URL as it is."""
    text = cursor(str(score), member)
    assert position(text) == (str(score), member)
    assert all(character.isalnum() or character in "-_" for character in text)


def test_place_of_no_cursor():
    """No cursor is the beginning."""
    assert position("") == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "!!!!",
        "AAAA AAAA",
        "ÄÖÜ",
        "\ud800",
        "\x00",
        "=" * 8,
        encoded(b"1"),
        encoded(b"1 "),
        encoded(b" a"),
        encoded(b"1  a"),
        encoded(b"inf a"),
        encoded(b"nan a"),
        encoded(b"1e5 a"),
        encoded(b"1.5 a"),
        encoded(b"(1 a"),
        encoded(b"1 a\n"),
        encoded(b"1 a b"),
        encoded("1 ä".encode()),
        encoded("\N{ARABIC-INDIC DIGIT ONE} a".encode()),
        encoded(b"\xff\xfe 1"),
        encoded(b"9" * 18 + b" a"),
        encoded(b"1 " + b"a" * 129),
        "A" * 100_000,
    ],
)
def test_place_of_a_hostile_cursor(text):
    """A cursor that no list gave is Invalid and names its field."""
    with pytest.raises(Invalid) as refused:
        position(text)
    assert refused.value.fields == "cursor"


@given(st.text() | st.binary().map(encoded))
def test_place_of_any_text(text):
    """No text does anything but give a place or Invalid."""
    try:
        score, member = position(text)
    except Invalid:
        return
    assert (score, member) == ("", "") or (int(score) < 10**17 and member)
