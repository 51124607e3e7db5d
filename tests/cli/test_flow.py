"""`titan flow`, `titan job tree` and `titan unique`."""

from pathlib import Path

import pytest

from tests.cli.live import Titan
from worker.client import Client

FLOW = """
[[jobs]]
ref = "pull"
image = "pull"

[[jobs]]
ref = "thumb"
image = "thumb"
after = ["pull"]

[[jobs]]
ref = "text"
image = "text"
after = ["pull"]

[[jobs]]
image = "publish"
after = ["thumb", "text"]
unique = { key = "doc-7" }
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A file with a diamond."""
    file = tmp_path / "flow.toml"
    file.write_text(FLOW, "utf-8")
    return file


def test_flow_run_and_tree(titan: Titan, group: str, flow: Path) -> None:
    """A line a job with its ref and its state; the tree has each job once with its parents."""
    ran = titan("flow", "run", group, str(flow))
    assert ran.code == 0
    lines = [line.split(" ", 1) for line in ran.out.splitlines()]
    assert [text for _, text in lines] == [
        "pull queued",
        "thumb delayed, after 1 job",
        "text delayed, after 1 job",
        "publish delayed, after 2 jobs",
    ]
    pull, thumb, text, publish = [job_id for job_id, _ in lines]
    wanted = [
        f"{publish} publish delayed, after 2 jobs",
        f"  {thumb} thumb delayed, after 1 job",
        f"    {pull} pull queued",
        f"  {text} text delayed, after 1 job",
        f"    {pull} pull queued",
    ]
    for command in (("job", "tree"), ("flow", "show")):
        assert titan(*command, group, publish).out.splitlines() == wanted
    first, *others = titan("job", "tree", group, publish, "--json").json["jobs"]
    assert (first["id"], first["needs"], set(first["parents"])) == (publish, 2, {thumb, text})
    assert {job["id"] for job in others} == {pull, thumb, text}


@pytest.mark.parametrize(
    ("command", "text", "fault"),
    [
        (
            "flow run",
            '[[jobs]]\nimage = "pull"\nafer = ["thumb"]',
            "There is no field afer in jobs[0]; did you mean after?",
        ),
        ("flow run", '[[jobs]]\nimage = "pull"\nafter = "thumb"', "jobs[0].after must be a list of at most 100 items."),
        ("batch new", '[on_end]\nimage = "pull"', "There is no field on_end; known are "),
        ("batch new", '[[jobs]]\nimge = "pull"', "There is no field imge in jobs[0]; did you mean image?"),
    ],
)
def test_a_file_with_a_typing_error(titan: Titan, group: str, flow: Path, command: str, text: str, fault: str) -> None:
    """A misspelt `after` would be a job that waits for nothing, so a name that is no field is refused."""
    flow.write_text(text, "utf-8")
    ran = titan(*command.split(), group, str(flow))
    assert ran.code == 2
    assert f"flow.toml: {fault}" in ran.err.replace("\n", " ")


def test_the_page_of_a_job_that_waits(titan: Titan, group: str, flow: Path) -> None:
    """The page and why say in words for whom it waits, and a job that waits for others has no time yet."""
    pull, thumb, text, publish = [
        job_id for job_id, *_ in map(str.split, titan("flow", "run", group, str(flow)).out.splitlines())
    ]
    shown = titan("job", "show", group, publish).out
    assert ("after", thumb) in {tuple(row.split()) for row in shown.splitlines()}
    rows = {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if len(words) > 1}
    assert (rows["waits_for"], rows["unique"], rows["delay"]) == (["2", "jobs"], ["doc-7"], ["0", "s"])
    assert f"after: {thumb}, {text}" in titan("job", "why", group, publish).out
    assert pull not in shown


def test_a_tree_of_many_jobs_is_one_call(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker follows the ties; the command does not ask for each job."""

    async def find(self: Client, job_id: str) -> None:
        raise AssertionError(job_id)

    monkeypatch.setattr(Client, "find", find)
    ids = [titan("job", "enqueue", group, "--image", "a").out.split()[0] for _ in range(2)]
    last = titan("job", "enqueue", group, "--image", "b", "--after", ids[0], "--after", ids[1]).out.split()[0]
    lines = titan("job", "tree", group, last).out.splitlines()
    assert lines == [f"{last} b delayed, after 2 jobs", f"  {ids[0]} a queued", f"  {ids[1]} a queued"]


def test_flow_run_refuses(titan: Titan, group: str, tmp_path: Path) -> None:
    """A file that is not valid is wrong usage; a ring is refused by the broker, and nothing is made."""
    file = tmp_path / "flow.json"
    file.write_text('{"jobs": 3}', "utf-8")
    assert titan("flow", "run", group, str(file)).code == 2
    file.write_text('{"jobs": [{"ref": "a", "image": "x", "after": ["a"]}]}', "utf-8")
    refused = titan("flow", "run", group, str(file))
    assert refused.code == 1
    assert "a waits for a" in refused.err


def test_flow_retry(titan: Titan, group: str, flow: Path) -> None:
    """The new jobs, and which ones they repeat, also in the tree. What is not finished, or only waited, is refused."""
    pull, *_, last = [line.split()[0] for line in titan("flow", "run", group, str(flow)).out.splitlines()]
    refused = titan("flow", "retry", group, pull)
    assert (refused.code, "queued" in refused.err) == (1, True)
    titan("job", "cancel", group, pull)
    again = titan("flow", "retry", group, pull)
    assert again.out.splitlines()[0].endswith(f" repeats {pull}")
    new = again.first
    assert titan("flow", "show", group, pull).out.splitlines() == [
        f"{pull} pull cancelled, client_request, retried as {new}"
    ]
    assert titan("flow", "show", group, new).out.splitlines() == [f"{new} pull queued, repeats {pull}"]
    old_job, new_job = (titan("flow", "show", group, each, "--json").json["jobs"][0] for each in (pull, new))
    assert (old_job["retried_by"], old_job["retry_at"], new_job["retry_of"]) == (new, new, pull)
    refused = titan("flow", "retry", group, last)
    assert (refused.code, f"titan flow show {group} {last}" in refused.err) == (1, True)


def test_unique(titan: Titan, group: str, flow: Path) -> None:
    """A key is shown, listed and freed; a free one is an error."""
    publish = titan("flow", "run", group, str(flow), "--json").json["jobs"][-1]["id"]
    shown = titan("unique", "show", group, "doc-7", "--json").json["unique"]
    assert shown == {"key": "doc-7", "holder": publish, "status": "delayed"}
    assert titan("unique", "list", group, "--json").json["keys"] == [shown]
    assert f"holder  {publish}" in titan("unique", "free", group, "doc-7").out
    refused = titan("unique", "show", group, "doc-7")
    assert (refused.code, "No job holds this key" in refused.err) == (1, True)
