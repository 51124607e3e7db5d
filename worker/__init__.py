"""The worker: takes jobs from a broker over HTTP and runs them. `job` makes a Python function a job."""

from titan.functions import job
from worker.jobs.outcome import Failed, Released, Succeeded
from worker.jobs.running_job import RunningJob

__all__ = ["Failed", "Released", "RunningJob", "Succeeded", "job"]
