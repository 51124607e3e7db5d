"""The reference pages say what the code does now."""

import re

import pytest

from broker.core.errors import ERRORS
from broker.http.routes import ROUTES
from tests.api.client import Http
from tests.cli.live import Titan
from tests.cli.tree import commands
from tests.docs.reference import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_up_to_date(name: str) -> None:
    """Each page is what `python -m tests.docs` would write. Run that after a change of the code."""
    assert (FOLDER / f"{name}.md").read_text("utf-8") == PAGES[name]()


def test_page_of_commands_has_their_help(titan: Titan) -> None:
    """The page has the help of each command as a terminal shows it."""
    page = (FOLDER / "cli.md").read_text("utf-8")
    blocks = dict(re.findall(r"^#+ titan([^\n]*)\n\n```text\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL))
    assert {tuple(words.split()) for words in blocks} >= {words for words, _ in commands()}
    for words in ("job enqueue", "group set", "up"):
        shown = titan(*words.split(), "--help", COLUMNS="102").out
        # Without spaces: where a line breaks is of the terminal.
        assert "".join(blocks[f" {words}"].split()) == "".join(shown.split()).replace("Usage:main", "Usage:titan")


def test_every_error_has_an_anchor() -> None:
    """A program can link each error by its code."""
    page = (FOLDER / "errors.md").read_text("utf-8")
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == {error.word.lower() for error in ERRORS}


async def test_error_names_its_page(http: Http) -> None:
    """The body of an error leads to a heading of the page of errors, at the broker that sent it."""
    [job] = await http.enqueue()
    for method, path in (("GET", "/v1/groups/x/jobs/0000000000000000"), ("DELETE", f"/v1/groups/g/jobs/{job['id']}")):
        error = (await http(method, path)).json["error"]
        page, _, anchor = error["doc"].partition("#")
        assert anchor == error["code"]
        assert f'<h2 id="{anchor}"' in (await http("GET", page)).text


def test_every_call_has_an_anchor_and_an_example() -> None:
    """Each call of the API has a heading and is shown in three languages."""
    page = (FOLDER / "http.md").read_text("utf-8").partition("\n## Bodies")[0]
    parts = {part.partition("\n")[0]: part for part in page.split("\n### ")[1:]}
    assert set(parts) == {route.verb for route in ROUTES}
    for part in parts.values():
        assert re.findall(r"^```(\w+) choice$", part, re.MULTILINE) == ["sh", "python", "javascript"]


async def test_page_of_metrics_has_what_a_broker_shows(http: Http) -> None:
    """Each metric of a running broker is in the page, with its type."""
    shown = re.findall(r"^# TYPE (\w+) (\w+)$", (await http("GET", "/metrics")).text, re.MULTILINE)
    page = (FOLDER / "metrics.md").read_text("utf-8")
    assert len(shown) > 10
    assert [row for row in shown if f"| `{row[0]}` | {row[1]} |" not in page] == []


def test_the_page_of_keys_says_which_keys() -> None:
    """Jobs have keys too, so the title says whose keys these are, and the first lines lead to the others."""
    title, first, *_ = (FOLDER / "keys.md").read_text("utf-8").split("\n\n")
    assert title == "# Keys of the store"
    assert re.findall(r"\(howto\.md#([a-z-]+)\)", first) == ["a-limit-for-each-tenant", "one-job-for-a-key"]
