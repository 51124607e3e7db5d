"""The pages as files: the shell, its headers, the assets, the paths under which they are, and the modes of --ui."""

import gzip
import re

import pytest

from broker.auth.grants import Access
from broker.http.ui.assets import assets, stripped
from tests.api.client import Http
from tests.ui.conftest import set_to

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@pytest.fixture
def access() -> Access:
    """Everybody is let in."""
    return Access()


async def test_root_leads_to_the_pages(http: Http) -> None:
    """The root, and ui without a slash, send a browser to ui/ by an address that holds behind any proxy."""
    for path in ("/", "/ui"):
        reply = await http("GET", path)
        assert (reply.status, reply.headers["Location"]) == (303, "ui/")


@pytest.mark.parametrize("path", ["/ui/", "/ui/groups/mail/jobs/VcMBY6hqKhY3ZQAP", "/ui/login", "/ui/nothing/here"])
async def test_page_has_its_headers(http: Http, path: str) -> None:
    """Each page is the shell, with the policy word for word, and nobody keeps it."""
    reply = await http("GET", path)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"] == POLICY
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert '<base href="/">' in reply.text
    assert "{{" not in reply.text


async def test_api_is_not_guessed_at(http: Http) -> None:
    """Answers of the API, refusals and answers without a body too, are never taken for another type."""
    [job] = await http.enqueue()
    replies = [
        *[await http("GET", path) for path in ("/v1/groups", "/v1/nothing", "/healthz", "/metrics")],
        *[await http("GET", path, Connection="close") for path in ("/v1/groups", "/v1/groups/x", "/metrics")],
        *[
            await http(method, f"/v1/groups/g/jobs/{job['id']}{verb}")
            for method, verb in (("POST", "/cancel"), ("DELETE", ""))
        ],
    ]
    assert {reply.headers["X-Content-Type-Options"] for reply in replies} == {"nosniff"}
    assert {reply.status for reply in replies} == {200, 204, 404}


async def test_assets_of_the_shell(http: Http) -> None:
    """Every file that the shell names is there for good, compressed for who takes it, and every module too."""
    shell = (await http("GET", "/ui/")).text
    named = re.findall(r'(?:src|href)="(ui/static/[^"]+)"', shell)
    assert {name.rpartition(".")[2] for name in named} == {"js", "css", "svg"}
    version = assets().version
    paths = {*named, *(f"ui/static/{version}/{name}" for name in assets().files)}
    for path in sorted(paths):
        reply = await http("GET", f"/{path}", Accept_Encoding="gzip")
        assert reply.status == 200, path
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert reply.headers.get("Content-Encoding", "") == ("" if path.endswith(".webp") else "gzip")
        plain = await http("GET", f"/{path}", Accept_Encoding="identity")
        assert "Content-Encoding" not in plain.headers
        assert plain.text == reply.text
        assert plain.headers["Content-Security-Policy"] == POLICY
    types = {path.rpartition(".")[2]: (await http("GET", f"/{path}")).headers["Content-Type"] for path in paths}
    assert types == {
        "md": "text/markdown; charset=utf-8",
        "webp": "image/webp",
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
    }


async def test_asset_of_another_version(http: Http) -> None:
    """A browser that has the shell of another broker's version gets this one's files, and keeps none of them."""
    reply = await http("GET", "/ui/static/0123456789abcdef/app.js")
    assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "../__init__.py", "%2e%2e/pages.py", "pages", ""])
async def test_asset_that_is_not_there(http: Http, name: str) -> None:
    """Only the files of the pages are given out."""
    assert (await http("GET", f"/ui/static/{assets().version}/{name}")).status in {200, 404}
    reply = await http("GET", f"/ui/static/{assets().version}/{name}")
    assert reply.status == 404 or "<title>Titan</title>" in reply.text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.js", "/** What. */\n\n  let a = 1; // 1\n  // and\n\t/* more\n  of */ b();\n", "let a = 1; // 1\nb();\n"),
        ("a.js", "  a('// none');\n  a /* one */ = /\\/*/;\n", "a('// none');\na /* one */ = /\\/*/;\n"),
        ("a.js", "  // kept\n  f(`a\n   b`);\n", "  // kept\n  f(`a\n   b`);\n"),
        ("a.js", "  f(text.split('`'));\n", "f(text.split('`'));\n"),
        ("a.css", "/* a\n * b */\na {\n  color: red;\n}\n  // b {}\n", "a {\ncolor: red;\n}\n// b {}\n"),
        ("a.svg", "  <svg/>\n", "  <svg/>\n"),
    ],
)  # fmt: skip
def test_strip_a_file(name: str, text: str, expected: str) -> None:
    """Indentation and lines of comments go; texts, code beside a comment and templates over lines stay."""
    assert stripped(name, text) == expected


def test_every_script_is_stripped() -> None:
    """No script has a template over several lines, and none has a comment or indentation when it is served."""
    scripts = [file.content.decode() for name, file in assets().files.items() if name.endswith(".js")]
    assert [line for text in scripts for line in text.split("\n") if re.match(r"\s|//|/\*", line)] == []


def test_assets_are_compressed() -> None:
    """Each file is kept as it is and compressed, with the same content; pictures are compressed already."""
    files = {name: file for name, file in assets().files.items() if not name.endswith(".webp")}
    assert len(files) > 20
    assert all(gzip.decompress(file.gzipped) == file.content for file in files.values())
    assert {file.gzipped for name, file in assets().files.items() if name not in files} == {b""}


@set_to(ui="off")
async def test_without_pages(http: Http) -> None:
    """With --ui off there is nothing at the paths of the dashboard, as if it had none."""
    for method, path in (("GET", "/"), ("GET", "/ui/"), ("POST", "/ui/login"), ("GET", "/ui/session")):
        reply = await http(method, path)
        assert (reply.status, reply.problem.code) == (404, "not_found"), path
    assert (await http("GET", "/v1/groups", Cookie="titan_session=" + "x" * 43)).status == 200


@set_to(ui="read")
async def test_pages_that_only_read(http: Http) -> None:
    """With --ui read what a browser's page sends changes nothing; other clients notice nothing."""
    [job] = await http.enqueue()
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://127.0.0.1:{http.address[1]}"}):
        reply = await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel", **headers)
        assert (reply.status, reply.problem.code) == (403, "forbidden")
        assert "--ui read" in reply.problem.message
        assert (await http("GET", "/v1/groups", **headers)).status == 200
    assert (await http("GET", "/ui/session")).json["ui"] == "read"
    assert (await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")).status == 200


@set_to(base_path="/titan/x")
@pytest.mark.parametrize("before", ["", "/titan/x"])
async def test_base_path_that_a_proxy_removes_or_not(http: Http, before: str) -> None:
    """Pages, assets and the API answer with the base path and without it, and the shell always names it."""
    shell = await http("GET", f"{before}/ui/groups/g")
    assert '<base href="/titan/x/">' in shell.text
    assert (await http("GET", f"{before}/ui/static/{assets().version}/app.js")).status == 200
    for way in ({}, {"Connection": "close"}):
        made = await http("POST", f"{before}/v1/groups/g/jobs", {"jobs": [{"image": "i"}]}, **way)
        assert made.status == 201
        assert (await http("GET", f"{before}/v1/groups/g/jobs/{made.json['jobs'][0]['id']}", **way)).status == 200
        assert (await http("GET", f"{before}/healthz", **way)).status == 200
        assert (await http("GET", f"/titan{before}/healthz", **way)).status == 404
    assert (await http("GET", f"{before}/")).headers["Location"] == "ui/"
    assert (await http("GET", "/titan/x")).headers["Location"] == "x/ui/"


@set_to(trust_proxy=("127.0.0.1",))
@pytest.mark.parametrize(
    ("prefix", "base"),
    [
        ("/a/b", "/a/b/"),
        ("/a/", "/a/"),
        ("", "/"),
        ("a", "/"),
        ("/..", "/"),
        ('/"><script>', "/"),
        ("//evil.example", "/"),
    ],
)
async def test_prefix_that_a_trusted_proxy_names(http: Http, prefix: str, base: str) -> None:
    """The shell's addresses have the path that the proxy took away; a value that is no path counts as none."""
    assert f'<base href="{base}">' in (await http("GET", "/ui/", X_Forwarded_Prefix=prefix)).text


async def test_prefix_of_a_stranger(http: Http) -> None:
    """Without --trust-proxy the header is ignored."""
    assert '<base href="/">' in (await http("GET", "/ui/", X_Forwarded_Prefix="/a")).text


@set_to(trust_proxy=("127.0.0.1",), base_path="/t")
async def test_prefix_beside_a_base_path(http: Http) -> None:
    """A proxy that names the base path, removed or not, adds nothing to it; another prefix stands before it."""
    for path, prefix, base in (
        ("/ui/", "/t", "/t/"),
        ("/t/ui/", "/t", "/t/"),
        ("/t/ui/", "/a", "/a/t/"),
        ("/ui/", "/a", "/a/"),
    ):
        assert f'<base href="{base}">' in (await http("GET", path, X_Forwarded_Prefix=prefix)).text


async def test_pages_are_no_part_of_the_api(http: Http) -> None:
    """The description of the API has no page."""
    paths = (await http("GET", "/v1/openapi.json")).json["paths"]
    assert [path for path in paths if path.startswith("/ui") or path == "/"] == []


async def test_open_broker_needs_no_login(http: Http) -> None:
    """At a broker without tokens everybody may do everything, and the login leads to the pages."""
    visit = (await http("GET", "/ui/session")).json
    assert visit == {
        "scopes": ["produce", "consume", "read", "admin"], "groups": ["*"], "ui": "full", "is_open": True,
    }  # fmt: skip
    reply = await http.form("/ui/login", "token=x")
    assert (reply.status, reply.headers["Location"]) == (303, "./")


async def test_page_by_another_method(http: Http) -> None:
    """A page only reads: another method is a 405 that says what there is."""
    reply = await http("POST", "/ui/groups")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
