"""Retry policies by the command line."""

from typing import Any

import pytest

from broker.cli.policies import in_words
from broker.models.retries import Retry
from tests.cli.live import Titan

WHOLE = "max=8,backoff=linear,delay=5,cap=15m,jitter=30,except=bad_input+auth_*,max-age=1d"


def taken(titan: Titan, group: str) -> Any:
    """The next job, with its lease."""
    [job] = titan("job", "next", "--group", group, "--json").json["jobs"]
    return job


def test_enqueue_with_a_policy(titan: Titan, group: str) -> None:
    """Names and values with a comma between them; durations as people write them."""
    [job] = titan("job", "enqueue", group, "--image", "x", "--retry", WHOLE, "--json").json["jobs"]
    assert job["retry"] == {
        "max": 8,
        "backoff": "linear",
        "factor": 2,
        "delay": 5,
        "cap": 900,
        "jitter": 30,
        "except": ["bad_input", "auth_*"],
        "max_age": 86_400,
    }


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ("dealy=3", "did you mean delay?"),
        ("3", "a policy is like max=8"),
        ("max=x", "a number is expected"),
        ("max=1,max=2", "more than once"),
        ("max=101", "retry.max must be a whole number from 0 to 100"),
        ("except=a b", "retry.except[0] must be a reason"),
        ("backoff=never", "retry.backoff must be one of constant, exponential, linear"),
    ],
)
def test_a_policy_that_is_refused(titan: Titan, group: str, policy: str, named: str) -> None:
    """What is wrong is named, before anything is sent."""
    refused = titan("job", "enqueue", group, "--image", "x", "--retry", policy)
    assert refused.code == 2
    assert named in refused.err


def test_fail_and_show(titan: Titan, group: str) -> None:
    """A job that failed says how often, the policy in words, and when it is tried again."""
    titan("job", "enqueue", group, "--image", "x", "--retry", "max=3,delay=1h,jitter=0")
    job = taken(titan, group)
    failed = titan("job", "fail", group, job["id"], "--lease", job["lease"], "--reason", "busy", "--retry-after", "2m")
    assert failed.out == f"{job['id']} delayed\n"
    shown = titan("job", "show", group, job["id"]).out
    assert "attempts" in shown
    assert "up to 3 times, after 1 h, then each time 2 times as long, at most 1 h" in shown
    assert "It failed 1 time, last with busy, and is tried again in " in shown
    assert "tried again" in titan("job", "why", group, job["id"]).out
    assert "busy" in titan("job", "history", group, job["id"]).out


def test_fail_for_good_and_list_the_dead(titan: Titan, group: str) -> None:
    """--no-retry ends a job, and `list --dead` has it."""
    titan("job", "enqueue", group, "--image", "x", "--retry", "max=3")
    job = taken(titan, group)
    titan("job", "fail", group, job["id"], "--lease", job["lease"], "--no-retry")
    assert [one["id"] for one in titan("job", "list", group, "--dead", "--json").json["jobs"]] == [job["id"]]


def test_a_group_with_a_policy(titan: Titan, group: str) -> None:
    """`group set` takes a policy, `group show` has it in words, and --unset removes it."""
    titan("group", "set", group, "--retry", "max=5,delay=10")
    assert "up to 5 times" in titan("group", "show", group).out
    assert titan("group", "show", group, "--json").json["group"]["retry"]["max"] == 5
    titan("group", "set", group, "--unset", "retry")
    assert "retry" not in titan("group", "show", group, "--json").json["group"]


@pytest.mark.parametrize(
    ("retry", "words"),
    [
        (Retry(max=0), "never"),
        (Retry(max=1, backoff="constant", jitter=0), "up to 1 time, after 10 s"),
        (
            Retry(backoff="linear", only=("busy",), max_age=86_400),
            (
                "up to 5 times, after 10 s, then each time as much longer, at most 1 h (±20 %); only after busy; "
                "not later than 1 d after its creation"
            ),
        ),
        (
            Retry(factor=1.5, except_=("bad_input", "auth_*")),
            (
                "up to 5 times, after 10 s, then each time 1.5 times as long, at most 1 h (±20 %); "
                "not after bad_input, auth_*"
            ),
        ),
    ],
)
def test_in_words(retry: Retry, words: str) -> None:
    """A policy in words says all of it."""
    assert in_words(retry) == words
