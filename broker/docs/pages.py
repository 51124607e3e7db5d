"""The documents that a browser gets: pages in their frame, and the index for search."""

from functools import cache
from html import escape
from string import Template

import msgspec

from broker.docs.contents import CHAPTERS, FIRST, NAMES, TUTORIAL, source, title
from broker.docs.markdown import Heading, Rendered, render

_FRAME = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title · Titan</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="../$static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../$static/app.css">
<link rel="stylesheet" href="../$static/docs.css">
<script type="module" src="../$static/docs.js"></script>
</head>
<body class="docs-body">
<header class="top">
<a class="skip" href="#docs-page">Skip to the page</a>
<a class="logo" href="./" aria-label="Titan"><svg viewBox="0 0 16 16" aria-hidden="true">\
<rect width="16" height="16" rx="4"></rect><path d="M4 5h8M8 5v7M4 8.5h2M10 8.5h2"></path></svg><span>Titan</span></a>
<nav class="nav" aria-label="Parts of Titan"><a href="../ui/">Dashboard</a><a href="./" aria-current="true">Docs</a>\
<a class="calls" href="../ui/docs">Try the API</a></nav>
<form class="finder" role="search" hidden><input type="search" id="docs-search" placeholder="Search the docs" \
aria-label="Search the docs" autocomplete="off" spellcheck="false"><kbd aria-hidden="true">/</kbd></form>
<div class="tools"></div>
</header>
<div class="found" role="status" aria-live="polite"></div>
<div class="docs">
<main id="docs-page">
<article class="paper">
$body</article>
<nav class="turn" aria-label="Next pages">$turn</nav>
</main>
$inside<nav class="contents" aria-label="Pages">
$contents</nav>
</div>
</body>
</html>
""")
_LOST = "<h1>No such page</h1>\n<p>The documentation has no page at this address. The list has all pages.</p>\n"


class Entry(msgspec.Struct, frozen=True):
    """A part of a page in the index for search. `anchor` is '' for its beginning."""

    page: str
    title: str
    anchor: str
    heading: str
    text: str


@cache
def page(name: str, static: str) -> str:
    """A page as a whole document. `static`: the path of the dashboard's files. Raises KeyError for an unknown name."""
    found = _rendered(name, f"../{static}/")
    headings = [section.heading for section in found.sections]
    return _framed(name, title(name), found.html, static, _inside(headings))


def lost(static: str) -> str:
    """The document for an address that has no page."""
    return _framed("", "No such page", _LOST, static, "")


@cache
def index() -> bytes:
    """The index for search: JSON, a list of entries, in the order of the pages."""
    entries = [
        Entry(name, title(name), heading.anchor if heading.level > 1 else "", heading.text, text)
        for name in NAMES
        for heading, text in _rendered(name, "").sections
    ]
    return msgspec.json.encode(entries)


def _rendered(name: str, before: str) -> Rendered:
    found = source(name)
    return render(found.text, before + found.pictures)


def _framed(name: str, heading: str, body: str, static: str, inside: str) -> str:
    return _FRAME.substitute(
        title=escape(heading),
        static=static,
        body=body,
        inside=inside,
        contents=_contents(name),
        turn=_turn(name),
    )


def _address(name: str) -> str:
    return "./" if name == FIRST else name


def _link(name: str, *, is_here: bool = False) -> str:
    mark = ' aria-current="page"' if is_here else ""
    return f'<a href="{_address(name)}"{mark}>{escape(_short(name))}</a>'


def _short(name: str) -> str:
    """What the list of the pages calls a page."""
    return "Contents" if name == FIRST else "Tutorial" if name == TUTORIAL else title(name)


def _contents(here: str) -> str:
    return "".join(
        f"<h2>{escape(chapter)}</h2>\n<ul>\n"
        + "".join(f"<li>{_link(name, is_here=name == here)}</li>\n" for name in names)
        + "</ul>\n"
        for chapter, names in CHAPTERS
    )


def _inside(headings: list[Heading]) -> str:
    """The list of a page's parts; nothing for a page that has fewer than two."""
    parts = [heading for heading in headings if heading.level == 2]
    if len(parts) < 2:
        return ""
    rows = "".join(f'<li><a href="#{escape(part.anchor)}">{escape(part.text)}</a></li>\n' for part in parts)
    return f'<nav class="inside" aria-label="On this page">\n<h2>On this page</h2>\n<ul>\n{rows}</ul>\n</nav>\n'


def _turn(name: str) -> str:
    """Links to the page before and the page after, and to the list, which is below the page on a narrow screen."""
    at = NAMES.index(name) if name in NAMES else -1
    before = f'<span class="before">← {_link(NAMES[at - 1])}</span>' if at > 0 else ""
    after = f'<span class="after">{_link(NAMES[at + 1])} →</span>' if -1 < at < len(NAMES) - 1 else ""
    return before + after
