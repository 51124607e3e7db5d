"""The names of the keys. lua/lib/prelude.lua builds the same names; a test compares the two.

Every key of a partition begins with the partition's name. Its {tag} puts all of them into one hash slot.
"""

import binascii

from broker.core.states import Status


def partition(prefix: str, number: int) -> str:
    """The name of a partition: 'titan:{0}'. It is KEYS[1] of every script."""
    return f"{prefix}:{{{number}}}"


def partition_of(group: str, partitions: int) -> int:
    """The partition that holds a group: crc16(group) mod partitions (CRC-16/XMODEM, as Redis Cluster has it)."""
    return binascii.crc_hqx(group.encode(), 0) % partitions


def slot(partition_name: str) -> int:
    """The hash slot of a partition's keys: CRC-16 of its {tag}."""
    tag = partition_name.partition("{")[2].partition("}")[0]
    return binascii.crc_hqx(tag.encode(), 0) % 16_384


def jobs(p: str) -> str:
    """The hash of job records, by id. A record never changes."""
    return f"{p}:jobs"


def job(p: str, job_id: str) -> str:
    """The hash of the mutable fields of one job, and of a large spec. Most jobs never have this key."""
    return f"{p}:job:{job_id}"


def executions(p: str) -> str:
    """The hash of executions, by job id: the last delivery of each job that was dispatched or has finished."""
    return f"{p}:executions"


def group(p: str, name: str) -> str:
    """The hash of a group's settings."""
    return f"{p}:group:{name}"


def members(p: str, name: str, status: Status) -> str:
    """The sorted set of a group's jobs in one status."""
    return f"{p}:group:{name}:{status}"


def jobs_of(p: str, name: str) -> str:
    """The sorted set of all of a group's jobs by creation time."""
    return f"{p}:group:{name}:jobs"


def groups(p: str) -> str:
    """The sorted set of groups by creation time."""
    return f"{p}:groups"


def ready(p: str) -> str:
    """The ready index: the sorted set of groups that may dispatch now, by the rank of their first job."""
    return f"{p}:ready"


def due(p: str) -> str:
    """The timer index: the sorted set of `<set>:<group>` by when the reaper must handle it, in ms."""
    return f"{p}:due"


def rates(p: str) -> str:
    """The sorted set of groups with a rate_limit, by when their token bucket is full again."""
    return f"{p}:rates"


def discarded(p: str) -> str:
    """The sorted set of ids of deleted jobs whose logs must still be deleted."""
    return f"{p}:discarded"


def pollers(p: str) -> str:
    """The sorted set of brokers with long polls, by until when they are notified of jobs, in ms; expires."""
    return f"{p}:pollers"


def image_pollers(p: str) -> str:
    """The same for long polls with `?image=`; expires."""
    return f"{p}:image_pollers"


def workers(p: str) -> str:
    """The sorted set of worker names, by their last heartbeat, in ms; expires. In the first partition only."""
    return f"{p}:workers"


def worker(p: str, name: str) -> str:
    """The hash of a worker's announcement and of its pending order; expires. In the first partition only."""
    return f"{p}:worker:{name}"


def notices(p: str) -> str:
    """The sorted set of the newest notices to workers, by their numbers."""
    return f"{p}:notices"


def answer(p: str, name: str, key: str) -> str:
    """The idempotency record: the first answer to an Idempotency-Key in a group."""
    return f"{p}:answer:{name}:{key}"


def fence(p: str) -> str:
    """The small value that the write barrier writes and then waits for; expires."""
    return f"{p}:fence"


def notify(p: str) -> str:
    """The channel that carries the name of a group that became ready while a long poll waits."""
    return f"{p}:notify"


def timer(p: str) -> str:
    """The channel that carries the time of a new first timer, in ms."""
    return f"{p}:timer"


def server(prefix: str) -> str:
    """Outside the partitions, in a store of several servers: the position of this one, as '1 of 2'."""
    return f"{prefix}:server"


def partitions(prefix: str) -> str:
    """Outside the partitions: the number of partitions that the store was created with."""
    return f"{prefix}:partitions"
