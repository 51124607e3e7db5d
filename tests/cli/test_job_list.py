"""`titan job list`."""

import pytest

from broker.models.jobs import JobsWrapper
from tests.cli.live import Titan

JOBS = 5


@pytest.fixture
def ids(titan: Titan, group: str) -> list[str]:
    """The ids of a few jobs, in order; the first is cancelled."""
    made = [titan.made(group) for _ in range(JOBS)]
    titan("job", "cancel", group, made[0])
    return made


def test_list_table(titan: Titan, group: str, ids: list[str]) -> None:
    """Jobs are rows under the columns' names, oldest first."""
    head, *rows = titan("job", "list", group).out.splitlines()
    assert " ".join(head.split()) == "ID STATUS IMAGE ATTEMPT WHEN DEADLINE TOOK WORKER REASON PAYLOAD"
    assert [row.split()[0] for row in rows] == ids
    assert rows[0].split()[1:3] == ["cancelled", "hello"]
    assert rows[0].split()[-1] == "client_request"


def test_list_unknown_group(titan: Titan, group: str) -> None:
    """A group that does not exist is refused in the words of `group show`; one without such jobs has an empty list."""
    for words in ((), ("--json",), ("--status", "failed")):
        assert titan("job", "list", group, *words) == titan("group", "show", group)
        assert titan("job", "list", group, *words) == (1, "", "Error: There is no such group.\n")
    titan("group", "set", group, "--image", "hello")
    assert titan("job", "list", group) == (0, "", "")
    assert titan("job", "list", group, "--json").json == {"jobs": []}


def test_list_status(titan: Titan, group: str, ids: list[str]) -> None:
    """--status picks the jobs of one status."""
    listed = titan("job", "list", group, "--status", "cancelled", "--json").json
    assert [job["id"] for job in listed["jobs"]] == ids[:1]


def test_list_without_a_match(titan: Titan, group: str, ids: list[str]) -> None:
    """An empty list with filters has a line on stderr; a list with jobs has none."""
    assert titan("job", "list", group, "--status", "failed") == (0, "", "No job matches.\n")
    assert titan("job", "list", group, "--image", "nope") == (
        0,
        "",
        f"No job matches.\n{JOBS} of {JOBS} jobs were read.\n",
    )
    first = titan("job", "list", group, "--image", "nope", "--looks", "1")
    assert first.err.splitlines()[-2:] == ["No job matches so far.", f"1 of {JOBS} jobs were read."]
    assert titan("job", "list", group, "--status", "cancelled").err == ""


def test_list_filters_in_an_empty_group(titan: Titan, group: str) -> None:
    """A list of a group without jobs has no count."""
    titan("group", "set", group, "--image", "hello")
    assert titan("job", "list", group, "--image", "nope") == (0, "", "No job matches.\n")


def test_list_newest(titan: Titan, group: str, ids: list[str]) -> None:
    """--newest turns the order round."""
    listed = titan("job", "list", group, "--newest", "--json").json
    assert [job["id"] for job in listed["jobs"]] == ids[::-1]


def test_list_created_after(titan: Titan, group: str, ids: list[str]) -> None:
    """--created-after takes the API's times and times in words; a wrong one is refused with the option's name."""
    created_at = titan("job", "show", group, ids[-1], "--json").json["job"]["created_at"]
    assert titan("job", "list", group, "--created-after", created_at, "--json").json == {"jobs": []}
    assert len(titan("job", "list", group, "--created-after", "yesterday", "--json").json["jobs"]) == JOBS
    assert titan("job", "list", group, "--created-before", "1 hour ago", "--json").json == {"jobs": []}
    refused = titan("job", "list", group, "--created-after", "blue")
    assert refused.code == 2
    assert "--created-after" in refused.err


def test_list_more(titan: Titan, group: str, ids: list[str]) -> None:
    """An incomplete list prints its cursor on stderr, and continues at that cursor."""
    first = titan("job", "list", group, "-n", "2")
    assert [row.split()[0] for row in first.out.splitlines()[1:]] == ids[:2]
    cursor = first.err.split("--cursor ")[1].strip()
    rest = titan("job", "list", group, "--cursor", cursor, "--json").json
    assert [job["id"] for job in rest["jobs"]] == ids[2:]


def test_list_more_json(titan: Titan, group: str, ids: list[str]) -> None:
    """As JSON, the cursor follows the jobs."""
    first = titan("job", "list", group, "-n", "2", "--json").json
    assert [job["id"] for job in first["jobs"]] == ids[:2]
    assert first["cursor"]


@pytest.mark.parametrize("newest", [[], ["--newest"]])
def test_list_all(titan: Titan, group: str, newest: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--all follows the cursors to the end."""
    monkeypatch.setattr("broker.cli.job.list.MAX_JOBS", 2)
    made = [titan.made(group) for _ in range(JOBS)]
    listed = titan("job", "list", group, "--all", *newest)
    assert [row.split()[0] for row in listed.out.splitlines()[1:]] == made[:: -1 if newest else 1]
    assert listed.err == ""
    assert len(titan("job", "list", group, "--all", "--json").json["jobs"]) == JOBS


def test_list_several_statuses(monkeypatch: pytest.MonkeyPatch, titan: Titan, group: str, ids: list[str]) -> None:
    """--status given more than once asks for the jobs in any of them, each once."""
    asked: list[object] = []

    async def answer(_: object, __: str, parameters: list[tuple[str, object]]) -> JobsWrapper:
        asked.extend(value for name, value in parameters if name == "status")
        return JobsWrapper([])

    monkeypatch.setattr("worker.client.Client.look", answer)
    titan("job", "list", group, "--status", "queued", "--status", "failed", "--status", "queued")
    assert asked == ["queued", "failed"]
