"""The environment of a job: a safe part of the worker's, the group's, and what Titan says of the job."""

from collections.abc import Mapping

from broker.models.jobs import Job


def environment_of(job: Job, passed_on: Mapping[str, str]) -> dict[str, str]:
    """Later ones win: what is passed on, the group's env_vars, then TITAN_JOB_ID and its like."""
    return {
        **passed_on,
        **(job.env_vars or {}),
        "TITAN_JOB_ID": job.id,
        "TITAN_GROUP": job.group_name,
        "TITAN_DELIVERY": str(job.deliveries),
        "TITAN_IMAGE": job.image,
    }
