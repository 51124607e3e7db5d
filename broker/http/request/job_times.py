"""Checks the times of a new job, which its struct has as texts: when it is queued, and its deadlines."""

import msgspec

from broker.core.errors import Invalid
from broker.http.request.decoding import moment
from broker.models.fields import MAX_DELAY_S
from broker.models.jobs import NewJob

PAIRS = (("delay", "run_at"), ("start_within", "start_before"), ("end_within", "end_before"))
"""A span in s, and the time for the same."""


def with_times(job: NewJob, path: str = "", now_ms: int | None = None) -> NewJob:
    """The job without times that are not given: "" and Go's zero time. `path`: that of the job in the body.

    Raises Invalid for what is no time, for a span and a time for the same, and with `now_ms` for a run_at that is
    further away than the longest delay: the delay in the answer could not be sent back.
    """
    for span, time in PAIRS:
        text, field = getattr(job, time), f"{path}.{time}".lstrip(".")
        if moment(text, field) is None:
            job = msgspec.structs.replace(job, **{time: None}) if text is not None else job
        elif getattr(job, span):
            what = path or "The job"
            raise Invalid(f"{what} has {span} and {time}, which mean the same: send one.", fields=field)
    field = f"{path}.run_at".lstrip(".")
    due_ms = moment(job.run_at, field)
    if due_ms is not None and now_ms is not None and due_ms > now_ms + MAX_DELAY_S * 1000:
        raise Invalid(f"{field} must be at most {MAX_DELAY_S} s from now, as delay.", fields=field)
    return job
