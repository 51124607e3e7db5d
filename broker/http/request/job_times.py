"""Checks the times of a new job, which its struct has as texts: when it is queued, and its deadlines."""

import msgspec

from broker.core.errors import Invalid
from broker.http.request.decoding import moment
from broker.models.jobs import NewJob

PAIRS = (("delay", "run_at"), ("start_within", "start_before"), ("end_within", "end_before"))
"""A span in s, and the time for the same."""


def with_times(job: NewJob, path: str = "") -> NewJob:
    """The job without times that are not given: "" and Go's zero time. `path`: that of the job in the body.

    Raises Invalid for what is no time, and for a span and a time for the same.
    """
    for span, time in PAIRS:
        text, field = getattr(job, time), f"{path}.{time}".lstrip(".")
        if moment(text, field) is None:
            job = msgspec.structs.replace(job, **{time: None}) if text is not None else job
        elif getattr(job, span):
            what = path or "The job"
            raise Invalid(f"{what} has {span} and {time}, which mean the same: send one.", fields=field)
    return job
