"""The documentation as a broker serves it: pages, search, sources, and what they may contain."""

import gzip
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.docs import contents, pages
from broker.docs.markdown import anchor_of, href_of, render
from broker.http.ui.assets import assets
from broker.http.ui.headers import POLICY
from tests.api.client import Http
from tests.ui.conftest import set_to

FOLDER = Path(contents.__file__).parent


class Document(HTMLParser):
    """The ids, links and pictures of a page, and what the policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.forbidden: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element has."""
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        self.loads += [values[name] for name in ("src", "href") if name in values and tag in {"link", "script", "img"}]
        self.forbidden += [f"{tag} {name}" for name in values if name == "style" or name.startswith("on")]
        self.forbidden += [tag] if tag == "style" or (tag == "script" and "src" not in values) else []


def test_every_page_is_in_the_contents() -> None:
    """The folder has the pages of the list and no other, and the first page leads to all."""
    assert {path.stem for path in FOLDER.glob("*.md")} == set(contents.NAMES) - {contents.TUTORIAL}
    assert len(set(contents.NAMES)) == len(contents.NAMES)


@pytest.mark.parametrize("name", contents.NAMES)
async def test_page_of_the_documentation(http: Http, name: str) -> None:
    """Each page is a document with the policy of the dashboard. Its links lead to pages, its anchors to headings."""
    reply = await http("GET", f"/docs/{name}")
    assert reply.status == 200
    assert (reply.headers["Content-Type"], reply.headers["Content-Security-Policy"]) == (
        "text/html; charset=utf-8",
        POLICY,
    )
    found = Document(reply.text)
    assert found.forbidden == []
    assert len(set(found.ids)) == len(found.ids), "two headings have the same anchor"
    for load in found.loads:
        version, _, path = load.removeprefix("../ui/static/").partition("/")
        assert (version, path in assets().files) == (assets().version, True), load
    for page, anchor in {target_of(name, link) for link in found.links} - {None}:
        assert page in contents.NAMES, page
        assert anchor in anchors_of(page), f"{page}#{anchor}"


def target_of(name: str, link: str) -> tuple[str, str] | None:
    """The page and the anchor that a link of a page leads to; None for the dashboard and for other sites."""
    target, _, anchor = link.partition("#")
    if target.startswith(("https://", "../")):
        return None
    return (contents.FIRST if target == "./" else target or name), anchor


@cache
def anchors_of(page: str) -> set[str]:
    """The anchors of a page, and '' for its beginning."""
    return {"", *Document(pages.page(page, "s")).ids}


async def test_enter_the_documentation(http: Http) -> None:
    """Its address without a slash leads to the first page; an unknown page is a 404 with the list of all."""
    reply = await http("GET", "/docs")
    assert (reply.status, reply.headers["Location"]) == (303, "docs/")
    assert "<h1" in (await http("GET", "/docs/")).text
    reply = await http("GET", "/docs/no-such-page")
    assert reply.status == 404
    assert 'href="start"' in reply.text


async def test_source_of_a_page(http: Http) -> None:
    """With .md after its name a page is sent as it is written."""
    reply = await http("GET", "/docs/start.md")
    assert reply.text == (FOLDER / "start.md").read_text("utf-8")
    assert reply.headers["Content-Type"].startswith("text/markdown")


async def test_index_for_search(http: Http) -> None:
    """The index has each heading of each page with its text, and is sent compressed to those who take it."""
    reply = await http("GET", "/docs/search.json", Accept_Encoding="gzip")
    assert reply.headers["Content-Encoding"] == "gzip"
    entries: list[dict[str, Any]] = reply.json
    assert {entry["page"] for entry in entries} == set(contents.NAMES)
    [found] = [entry for entry in entries if entry["page"] == "concepts" and entry["anchor"] == "glossary"]
    assert found["title"] == "Concepts"
    assert "fencing token the text by which a late report is recognized" in found["text"]
    assert len(gzip.compress(msgspec.json.encode(entries))) < 200_000


@set_to(base_path="/titan/x")
@pytest.mark.parametrize("before", ["", "/titan/x"])
async def test_documentation_below_a_base_path(http: Http, before: str) -> None:
    """All addresses of a page are relative, so it works below every path."""
    text = (await http("GET", f"{before}/docs/start")).text
    found = Document(text)
    assert not [each for each in (*found.links, *found.loads) if each.startswith("/")]
    assert "<base" not in text


@set_to(ui="off")
async def test_documentation_without_pages(http: Http) -> None:
    """With --ui off there is no documentation either."""
    assert (await http("GET", "/docs/")).status == 404


def test_render_hostile_text() -> None:
    """Markup, scripts and addresses in a page are shown as text."""
    text = "# <b>A</b>\n\n<script>x</script> [a](javascript:alert(1)) [b](//evil) ![c](http://evil/x.webp)\n\n```\n<i>\n```\n"
    html = render(text, "../p/").html
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    assert "&lt;i&gt;" in html
    assert not re.search(r"<(script|b|i)>|href|evil/", html)
    assert 'src="../p/x.webp"' in html


def test_render_a_session() -> None:
    """A session shows commands and what they print apart, and a command of several lines as one."""
    html = render("# A\n\n```console\n$ a <b\n> c\nd\n$ e\n```\n", "").html
    assert "<kbd>a &lt;b\nc</kbd>\n<samp>d</samp>\n<kbd>e</kbd>" in html


def test_render_choices() -> None:
    """Blocks that say the same in several languages are one element, and other blocks stay alone."""
    block = "```{}\nx\n```\n"
    html = render("# A\n\n" + "".join(map(block.format, ["sh", "sh choice", "python choice", "sh"])), "").html
    assert re.findall(r'<div class="choices">|</div>|data-language="\w+"', html) == [
        'data-language="sh"',
        '<div class="choices">',
        'data-language="sh"',
        'data-language="python"',
        "</div>",
        'data-language="sh"',
    ]


def test_render_a_table_that_is_aligned() -> None:
    """Cells have no style, which the policy would refuse."""
    assert "style" not in render("# A\n\n| a |\n| --: |\n| 1 |\n", "").html


@pytest.mark.parametrize(
    ("target", "href"),
    [
        ("concepts.md", "concepts"),
        ("index.md", "./"),
        ("concepts.md#order", "concepts#order"),
        ("#order", "#order"),
        ("../broker/docs/start.md", "start"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("http://127.0.0.1:8080/ui/groups", "../ui/groups"),
        ("http://127.0.0.1:8080", "../"),
        ("http://example.org", None),
        ("../../LICENSE", None),
        ("../../tests/README.md", None),
    ],
)
def test_link_of_a_page(target: str, href: str | None) -> None:
    """A link to a page works in the repository and in a browser; one to another file of the repository is none."""
    assert href_of(target) == href


def test_anchor_of_a_heading() -> None:
    """Anchors are those of GitHub, so that links work there too."""
    assert anchor_of("Leases, timeouts & `touch`_x") == "leases-timeouts--touch_x"


def test_pages_are_rendered_once() -> None:
    """A page is the same object at each request."""
    assert pages.page("start", "s") is pages.page("start", "s")
