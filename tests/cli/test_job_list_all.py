"""`titan job list` without a group, and what its columns say."""

import re

import pytest

from tests.cli.live import BrokerThread, Titan


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Titan:
    """`titan` with a broker of its own, that has no other jobs."""
    broker = BrokerThread(tmp_path_factory.mktemp("logs"))
    broker.start()
    request_titan = Titan(broker.url)
    yield request_titan
    broker.stop()


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a table; its cells have the columns' positions."""
    head, *lines = text.splitlines()
    starts = [(found[0], found.start()) for found in re.finditer(r"\S+", head)]
    ends = [start for _, start in starts[1:]] + [None]
    return [{name: row[start:end].strip() for (name, start), end in zip(starts, ends, strict=True)} for row in lines]


def test_all_groups_newest_first(alone: Titan) -> None:
    """Without a group the jobs of all groups are listed, the newest first, and the rows have their groups."""
    made = [(alone.made(name), name) for name in ("b", "a", "b", "c", "a")]
    found = [(row["ID"], row["GROUP"]) for row in rows(alone("job", "list").out)]
    assert found == made[::-1]
    assert [(row["ID"], row["GROUP"]) for row in rows(alone("job", "list", "--oldest").out)] == made
    assert [job["id"] for job in alone("job", "list", "--json").json["jobs"]] == [job_id for job_id, _ in made[::-1]]


def test_all_groups_with_a_limit(alone: Titan) -> None:
    """-n is of all groups together; stderr says that there are more."""
    made = [alone.made(name) for name in ("b", "a", "b", "c", "a")]
    listed = alone("job", "list", "-n", "3")
    assert [row["ID"] for row in rows(listed.out)] == made[:1:-1]
    assert "There are more" in listed.err
    assert alone("job", "list", "-n", "5").err == ""
    assert len(rows(alone("job", "list", "--all").out)) == 5


def test_all_groups_by_status(alone: Titan) -> None:
    """Several statuses are one list by time of creation."""
    first, second, third, last = (alone.made(name) for name in ("a", "b", "a", "b"))
    alone("job", "cancel", "b", second)
    alone("job", "cancel", "a", third)
    found = rows(alone("job", "list", "--status", "queued", "--status", "cancelled").out)
    assert [row["ID"] for row in found] == [last, third, second, first]
    found = rows(alone("job", "list", "--status", "cancelled").out)
    assert [row["ID"] for row in found] == [third, second]


def test_all_groups_of_none(alone: Titan) -> None:
    """A broker without groups has an empty list."""
    assert alone("job", "list") == (0, "", "")
    assert alone("job", "list", "--json").json == {"jobs": []}


def test_all_groups_wrong_options(alone: Titan) -> None:
    """A cursor belongs to a group; a watch needs a terminal, and prints no JSON."""
    for words in (("--cursor", "x"), ("--watch",), ("--watch", "--json")):
        assert alone("job", "list", *words).code == 2


def test_attempts_and_runs(titan: Titan, group: str) -> None:
    """Rows say which attempt a job is, when a delayed one is due, how long it ran and where."""
    titan.made(group, "--max-retries", "2", "--retries-delay", "2h")
    job = titan.taken(group)
    titan("job", "fail", group, job["id"], "--lease", job["lease"], "--reason", "bad_exit")
    first, second = rows(titan("job", "list", group).out)
    assert (first["ATTEMPT"], first["STATUS"], first["REASON"]) == ("1/3", "failed", "bad_exit")
    assert re.fullmatch(r"\d+(\.\d)?s", first["TOOK"])
    assert (second["ATTEMPT"], second["STATUS"], second["TOOK"]) == ("2/3", "delayed", "")
    assert second["WHEN"] in {"in 1h", "in 2h"}


def test_attempts_whose_first_is_deleted(titan: Titan, group: str) -> None:
    """A chain whose beginning is gone counts the jobs that are kept, with a plus."""
    titan.made(group, "--max-retries", "1", "--retries-delay", "2h")
    job = titan.taken(group)
    titan("job", "fail", group, job["id"], "--lease", job["lease"])
    titan("job", "delete", group, job["id"])
    (row,) = rows(titan("job", "list", group).out)
    assert row["ATTEMPT"] == "2+/2+"


def test_payload_is_cut(titan: Titan, group: str) -> None:
    """A long payload is cut in a pipe too, except with --wide, where times are RFC 3339."""
    titan.made(group, "--payload", "x" * 200)
    (row,) = rows(titan("job", "list", group).out)
    assert row["PAYLOAD"] == "x" * 59 + "…"
    (row,) = rows(titan("job", "list", group, "--wide").out)
    assert row["PAYLOAD"] == "x" * 200
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*Z", row["WHEN"])


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_table_fits_the_terminal(titan: Titan, group: str, width: int) -> None:
    """On a terminal each job is one row, no row is wider than it, and ids and statuses are whole."""
    ids = [titan.made(group, "--payload", "x" * 200, "--image", "registry.example.com/a/long/name:1") for _ in range(3)]
    shown = titan.on_terminal("job", "list", group, columns=width)
    head, *lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").splitlines()
    assert [line.split()[:2] for line in lines] == [[job_id, "queued"] for job_id in ids]
    assert all(len(line) <= width for line in (head, *lines))
    assert ("PAYLOAD" in head) == (width >= 80)
    assert ("…" in lines[0]) == (width > 40)


def test_no_color(titan: Titan, group: str) -> None:
    """Statuses have colours on a terminal, unless NO_COLOR is set."""
    titan.made(group, "--delay", "1h")
    assert "\x1b[35mdelayed" in titan.on_terminal("job", "list", group)
    assert "\x1b[35m" not in titan.on_terminal("job", "list", group, NO_COLOR="1")
