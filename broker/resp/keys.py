"""The names of the keys. lua/lib/prelude.lua builds the same ones; a test holds the two together.

Every key of a partition begins with the partition's name, whose {tag} puts them all into one hash slot.
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
    """The hash of what never changes about jobs, by id."""
    return f"{p}:jobs"


def job(p: str, job_id: str) -> str:
    """The hash of what came to a job later, and of its spec where that is large; most jobs have none."""
    return f"{p}:job:{job_id}"


def executions(p: str) -> str:
    """The hash of what jobs that were handed out, or are over, have of their last run."""
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
    """The sorted set of groups that may hand out a job now, by the place of their first."""
    return f"{p}:ready"


def due(p: str) -> str:
    """The sorted set of timers, `<set>:<group>` by when the reaper must look at it."""
    return f"{p}:due"


def rates(p: str) -> str:
    """The sorted set of groups with a rate_limit by when a whole second's jobs may go out again."""
    return f"{p}:rates"


def counted_bytes(p: str) -> str:
    """The sorted set of groups by the bytes of their unfinished jobs that count towards max_group_bytes."""
    return f"{p}:bytes"


def discarded(p: str) -> str:
    """The sorted set of the ids of jobs that are gone and whose logs must still be deleted."""
    return f"{p}:discarded"


def pollers(p: str) -> str:
    """The sorted set of brokers by how long they are told of jobs, ms, since clients wait there; expires."""
    return f"{p}:pollers"


def image_pollers(p: str) -> str:
    """The sorted set of brokers whose clients wait for jobs of some images only, likewise."""
    return f"{p}:image_pollers"


def workers(p: str) -> str:
    """The sorted set of the names of workers by when they last announced themselves; expires. First partition only."""
    return f"{p}:workers"


def worker(p: str, name: str) -> str:
    """The hash of what a worker said of itself, and of the order that waits for it; expires. First partition only."""
    return f"{p}:worker:{name}"


def notices(p: str) -> str:
    """The sorted set of the newest notices to workers by their numbers."""
    return f"{p}:notices"


def answer(p: str, name: str, key: str) -> str:
    """The first answer that an Idempotency-Key got in a group."""
    return f"{p}:answer:{name}:{key}"


def fence(p: str) -> str:
    """A small write that an enqueue with durable=1 waits for; it expires."""
    return f"{p}:fence"


def notify(p: str) -> str:
    """The channel on which a group is named when it becomes ready while somebody waits."""
    return f"{p}:notify"


def timer(p: str) -> str:
    """The channel on which a new first timer is said, in ms."""
    return f"{p}:timer"


def server(prefix: str) -> str:
    """Outside every partition, where there are several servers: which of them this is, as '1 of 2'."""
    return f"{prefix}:server"


def partitions(prefix: str) -> str:
    """Outside every partition: the number of partitions the store was first used with."""
    return f"{prefix}:partitions"
