"""How many workers are wanted: the formula, and the sentence that explains it.

Jobs come at a rate, and each takes a worker's slot for the time that it runs: this needs rate * time slots (Little's
law). The backlog needs as many more as finish it within `target_s`.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from broker.core.words import counted
from broker.models.scale import Scale

_EXACT = 1e-6
"""What a sum of fractions may be above a whole number without needing one more."""


class Goal(NamedTuple):
    """What the caller asks for: the backlog is done after `target_s`, and a worker runs `per_worker` jobs at a time."""

    target_s: int = 60
    per_worker: int = 8
    least: int = 0
    most: int = 1000
    ahead_s: int = 30


class Load(NamedTuple):
    """What is known of one group. `limit`: the most jobs that may run at a time, or None. `n_runs`: timed jobs."""

    queued: int = 0
    running: int = 0
    due_soon: int = 0
    arrival: float = 0.0
    run_s: float = 1.0
    oldest_s: float = 0.0
    is_paused: bool = False
    limit: int | None = None

    @property
    def unfinished(self) -> int:
        """The jobs that need a worker now or soon."""
        return self.queued + self.running + self.due_soon

    def wanted(self, target_s: float) -> float:
        """How many jobs should run at a time."""
        if self.is_paused or not self.unfinished:
            return self.running
        wanted = self.arrival * self.run_s + (self.queued + self.due_soon) * self.run_s / target_s
        return max(wanted if self.limit is None else min(wanted, self.limit), self.running)


def scale_of(loads: Sequence[Load], goal: Goal) -> Scale:
    """The answer for these groups, of which some may not exist."""
    concurrency = sum(load.wanted(goal.target_s) for load in loads)
    needed = ceil(concurrency / goal.per_worker - _EXACT)
    if concurrency > 0:
        needed = max(needed, 1)
    workers = max(goal.least, min(needed, goal.most))
    weights = [load.unfinished or 1 for load in loads]
    total = Load(
        sum(load.queued for load in loads),
        sum(load.running for load in loads),
        sum(load.due_soon for load in loads),
        sum(load.arrival for load in loads),
        sum(load.run_s * weight for load, weight in zip(loads, weights, strict=True)) / sum(weights),
        max(load.oldest_s for load in loads),
    )
    return Scale(
        workers=workers,
        concurrency=round(concurrency, 3),
        queued=total.queued,
        running=total.running,
        due_soon=total.due_soon,
        arrival=round(total.arrival, 3),
        run_s=round(total.run_s, 3),
        oldest_s=round(total.oldest_s, 3),
        because=" ".join(_sentences(loads, total, goal, concurrency, needed)),
    )


def _sentences(loads: Sequence[Load], total: Load, goal: Goal, concurrency: float, needed: int) -> list[str]:
    paused = sum(load.is_paused for load in loads)
    of_paused = f"{_groups(paused, len(loads))} paused, so only what runs there counts." if paused else ""
    if concurrency == 0:
        sentences = [of_paused or "No job is queued, runs or is due soon."]
    else:
        waiting = f"{counted(total.queued, 'job')} {'is' if total.queued == 1 else 'are'} queued"
        soon = f", {total.due_soon:,} due within {goal.ahead_s} s" if total.due_soon else ""
        rate = f"{total.arrival:.3g} a second come" if total.arrival else "none has come in the last five minutes"
        sentences = [
            f"{waiting}{soon} and {total.running:,} {'runs' if total.running == 1 else 'run'}.",
            f"Of new jobs {rate}, and a job takes {total.run_s:.3g} s.",
            f"To finish those that wait within {goal.target_s} s, {_round(concurrency)} must run at a time.",
            of_paused,
        ]
        if any(load.limit is not None and not load.is_paused for load in loads):
            sentences.append("More would be above max_concurrency." if _is_capped(loads, goal) else "")
        sentences.append(f"A worker runs {goal.per_worker:,}: that makes {counted(needed, 'worker')}.")
    if needed < goal.least:
        sentences.append(f"The least is {goal.least:,}.")
    elif needed > goal.most:
        sentences.append(f"The most is {goal.most:,}.")
    return [sentence for sentence in sentences if sentence]


def _is_capped(loads: Sequence[Load], goal: Goal) -> bool:
    return any(load.wanted(goal.target_s) < load._replace(limit=None).wanted(goal.target_s) for load in loads)


def _groups(paused: int, n: int) -> str:
    if n == 1:
        return "The group is"
    return f"{counted(paused, 'group')} {'is' if paused == 1 else 'are'}"


def _round(concurrency: float) -> str:
    return f"{concurrency:.3g}" if concurrency < 1000 else f"{concurrency:,.0f}"
