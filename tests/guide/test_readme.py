"""The sessions of the pages, run as they are printed, against what README's first command starts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import LIMIT_S, ROOT, Step, run, running_up, save_files, steps

TUTORIAL = "broker/http/ui/tutorial/tutorial.md"
PAGES = {
    "README.md": 12,
    "broker/README.md": 20,
    "lua/README.md": 9,
    TUTORIAL: 25,
    "broker/docs/start.md": 15,
    "broker/docs/concepts.md": 4,
    "broker/docs/howto.md": 12,
    "broker/docs/upgrade.md": 1,
}
"""The pages, and how many commands each has at least."""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[int]:
    """`titan up` in an empty folder; its port."""
    with running_up(tmp_path) as port:
        yield port


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("page", PAGES)
def test_the_session_prints_what_the_page_says(up: int, tmp_path: Path, page: str) -> None:
    """Every command of a page's sessions, in one shell, prints what the page shows."""
    session = [step for step in steps(ROOT / page) if can_run(step)]
    assert len(session) >= PAGES[page]
    save_files(ROOT / page, tmp_path)
    for step, text in zip(session, run(session, tmp_path, up), strict=True):
        assert step.printed(text), f"{page}\n$ {step.command}\n{text}\nthe page: {step.output}"


def can_run(step: Step) -> bool:
    """Whether this machine has what the command needs."""
    return not step.command.startswith("node ") or shutil.which("node") is not None


def test_readme_is_short() -> None:
    """The first page is read to its end: what is deeper stands in the pages that it names."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 165
