"""Tokens at the door: every route with every scope, and the groups of a token wherever a group is named."""

import hmac
import re

import pytest

from broker.auth.grants import Access
from broker.auth.token_file import SCOPES, Scope
from broker.http.openapi import document
from broker.http.routes import ROUTES, Route
from tests.api.client import NO_JOB, Http
from tests.security.conftest import Caller, Tokens

OPEN = {"healthz", "readyz"}
"""The only routes that ask for no token."""


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
async def test_route_with_a_token_of_each_scope(http: Http, tokens: Tokens, route: Route, scope: Scope) -> None:
    """A row lets in its own scope and admin; any other token is a 403, and none or a wrong one a 401."""
    path = route.path.format(
        group_name="g", id=NO_JOB, worker="w", batch=NO_JOB, bulk=NO_JOB, unique_key="k", schedule="s"
    )
    path += "?kind=none" if route.verb == "listen" else ""  # this is refused: others do not end
    reply = await http(route.method, path, **tokens.headers(scope))
    is_let_in = route.scope in {None, scope} or scope == "admin"
    assert (reply.status not in {401, 403}) == is_let_in, reply
    if not is_let_in:
        assert (reply.status, reply.problem.code) == (403, "forbidden")
    for headers in ({}, {"Authorization": "Bearer titan_wrong"}):
        stranger = await http(route.method, path, **headers)
        assert (stranger.status == 401) == (route.verb not in OPEN), stranger
    if not is_let_in:
        assert f"the scope {route.scope}" in reply.problem.message
    if route.verb not in OPEN:
        assert f"with the scope {route.scope}:" in (await http(route.method, path)).problem.message


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer x y", "Token {}", "{}", "Bearer {}x", "bearer\t{}"]
)
async def test_token_that_is_not_shown_right(http: Http, tokens: Tokens, shown: str) -> None:
    """Anything but a known bearer token is a 401 that says how to show one, and never repeats what was sent."""
    secret = tokens.by_name["admin"]
    reply = await http("GET", "/v1/groups", Authorization=shown.format(secret))
    assert (reply.status, reply.problem.code) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="titan"'
    assert secret not in reply.text


async def test_token_with_the_scheme_in_small_letters(http: Http, tokens: Tokens) -> None:
    """The scheme's letters may be small or capital, as RFC 9110 has it."""
    assert (await http("GET", "/v1/groups", Authorization=f"bearer {tokens.by_name['read']}")).status == 200


async def test_stranger_learns_nothing_and_changes_nothing(http: Http, snapshot) -> None:
    """A request without a token is refused before its path, its query or its body is looked at."""
    before = await snapshot()
    for path in ("/v1/groups/%00/jobs", "/v1/groups/g/jobs", "/v1/jobs/finish"):
        reply = await http("POST", path, b"{", Content_Type="nonsense", Content_Encoding="gzip")
        assert reply.status == 401
    assert await snapshot() == before


async def test_compare_looks_at_every_token(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is compared with all of them, however early one fits, by digests and in constant time."""
    access = Access(tokens.path)
    compared = []
    monkeypatch.setattr(
        hmac, "compare_digest", lambda kept, given: compared.append((len(kept), len(given))) or kept == given
    )
    access.admit(f"Bearer {tokens.by_name['produce']}", "produce")
    assert compared == [(32, 32)] * len(SCOPES)


class TestGroups:
    """A token for some groups."""

    @pytest.fixture
    def tokens(self, tokens: Tokens) -> Tokens:
        """One for two groups by name, one for those that begin with b-, and one for both with every scope."""
        tokens.add("named", "produce", "consume", "read", groups="a,c")
        tokens.add("pattern", "produce", "consume", "read", groups="b-*")
        tokens.add("admin-of-some", "admin", groups="a,b-*")
        return tokens

    @pytest.fixture
    def named(self, http: Http, tokens: Tokens) -> Caller:
        """The holder of the first."""
        return Caller(http, tokens.headers("named"))

    @pytest.fixture
    def pattern(self, http: Http, tokens: Tokens) -> Caller:
        """The holder of the second."""
        return Caller(http, tokens.headers("pattern"))

    @pytest.fixture
    def admin(self, http: Http, tokens: Tokens) -> Caller:
        """One who may do everything."""
        return Caller(http, tokens.headers("admin"))

    @pytest.mark.parametrize("route", [route for route in ROUTES if "{group_name}" in route.path], ids=lambda r: r.verb)
    async def test_path_of_another_group(self, http: Http, tokens: Tokens, route: Route) -> None:
        """A group that is not the token's is a 403, whether there is one of that name or not."""
        tokens.add("all-scopes", "admin", groups="a,b-*")
        access = Access(tokens.path)
        for group, is_in_reach in {"a": True, "b-": True, "b-x": True, "b": False, "ab-": False, "A": False}.items():
            if is_in_reach:
                access.admit(f"Bearer {tokens.by_name['all-scopes']}", route.scope, group)
                continue
            path = route.path.format(group_name=group, id=NO_JOB, batch=NO_JOB, unique_key="k", schedule="s")
            reply = await http(route.method, path, **tokens.headers("named"))
            assert (reply.status, reply.problem.code) == (403, "forbidden"), group

    async def test_create_another_group(self, http: Http, tokens: Tokens) -> None:
        """The name in the body of POST counts as one in a path."""
        some = Caller(http, tokens.headers("admin-of-some"))
        statuses = {}
        for group in ("a", "b-x", "other"):
            statuses[group] = (await some("POST", "/v1/groups", {"group": {"name": group}})).status
        assert statuses == {"a": 201, "b-x": 201, "other": 403}

    async def test_metrics_of_other_groups(self, http: Http, tokens: Tokens, admin: Caller) -> None:
        """A scrape with a token for some groups has no sample of another group, nor their sum."""
        for group in ("a", "b-x", "secret"):
            await admin("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "x"}]})
        seen = {}
        for name in ("named", "pattern", "admin"):
            told = (await http("GET", "/metrics", **tokens.headers(name))).text
            seen[name] = set(re.findall(r'titan_group_jobs\{group="([^"]+)"', told))
            assert "titan_requests_total{" in told
        assert seen == {"named": {"a"}, "pattern": {"b-x"}, "admin": {"a", "b-x", "secret"}}

    async def test_dead_letters_to_another_group(self, http: Http, tokens: Tokens, access: Access) -> None:
        """Jobs come into a group by its dead letters too: the token must reach the group that gets them."""
        tokens.add("limited", "admin", groups="a,b-*")
        access.reload()
        headers = tokens.headers("limited")
        for to, status in (("other", 403), ("b-dead", 200)):
            body = {"group": {"dead_letter_to": to}}
            for method in ("PUT", "PATCH"):
                assert (await http(method, "/v1/groups/a", body, **headers)).status == status
            created = await http("POST", "/v1/groups", {"group": {"name": "b-x", "dead_letter_to": to}}, **headers)
            assert created.status == (201 if status == 200 else status)

    async def test_find_a_job_of_another_group(self, admin: Caller, named: Caller) -> None:
        """A job of a group that the token is not for is a 404, as one that does not exist."""
        statuses = {}
        for group in ("a", "other"):
            reply = await admin("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]})
            path = f"/v1/jobs/{reply.json['jobs'][0]['id']}"
            assert (await admin("GET", path)).status == 200
            statuses[group] = (await named("GET", path)).status
        assert statuses == {"a": 200, "other": 404}
        missing = await named("GET", f"/v1/jobs/{NO_JOB}")
        assert (await named("GET", path)).text == missing.text

    async def test_next_without_a_group(self, admin: Caller, named: Caller, pattern: Caller) -> None:
        """Next without ?group= hands out jobs of the token's groups; with patterns it asks for ?group=."""
        for group in ("a", "b-x", "other"):
            await admin("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]})
        assert [job["group_name"] for job in (await named("GET", "/v1/jobs?n=10")).json["jobs"]] == ["a"]
        refused = await pattern("GET", "/v1/jobs?n=10")
        assert (refused.status, "?group=" in refused.problem.message) == (403, True)
        assert (await pattern("GET", "/v1/jobs?group=b-x&group=other")).status == 403
        taken = (await pattern("GET", "/v1/jobs?n=10&group=b-x")).json["jobs"]
        assert [job["group_name"] for job in taken] == ["b-x"]
        left = (await admin("GET", "/v1/jobs?n=10")).json["jobs"]
        assert [job["group_name"] for job in left] == ["other"]

    @pytest.mark.parametrize("verb", ["finish", "touch"])
    async def test_bulk_with_items_of_other_groups(self, admin: Caller, named: Caller, verb: str) -> None:
        """An item of another group is refused in its place, and the others are done."""
        for group in ("a", "other"):
            await admin("POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i"}]})
        jobs = (await admin("GET", "/v1/jobs?n=2")).json["jobs"]
        items = [{"group_name": job["group_name"], "id": job["id"], "status": "succeeded"} for job in jobs]
        outcomes = (await named("POST", f"/v1/jobs/{verb}", {"jobs": items})).json["jobs"]
        assert [outcome.get("ok", False) for outcome in outcomes] == [True, False]
        assert outcomes[1]["error"]["code"] == "forbidden"
        other = (await admin("GET", f"/v1/groups/other/jobs/{jobs[1]['id']}")).json["job"]
        assert other["status"] == "running"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/workers"),
            ("GET", "/v1/workers/w"),
            ("POST", "/v1/workers/w/order"),
            ("PUT", "/v1/settings"),
        ],
    )
    async def test_what_is_of_no_group(
        self, http: Http, access: Access, tokens: Tokens, method: str, path: str
    ) -> None:
        """Workers and the order are of no group: they are seen, and told what to do, by tokens for all groups only."""
        tokens.add("limited", "admin", groups="a,b-*")
        access.reload()
        reply = await http(method, path, **tokens.headers("limited"))
        assert (reply.status, reply.problem.message) == (403, "This takes a token for all groups.")

    async def test_list_groups_shows_those_in_reach(self, admin: Caller, named: Caller, pattern: Caller) -> None:
        """The list of groups has the token's groups only, over all pages."""
        for group in ("a", "b-x", "other", "c"):
            await admin("PUT", f"/v1/groups/{group}", {"group": {}})
        assert await _all_groups(admin) == ["a", "b-x", "c", "other"]
        assert await _all_groups(named) == ["a", "c"]
        assert await _all_groups(pattern) == ["b-x"]


async def _all_groups(caller: Caller) -> list[str]:
    names, cursor = [], ""
    while True:
        page = (await caller("GET", f"/v1/groups?n=1&cursor={cursor}")).json
        names += [group["name"] for group in page["groups"]]
        cursor = page.get("cursor", "")
        if not cursor:
            return sorted(names)


def test_openapi_says_which_scope_a_route_asks_for() -> None:
    """Each operation has its scope, or says that it asks for nothing; 401 and 403 are among its answers."""
    for route in ROUTES:
        operation = document()["paths"][route.path][route.method.lower()]
        assert operation["security"] == ([{}, {"token": [route.scope]}] if route.scope else [])
        assert ({"401", "403"} <= operation["responses"].keys()) == (route.scope is not None)
    assert {route.verb for route in ROUTES if route.scope is None} == OPEN
    assert document()["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


async def test_bulk_of_another_group(http: Http, tokens: Tokens, access: Access) -> None:
    """A token for some groups neither lists, shows nor stops a bulk of another one."""
    tokens.add("few", "produce", "read", groups="a")
    access.reload()
    admin = Caller(http, tokens.headers("admin"))
    await admin("POST", "/v1/groups/b/jobs", {"jobs": [{"image": "x"}] * 5})
    begun = await admin("POST", "/v1/groups/b/bulk", {"action": "cancel", "rate": 1})
    bulk_id = begun.json["bulk"]["id"]
    few = Caller(http, tokens.headers("few"))
    assert (await few("GET", "/v1/bulk")).json == {"bulks": []}
    for method in ("GET", "DELETE"):
        assert (await few(method, f"/v1/bulk/{bulk_id}")).status == 403
    assert (await few("POST", "/v1/groups/b/bulk", {"action": "cancel"})).status == 403
    assert (await admin("GET", f"/v1/bulk/{bulk_id}")).json["bulk"]["state"] == "running"
