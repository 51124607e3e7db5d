"""The configuration of the container for a job: safe by default, and labelled."""

import os
from collections.abc import Mapping
from typing import Any

from broker.models.jobs import Job
from worker.daemon import linux
from worker.host import host_name
from worker.runners.environment import environment_of
from worker.runners.result_file import INPUTS, PROGRESS, RESULT
from worker.table.entries import ContainerEntry

JOB, GROUP, DELIVERY = "titan.job", "titan.group", "titan.delivery"
HOST, WORKER = "titan.host", "titan.worker"
FOLDER = "/titan"
"""A volume for the files that a container writes for the worker: its root is read-only, and a tmpfs ends with it."""
RESULT_PATH, PROGRESS_PATH, INPUTS_PATH = f"{FOLDER}/result", f"{FOLDER}/progress", f"{FOLDER}/inputs"


def config_of(entry: ContainerEntry, job: Job) -> dict[str, Any]:
    """The configuration in the terms of the Engine API."""
    environment = environment_of(job, entry.env)
    if entry.reports:
        environment |= {RESULT: RESULT_PATH, PROGRESS: PROGRESS_PATH} | (
            {INPUTS: INPUTS_PATH} if job.has_inputs is True else {}
        )
    return {
        "Image": job.image,
        **({"Cmd": list(entry.command)} if entry.command else {}),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "User": entry.user,
        **({"Volumes": {FOLDER: {}}} if entry.reports else {}),
        "Labels": {JOB: job.id, GROUP: job.group_name, DELIVERY: str(job.deliveries), **own_labels()},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "NetworkMode": entry.network,
            "Memory": entry.memory_bytes,
            "MemorySwap": entry.memory_bytes,
            "NanoCpus": int(entry.cpus * 1e9),
            "PidsLimit": entry.processes,
            "ReadonlyRootfs": entry.read_only,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "none"},
            **({"Tmpfs": {"/tmp": f"size={entry.tmp_bytes},mode=1777"}} if entry.tmp_bytes else {}),  # noqa: S108
        },
    }


def own_labels() -> dict[str, str]:
    """The creator of a container: this machine, and this process by its number and start time."""
    return {HOST: host_name(), WORKER: f"{os.getpid()}/{linux.started_at(os.getpid())}"}


def is_left_behind(labels: Mapping[str, str]) -> bool:
    """Whether a worker of this machine created it that no longer exists."""
    pid, _, started_at = labels.get(WORKER, "").partition("/")
    return labels.get(HOST) == host_name() and pid.isdigit() and linux.started_at(int(pid)) != started_at
