"""Pages of other sites: what a browser sends for them changes nothing, on both ways through the front end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.auth.grants import Access
from broker.core.errors import CrossSite
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER
from broker.http.browser_guard import Browsers, allowed_names
from broker.http.forwarded import TrustedProxies
from broker.http.routes import ROUTES, Route
from broker.http.server.fast_request import FastRequest
from tests.api.client import NO_JOB, Http, Reply
from tests.api.test_routes import EXAMPLES
from tests.conftest import eventually

Snapshot = Callable[[], Awaitable[dict[bytes, Any]]]

FOREIGN: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://localhost.evil.example:{port}"},
    {"Origin": "http://evil.example:{port}"},
    {"Origin": "http://localhost"},
    {"Origin": "ftp://127.0.0.1:{port}"},
    {"Origin": "moz-extension://127.0.0.1"},
    {"Origin": "http://127.0.0.1:{port}/"},
    {"Origin": "http://x@127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:{port} http://evil.example"},
)
OURS: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},
    {"Origin": "HTTP://127.0.0.1:{port}"},
)
both_ways = pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "aiohttp"])


class Caller:
    """A client whose requests go one of the two ways: a connection that is to be closed is none for the plain one."""

    def __init__(self, http: Http, *, is_plain: bool) -> None:
        self._http = http
        self._way = {} if is_plain else {"Connection": "close"}

    async def __call__(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        """Send a request without a body; {port} in a header is the broker's."""
        port = self._http.address[1]
        told = {name: value.format(port=port) for name, value in headers.items()}
        return await self._http(method, path, **told, **self._way)


@pytest.fixture
def caller(http: Http, is_plain: bool) -> Caller:
    """A client that goes this way."""
    return Caller(http, is_plain=is_plain)


def _path(route: Route) -> str:
    query = "?kind=none" if route.verb == "listen" else ""  # this is refused: others do not end
    path = route.path.format(
        group_name="g", id=NO_JOB, worker="w", batch=NO_JOB, bulk=NO_JOB, unique_key="k", schedule="s"
    )
    return path + query


async def _settled(http: Http) -> None:
    """Wait until nothing of the broker writes by itself: its bulks have ended, and its audit is written."""
    context = http.runner.app[DISPATCHER].context
    await eventually(lambda: not context.bulks._running)
    await context.audit.close()


@both_ways
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_next_for_a_page_of_another_site(
    http: Http, caller: Caller, headers: dict[str, str], snapshot: Snapshot
) -> None:
    """What a browser sends for a page of another site takes no job."""
    await http.enqueue()
    before = await snapshot()
    reply = await caller("GET", "/v1/jobs?n=1000", headers)
    assert (reply.status, reply.problem.code) == (403, "cross_site")
    assert await snapshot() == before


@both_ways
@pytest.mark.parametrize("headers", OURS, ids=str)
async def test_next_for_a_page_of_the_broker(http: Http, caller: Caller, headers: dict[str, str]) -> None:
    """A page of the broker's own origin may do what any client may, and so may a person who types the address."""
    await http.enqueue()
    assert len((await caller("GET", "/v1/jobs", headers)).json["jobs"]) == 1


@both_ways
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
async def test_every_route_that_changes_something(
    http: Http, caller: Caller, route: Route, snapshot: Snapshot, backend: str
) -> None:
    """A route either refuses pages of other sites, or a whole example of it leaves the store as it was."""
    if (route.verb, backend) == ("doctor", "fake"):
        pytest.skip("fakeredis has no INFO")
    reply = await EXAMPLES[route.verb](http)
    assert reply.status == route.status
    await http.enqueue()
    await _settled(http)
    before = await snapshot()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        reply = await caller(route.method, _path(route), headers)
        if route.method != "GET" or reply.status == 403:
            assert (reply.status, reply.problem.code) == (403, "cross_site")
    assert await snapshot() == before


@both_ways
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "x@localhost", "[::2]"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
async def test_every_route_under_another_name(http: Http, caller: Caller, route: Route, host: str) -> None:
    """An open broker on loopback answers nothing at all, health and numbers too, under a name that is not its own."""
    reply = await caller(route.method, _path(route), {"Host": host})
    assert (reply.status, reply.problem.code) == (421, "misdirected")
    assert "--allowed-host" in reply.problem.message
    assert http.address[0] in reply.problem.message


@both_ways
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:1", "localhost.", "localhost.:80", "127.0.0.1", "127.0.0.1:8080", "[::1]"),
        *("[::1]:8080", "[0:0:0:0:0:0:0:1]:9", "localhost:"),
    ],
)
async def test_host_that_is_the_brokers_own(caller: Caller, host: str) -> None:
    """Its own names count with any port or none, in any case, and with the dot at the end."""
    assert (await caller("GET", "/v1/jobs", {"Host": host})).status == 200


@both_ways
@pytest.mark.parametrize(
    "settings", [BrokerSettings(allowed_host=("titan.example.org", "fd00::7"), key_prefix="allow")]
)
async def test_host_that_is_allowed(http: Http, caller: Caller) -> None:
    """A name that --allowed-host gives is answered, and a page of it may change things, whatever Host a proxy sends."""
    assert (await caller("GET", "/healthz", {"Host": "Titan.example.org:443"})).status == 200
    assert (await caller("GET", "/healthz", {"Host": "[fd00:0::7]"})).status == 200
    assert (await caller("GET", "/healthz", {"Host": "x.titan.example.org"})).status == 421
    for headers in ({"Host": "titan.example.org"}, {}):
        page = {"Origin": "https://titan.example.org", "Sec-Fetch-Site": "same-origin", **headers}
        assert (await caller("GET", "/v1/jobs", page)).status == 200
    page["Origin"] = "https://other.example.org"
    assert (await caller("GET", "/v1/jobs", page)).status == 403


@both_ways
@pytest.mark.parametrize("settings", [BrokerSettings(host="0.0.0.0", insecure=True, key_prefix="wide")])
async def test_host_of_a_broker_that_is_not_on_loopback(caller: Caller) -> None:
    """A broker on another address has whatever name there is; pages of other sites are refused all the same."""
    assert (await caller("GET", "/v1/jobs", {"Host": "titan"})).status == 200
    assert (await caller("GET", "/v1/jobs", {"Host": "titan:8080", "Origin": "http://titan:8080"})).status == 200
    assert (await caller("GET", "/v1/jobs", {"Host": "titan:8080", "Origin": "http://titan:81"})).status == 403


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/jobs HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /v1/jobs HTTP/1.0\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /v1/jobs HTTP/1.1\r\nHost:\r\n", b"421"),
        (b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", b"4"),
        (b"GET http://evil.example/v1/jobs HTTP/1.1\r\nHost: localhost\r\n", b"421"),
        (b"GET http://localhost/v1/jobs HTTP/1.1\r\nHost: localhost\r\n", b"200"),
        (b"GET /nothing HTTP/1.1\r\nHost: evil.example\r\n", b"421"),
        (b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: null\r\n", b"4"),
        (b"GET /v1/jobs HTTP/1.0\r\nOrigin: http://localhost\r\n", b"403"),
        (
            b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
            b"4",
        ),
    ],
)
async def test_requests_of_odd_forms(http: Http, snapshot: Snapshot, request_: bytes, status: bytes) -> None:
    """Without a Host there is no browser; of several, and of an address in the first line, each must be right."""
    await http.enqueue()
    before = await snapshot()
    answer = await http.raw(request_.removesuffix(b"\r\n\r\n") + b"\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1].startswith(status)
    assert (await snapshot() == before) == (status != b"200")


async def test_log_of_a_page_of_another_site(http: Http) -> None:
    """A log is refused before any of it is read, and the old one stays."""
    [job] = await http.running()
    path = f"/v1/groups/g/jobs/{job['id']}/log"
    assert (await http("POST", path, b"old", Content_Type="text/plain")).status == 200
    reply = await http("POST", path, b"new" * 10_000, Content_Type="text/plain", Origin="null")
    assert (reply.status, reply.problem.code) == (403, "cross_site")
    assert (await http("GET", path, Origin="null")).text == "old"


@pytest.mark.parametrize(
    ("origin", "host", "is_ours"),
    [
        ("http://localhost", "localhost", True),
        ("http://localhost", "localhost:80", True),
        ("http://localhost:80", "localhost", True),
        ("https://localhost", "localhost:443", True),
        ("https://localhost", "localhost", True),
        ("https://localhost", "localhost:80", False),
        ("http://localhost:8080", "localhost", False),
        ("http://LOCALHOST:8080", "localhost:8080", True),
        ("http://localhost.:8080", "localhost:8080", True),
        ("http://[::1]:8080", "[0:0::1]:8080", True),
        ("http://[::1]:8080", "[::2]:8080", False),
        ("http://127.0.0.1:8080", "localhost:8080", False),
        ("http://localhost:8080", "not a host", False),
        ("http://localhost:99999999", "localhost", False),
        ("http://", "localhost", False),
        ("//localhost", "localhost", False),
    ],
)
def test_origin_beside_the_host(origin: str, host: str, is_ours: bool) -> None:
    """Host and port decide; a port that is not there is the one of the origin's scheme, since TLS may end before us."""
    browsers = _browsers(BrokerSettings())
    request = FastRequest("GET", "/v1/jobs", "", {"Host": host, "Origin": origin}, b"", is_of_browser=True)
    assert _is_let_in(browsers, request) == is_ours


def test_origin_at_a_broker_with_tls() -> None:
    """A broker that serves https itself takes no page that came by http for its own."""
    browsers = _browsers(BrokerSettings(tls_cert="x", allowed_host=("proxy",)))
    for origin, is_ours in {
        "https://localhost:8443": True,
        "http://localhost:8443": False,
        "https://proxy": True,
        "http://proxy": False,
    }.items():
        headers = {"Host": "localhost:8443", "Origin": origin}
        assert _is_let_in(browsers, FastRequest("POST", "/", "", headers, b"", is_of_browser=True)) == is_ours, origin


def test_origin_behind_a_trusted_proxy() -> None:
    """The scheme that a trusted proxy names is the one of own pages. Nobody else may name it."""
    browsers = _browsers(BrokerSettings(trust_proxy=("127.0.0.1",)))
    for proto, origin, is_ours in (
        ("https", "https://localhost", True),
        ("https", "http://localhost", False),
        ("http", "http://localhost", True),
        ("http", "https://localhost", False),
        ("gopher", "http://localhost", True),
        ("", "https://localhost", True),
    ):
        headers = {"Host": "localhost", "Origin": origin, "X-Forwarded-Proto": proto}
        request = FastRequest("POST", "/", "", headers, b"", is_of_browser=True)
        assert _is_let_in(browsers, request) == is_ours, (proto, origin)
        assert _is_let_in(_browsers(BrokerSettings(trust_proxy=("10.0.0.1",))), request)


def _browsers(settings: BrokerSettings) -> Browsers:
    return Browsers(settings, Access(), TrustedProxies(settings))


def _is_let_in(browsers: Browsers, request: FastRequest) -> bool:
    try:
        browsers.check_page(request, "127.0.0.1")
    except CrossSite:
        return False
    return True


@pytest.mark.parametrize("text", ["", "http://x", "x/y", "x y", "*", "*.x", "x:y", "[x]", "x@y", ":80"])
def test_allowed_host_that_is_none(text: str) -> None:
    """What is no name of a host is refused at the start, with the option's name."""
    with pytest.raises(ValueError, match="--allowed-host"):
        allowed_names(BrokerSettings(allowed_host=("fine", text)))


def test_hosts_that_are_remembered_are_few() -> None:
    """Whoever makes up ports fills no memory."""
    browsers = _browsers(BrokerSettings())
    for port in range(5000):
        browsers.check_host(FastRequest("GET", "/", "", {"Host": f"localhost:{port}"}, b""))
    assert len(browsers._accepted) <= 1000
