"""X-Forwarded-For and X-Forwarded-Proto: who the client is, and values that must harm nobody."""

import logging

import pytest

from broker.core.settings import BrokerSettings
from broker.http.forwarded import TrustedProxies
from tests.api.client import Http
from tests.stores import Store

PROXY, OTHER_PROXY, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.9"
TRUST = ("10.0.0.0/24", "fd00::/8")
HOSTILE = (
    "", ",", ",,,,", "unknown", "_hidden", "garbage, 1.2.3.4", "1.2.3.4, garbage", "[::1", "]:80[", "[]:80", ":80",
    "1.2.3.4:99999999999", "[::1]:x", "::1:80", "fe80::1%eth0", "fe80::1%" + "z" * 500, "999.1.1.1", "1" * 4000,
    "1.2.3.4," * 500, "for=1.2.3.4;proto=https", "' OR 1=1 --", '"1.2.3.4"', "::ffff:10.0.0.1", "0x7f.1", "127.1",
)  # fmt: skip


@pytest.fixture
def settings() -> BrokerSettings:
    """The tests' own client is a trusted proxy."""
    return BrokerSettings(trust_proxy=("127.0.0.1",))


def client_of(peer: str, *forwarded: str, trust: tuple[str, ...] = TRUST) -> str:
    """The client of a request with these headers X-Forwarded-For."""
    values = {"X-Forwarded-For": forwarded}
    return TrustedProxies(BrokerSettings(trust_proxy=trust)).client_of(lambda name: values.get(name, ()), peer)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ((), PROXY),
        ((CLIENT,), CLIENT),
        ((f"6.6.6.6, {CLIENT}",), CLIENT),
        ((f"6.6.6.6, {CLIENT}, {OTHER_PROXY}",), CLIENT),
        ((f"6.6.6.6,{CLIENT}", OTHER_PROXY), CLIENT),
        ((f"{CLIENT}:5678",), CLIENT),
        (("[2001:db8::1]:443",), "2001:db8::1"),
        (("[2001:db8::1]",), "2001:db8::1"),
        (("2001:DB8:0::1",), "2001:db8::1"),
        ((f"{CLIENT}, fd00::5",), CLIENT),
        ((f"::ffff:{CLIENT}",), CLIENT),
        (("fe80::1%eth0",), "fe80::1"),
        ((f"{CLIENT}, unknown, {OTHER_PROXY}",), OTHER_PROXY),
        (("unknown",), PROXY),
        ((OTHER_PROXY,), OTHER_PROXY),
        ((f"{CLIENT}," + f"{OTHER_PROXY}," * 100 + OTHER_PROXY,), OTHER_PROXY),
    ],
)
def test_client_is_the_rightmost_address_that_is_no_trusted_proxy(forwarded: tuple[str, ...], client: str) -> None:
    """What stands left of it could be anybody's invention."""
    assert client_of(PROXY, *forwarded) == client


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1", "::1", ""])
def test_headers_of_others_are_ignored(peer: str) -> None:
    """Neither who is no trusted proxy, nor anybody at a broker without the setting, names the client."""
    assert client_of(peer, CLIENT) == peer
    assert client_of(PROXY, CLIENT, trust=()) == PROXY


@pytest.mark.parametrize("value", HOSTILE)
def test_client_of_a_hostile_value_is_an_address(value: str) -> None:
    """Nothing but addresses reaches a log."""
    assert set(client_of(PROXY, value)) <= set("0123456789abcdef.:")


@pytest.mark.parametrize("way", ["keep-alive", "close"])
async def test_requests_with_hostile_values_are_answered(http: Http, way: str) -> None:
    """On both ways through the front end, once or repeated; bytes that are not ASCII too."""
    for value in (*HOSTILE, "\u00e4\u00ff"):
        lines = b"".join(
            b"%b: %b\r\n" % (name, value.encode("latin-1")) for name in (b"X-Forwarded-For", b"X-Forwarded-Proto")
        )
        for count in (1, 3):
            head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: %b\r\n"
            async with http.line(head % way.encode() + lines * count + b"\r\n") as (reader, _):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 "), (value, count)


@pytest.mark.parametrize("way", ["keep-alive", "close"])
async def test_failure_is_logged_with_the_client(
    http: Http, store: Store, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error names the client that the proxy named, and not the proxy."""
    monkeypatch.setattr(type(store), "next", None, raising=False)
    monkeypatch.setattr(store, "dispatcher", None)
    with caplog.at_level(logging.ERROR):
        reply = await http("GET", "/v1/jobs", X_Forwarded_For=f"6.6.6.6, {CLIENT}", Connection=way)
    assert reply.status == 500
    assert f"GET '/v1/jobs' of {CLIENT} failed" in caplog.text
    assert CLIENT not in reply.text


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0/33", "10.0.0", "::1/129", "*", "proxy.example.org", "1.2.3.4:80"])
def test_trust_proxy_that_is_no_address(text: str) -> None:
    """What is no address and no network is refused at the start, with the option's name."""
    with pytest.raises(ValueError, match="--trust-proxy"):
        TrustedProxies(BrokerSettings(trust_proxy=("10.0.0.1", text)))
