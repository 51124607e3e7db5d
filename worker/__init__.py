"""The worker: takes jobs from a broker over HTTP and runs them. `job` makes a Python function a job."""

from titan.functions import job
from worker.jobs.outcome import Failed, Released, Succeeded

__all__ = ["Failed", "Released", "Succeeded", "job"]
