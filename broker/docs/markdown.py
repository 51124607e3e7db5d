"""Markdown as HTML that the dashboard's Content-Security-Policy allows: no markup of the text, styles or scripts."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from broker.docs.contents import NAMES

BROKER = "http://127.0.0.1:8080"
"""How the pages write the address of a broker; a link to it becomes a link to this one."""
_PAGE = re.compile(r"(?:[\w./-]*/)?([\w-]+)\.md(#[\w-]+)?")
_PROMPT = re.compile(r"^\$ ", re.MULTILINE)
_CHOICE = "choice"
"""The word after a block's language: neighbours with it say the same in several languages."""


class Heading(NamedTuple):
    """A heading of a page. `level` is 1 to 6."""

    level: int
    anchor: str
    text: str


class Section(NamedTuple):
    """A heading and the text below it, without markup, for search."""

    heading: Heading
    text: str


class Rendered(NamedTuple):
    """A page as HTML, and its parts."""

    html: str
    sections: tuple[Section, ...]


def render(text: str, pictures: str) -> Rendered:
    """A page as HTML. `pictures`: the address before the names of its pictures."""
    markdown = _parser()
    tokens = markdown.parse(text)
    sections = _sections(tokens)
    _empty_heads(tokens)
    _group_choices(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {"pictures": pictures})
    return Rendered(html, sections)


def anchor_of(text: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-")


def href_of(target: str) -> str | None:
    """The address of a link; None where it leads to a file of the repository, which a broker does not serve."""
    if target.startswith(BROKER):
        return f"../{target.removeprefix(BROKER).removeprefix('/')}"
    if target.startswith(("https://", "#")):
        return target
    found = _PAGE.fullmatch(target)
    if found is None or found[1] not in NAMES:
        return None
    return f"{found[1] if found[1] != 'index' else './'}{found[2] or ''}"


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    rules = {
        "fence": _fence,
        "heading_open": _heading_open,
        "heading_close": _heading_close,
        "image": _image,
        "link_open": _link_open,
        "link_close": _link_close,
        "table_open": _table_open,
        "table_close": _table_close,
        "th_open": _cell,
        "td_open": _cell,
        "choices_open": _choices_open,
        "choices_close": _choices_close,
    }
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    return markdown


def _sections(tokens: list[Token]) -> tuple[Section, ...]:
    """The page in parts; each heading gets its anchor."""
    found: list[tuple[Heading, list[str]]] = []
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            text = _plain(tokens[at + 1])
            heading = Heading(int(token.tag[1:]), anchor_of(text), text)
            token.meta["anchor"] = heading.anchor
            found.append((heading, []))
        elif found and token.type in {"inline", "fence"} and tokens[at - 1].type != "heading_open":
            found[-1][1].append(_plain(token))
    return tuple(Section(heading, " ".join(" ".join(texts).split())) for heading, texts in found)


def _plain(token: Token) -> str:
    if token.children is None:
        return token.content
    return "".join(child.content or " " * (child.type == "softbreak") for child in token.children)


def _empty_heads(tokens: list[Token]) -> None:
    """A head without text is no head: a screen reader would announce nothing."""
    for at, token in enumerate(tokens):
        if token.type == "th_open" and not tokens[at + 1].content:
            token.tag = tokens[at + 2].tag = "td"


def _group_choices(tokens: list[Token]) -> None:
    """Put blocks that follow each other, and say the same in several languages, into one element."""
    is_choice = [token.type == "fence" and _CHOICE in token.info.split()[1:] for token in tokens]
    for at in range(len(tokens) - 1, -1, -1):
        if is_choice[at] and not any(is_choice[at + 1 : at + 2]):
            tokens.insert(at + 1, Token("choices_close", "div", -1))
        if is_choice[at] and not (at and is_choice[at - 1]):
            tokens.insert(at, Token("choices_open", "div", 1))


_Tokens = Sequence[Token]


def _fence(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del options, env
    language = (tokens[at].info.split() or ["text"])[0]
    content = tokens[at].content.rstrip("\n")
    shown = _session(content) if language == "console" else escape(content, quote=False)
    return f'<figure class="code" data-language="{escape(language)}"><pre tabindex="0">{shown}</pre></figure>\n'


def _session(content: str) -> str:
    """Commands, and what each prints. A line that begins with `> ` continues a command."""
    shown = []
    for part in _PROMPT.split(content)[1:]:
        lines = part.rstrip("\n").split("\n")
        end = next((n for n, line in enumerate(lines) if n and not line.startswith("> ")), len(lines))
        command = "\n".join([lines[0], *(line.removeprefix("> ") for line in lines[1:end])])
        shown.append(f"<kbd>{escape(command, quote=False)}</kbd>")
        if lines[end:]:
            shown.append(f"<samp>{escape(chr(10).join(lines[end:]), quote=False)}</samp>")
    return "\n".join(shown)


def _heading_open(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del options, env
    return f'<{tokens[at].tag} id="{escape(tokens[at].meta["anchor"])}">'


def _heading_close(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del options, env
    token = tokens[at]
    if token.tag == "h1":
        return f"</{token.tag}>\n"
    anchor = tokens[at - 2].meta["anchor"]
    return f' <a class="anchor" href="#{escape(anchor)}" aria-label="Link to this part">#</a></{token.tag}>\n'


def _image(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del options
    token = tokens[at]
    address = escape(env["pictures"] + str(token.attrGet("src")).rpartition("/")[2])
    size = 'width="1280" height="800" loading="lazy" decoding="async"'
    return f'<img class="picture" src="{address}" alt="{escape(token.content)}" {size}>'


def _link_open(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del options
    target = str(tokens[at].attrGet("href"))
    href = href_of(target)
    env["is_link"] = href is not None
    if href is None:
        return f'<span class="file" title="In the source: {escape(target)}">'
    return f'<a href="{escape(href)}" rel="noreferrer">' if href.startswith("https:") else f'<a href="{escape(href)}">'


def _link_close(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del tokens, at, options
    return "</a>" if env["is_link"] else "</span>"


def _table_open(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del tokens, at, options, env
    return '<div class="table-box" tabindex="0" role="group" aria-label="Table"><table>\n'


def _table_close(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del tokens, at, options, env
    return "</table></div>\n"


def _cell(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    """A cell without the style that aligns it, which the policy forbids."""
    del options, env
    return f"<{tokens[at].tag}>"


def _choices_open(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del tokens, at, options, env
    return '<div class="choices">\n'


def _choices_close(_: RendererHTML, tokens: _Tokens, at: int, options: OptionsDict, env: dict[str, Any]) -> str:
    del tokens, at, options, env
    return "</div>\n"
