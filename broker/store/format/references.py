"""The order in which the jobs of one call are created: a job that others name by `ref` comes before them."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from broker.core.errors import Invalid
from broker.models.jobs import MOST_EDGES, NewJob


def check_edges(jobs: Sequence[NewJob]) -> None:
    """Raise Invalid for too many entries in `after` of one call. It names the first job with one too many."""
    edges = 0
    for i, job in enumerate(jobs):
        edges += len(job.after or ())
        if edges > MOST_EDGES:
            fields = f"jobs[{i}].after"
            raise Invalid(
                f"{fields}: the jobs of a call may have {MOST_EDGES:,} entries in `after` together.", fields=fields
            )


def in_order(jobs: Sequence[NewJob]) -> list[int]:
    """The positions of the jobs, each behind those that it names in `after`.

    Raises Invalid for a ring, and for a ref that two jobs have.
    """
    at = positions(jobs)
    if not at:
        return list(range(len(jobs)))
    before = {i: dict.fromkeys(at[name] for name in job.after or () if name in at) for i, job in enumerate(jobs)}
    sorter = TopologicalSorter(before)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        # each of the ring waits for the one before it, and the first is also the last
        _, *ring = error.args[1]
        i = ring[-1]
        names = [str(jobs[k].ref) for k in reversed(ring)]
        waits = ", ".join(f"{one} waits for {other}" for one, other in zip(names, names[1:] + names[:1], strict=True))
        raise Invalid(f"jobs[{i}].after: {waits}", fields=f"jobs[{i}].after") from None


def positions(jobs: Sequence[NewJob]) -> dict[str, int]:
    """The position of each `ref`. Raises Invalid for a ref that two jobs have."""
    at: dict[str, int] = {}
    for i, job in enumerate(jobs):
        if job.ref is None:
            continue
        if job.ref in at:
            raise Invalid(f"jobs[{i}].ref is that of jobs[{at[job.ref]}] too.", fields=f"jobs[{i}].ref")
        at[job.ref] = i
    return at


def resolved(jobs: Sequence[NewJob], ids: Sequence[str]) -> list[list[str]]:
    """For each job the ids that it waits for, each once. A name is the `ref` of a job of the call, else an id."""
    at = positions(jobs)
    return [list(dict.fromkeys(ids[at[name]] if name in at else name for name in job.after or ())) for job in jobs]
