"""Which pages the documentation has, and in which order."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

FIRST = "index"
TUTORIAL = "tutorial"
CHAPTERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", (FIRST, "start", TUTORIAL, "concepts")),
    ("Use", ("howto", "failures", "schedules", "results", "run-a-worker", "worker", "compare")),
    (
        "Operate",
        (
            "operate",
            "run-a-broker",
            "install",
            "configure",
            "secure",
            "dashboard",
            "observe",
            "scale",
            "performance",
            "proxy",
            "dialect-2016",
            "upgrade",
            "move",
            "backup",
            "runbook",
        ),
    ),
    ("Reference", ("http", "cli", "settings", "errors", "metrics", "keys")),
)
"""The chapters, each with the names of its pages. All pages are in this folder but the tutorial."""
NAMES: tuple[str, ...] = tuple(name for _, names in CHAPTERS for name in names)


class Source(NamedTuple):
    """The text of a page, and where its pictures are: a path below the files of the dashboard, '' for none."""

    text: str
    pictures: str = ""


@cache
def source(name: str) -> Source:
    """The text of a page. Raises KeyError for a name that is not in the list, OSError if it cannot be read."""
    if name not in NAMES:
        raise KeyError(name)
    if name == TUTORIAL:
        path = files("broker.http.ui") / TUTORIAL / f"{TUTORIAL}.md"
        return Source(path.read_text("utf-8"), f"{TUTORIAL}/")
    return Source((files("broker.docs") / f"{name}.md").read_text("utf-8"))


@cache
def title(name: str) -> str:
    """The first heading of a page."""
    return source(name).text.partition("\n")[0].removeprefix("# ").strip()
