"""The sessions of the pages, run as they are printed; most of them against what README's first command starts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import server_program
from tests.deploy.proxies import free_port
from tests.pages import LIMIT_S, ROOT, Step, run, running_up, save_files, steps

OPERATOR = "broker/docs/run-a-broker.md"
TUTORIAL = "broker/http/ui/tutorial/tutorial.md"
PAGES = {
    "README.md": 12,
    "broker/README.md": 22,
    "lua/README.md": 9,
    TUTORIAL: 25,
    "broker/docs/start.md": 15,
    "broker/docs/concepts.md": 4,
    "broker/docs/howto.md": 40,
    "broker/docs/failures.md": 12,
    "broker/docs/results.md": 18,
    "broker/docs/schedules.md": 18,
    "broker/docs/run-a-worker.md": 35,
    "broker/docs/upgrade.md": 1,
    OPERATOR: 45,
}
"""The pages, and how many commands each has at least."""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[int]:
    """`titan up` in an empty folder; its port."""
    with running_up(tmp_path) as port:
        yield port


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("page", [page for page in PAGES if page != OPERATOR])
def test_the_session_prints_what_the_page_says(up: int, tmp_path: Path, page: str) -> None:
    """Every command of a page's sessions, in one shell, prints what the page shows."""
    compare(page, tmp_path, up)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
def test_the_session_of_an_operator_prints_what_the_page_says(tmp_path: Path) -> None:
    """The operator's page, from top to bottom, starts its own broker and Redis, loses the Redis and restores it."""
    server_program("redis")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    compare(OPERATOR, tmp_path, free_port(), free_port())


def compare(page: str, folder: Path, port: int, store_port: int = 6379) -> None:
    """Run the sessions of a page, and compare what each command prints with what the page shows below it."""
    session = [step for step in steps(ROOT / page) if can_run(step)]
    assert len(session) >= PAGES[page]
    save_files(ROOT / page, folder)
    for step, text in zip(session, run(session, folder, port, store_port), strict=True):
        assert step.printed(text), f"{page}\n$ {step.command}\n{text}\nthe page: {step.output}"


def can_run(step: Step) -> bool:
    """Whether this machine has what the command needs."""
    return not step.command.startswith("node ") or shutil.which("node") is not None


def test_readme_is_short() -> None:
    """The first page is read to its end: what is deeper stands in the pages that it names."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 165
