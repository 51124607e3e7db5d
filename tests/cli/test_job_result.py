"""`titan job result`, and `titan job enqueue --wait`."""

import json

from tests.cli.live import Titan


def test_result(titan: Titan, group: str) -> None:
    """The result of a job that succeeded is JSON on one line; with --json it is indented. None is null."""
    made, empty = titan.made(group), titan.made(group)
    for job_id, words in ((made, ("--result", '{"pages": [1, 2]}')), (empty, ())):
        lease = titan.taken(group)["lease"]
        assert titan("job", "succeed", group, job_id, "--lease", lease, *words).code == 0
    found = titan("job", "result", group, made)
    assert (found.code, found.out) == (0, '{"pages":[1,2]}\n')
    assert json.loads(titan("job", "result", group, made, "--json").out) == {"pages": [1, 2]}
    assert titan("job", "result", group, empty).out == "null\n"
    shown = titan("job", "show", group, made)
    assert '{"pages":[1,2]}' in shown.out
    assert titan("job", "show", group, made, "--json").json["job"]["result"] == {"pages": [1, 2]}


def test_result_of_a_job_without_one(titan: Titan, group: str) -> None:
    """The exit code tells a job that failed or does not exist from one that is not finished."""
    failed, queued = titan.made(group), titan.made(group)
    lease = titan.taken(group)["lease"]
    titan("job", "fail", group, failed, "--lease", lease, "--reason", "bad_exit")
    found = titan("job", "result", group, failed)
    assert (found.code, found.out, found.err) == (1, "", f"{failed} has no result: it is failed, bad_exit\n")
    found = titan("job", "result", group, queued, "--wait", "1")
    assert (found.code, found.err) == (124, f"{queued} has no result: it is queued\n")
    assert titan("job", "result", group, "0" * 16).code == 1


def test_enqueue_and_wait(titan: Titan, group: str) -> None:
    """The job is printed as it is at the end of the wait; it is for one job only."""
    waited = titan("job", "enqueue", group, "--image", "x", "--wait", "1")
    assert (waited.code, waited.out.split()[1]) == (0, "queued")
    assert titan("job", "enqueue", group, "--ndjson", "-", "--wait", "1", stdin='{"image":"x"}').code == 2
