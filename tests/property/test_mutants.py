"""The model is worth something: with one line of one script broken, the difference is found."""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from broker.core.errors import TitanError
from broker.resp.script_source import SCRIPTS
from tests.property.machine import GROUP, LIMITS, OLD_CHANGES, OLD_JOBS, OLD_SETTINGS
from tests.property.test_machine import SEARCH, FakeMachine

MUTANTS = {
    "next forgets the room of a group": ("next", "math.min(n, k + group.room)", "n"),
    "a stale token finishes a job": ("finish", "if execution and (is_any_token or", "if execution and (true or"),
    "a lost job has deliveries without end": (
        "reap",
        "n_lost >= tonumber(delivery_limit or DELIVERY_LIMIT)",
        "false",
    ),
    "the policy of the group is forgotten": ("finish", "not settings.max_retries and default or nil", "nil"),
    "the reaper is a millisecond late": (
        "reap",
        "now - retention_s * 1000, 'LIMIT'",
        "now - retention_s * 1000 - 1, 'LIMIT'",
    ),
    "a timer is never set": ("enqueue", "'delayed:' .. group\n  end", "'queued:' .. group\n  end"),
    "a running job takes no room": ("enqueue", " + call('ZCARD', set_key(p, group, 'running'))", ""),
    "bytes are bounded as jobs are": ("enqueue", "sum + bytes > max_bytes", "sum >= max_bytes"),
    "a finished job keeps its bytes": ("cancel", "  subtract_bytes(p, group, ids)\n", ""),
    "a bucket is never full again": ("next", "math.max(math.min(empty_at, now)", "math.min(math.min(empty_at, now)"),
    "remove forgets the log": ("remove", "if has[1] then logs", "if has[3] then logs"),
}


class Quick(FakeMachine):
    """Leaves out `titan check` after each call: what is broken differs from the model, and is found much sooner.

    So are policies and deadlines of jobs, and dead letters: the contract tests break the scripts of those.
    """

    fail_as_said = read_modes = None

    @initialize(limits=LIMITS, settings=OLD_SETTINGS)
    def open(self, limits, settings):
        """A group, with settings as they always were."""
        super().open(limits, settings)

    @rule(group=GROUP, jobs=st.lists(OLD_JOBS, min_size=1, max_size=4))
    def enqueue(self, group, jobs):
        """New jobs as they always were."""
        super().enqueue(group, jobs)

    @precondition(lambda self: self.configured < 4)
    @rule(group=GROUP, settings=OLD_SETTINGS)
    def configure(self, group, settings):
        """Settings as they always were."""
        super().configure(group, settings)

    @precondition(lambda self: self.configured < 8)
    @rule(group=GROUP, changes=st.fixed_dictionaries({}, optional=OLD_CHANGES))
    def adjust(self, group, changes):
        """Some of them change."""
        super().adjust(group, changes)

    def is_sound(self):
        """Not looked at."""


DIFFERENCES = (AssertionError, TitanError, TypeError, KeyError)
"""Not of one mind; the script fails; a job is not in the queue, or was not made, where it must be."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", MUTANTS)
def test_model_finds_a_broken_script(name, monkeypatch):
    """A script without one of its guards does not agree with the model."""
    verb, right, wrong = MUTANTS[name]
    script = SCRIPTS[verb]
    assert right in script.plain
    monkeypatch.setitem(SCRIPTS, verb, script._replace(plain=script.plain.replace(right, wrong)))
    search = settings(
        SEARCH,
        max_examples=150,
        stateful_step_count=80,
        phases=[Phase.generate],
        derandomize=True,
        report_multiple_bugs=False,
    )
    with pytest.raises(DIFFERENCES):
        run_state_machine_as_test(Quick, settings=search)
