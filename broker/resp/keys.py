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
    """The hash slot of a partition's keys: CRC-16 of its {tag}, or of the whole name where it has none."""
    tag = partition_name.partition("{")[2].partition("}")[0] or partition_name
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


def modes(p: str) -> str:
    """The hash of what brokers must know: of the jobs of a group by `group:` and its name; `order` of all groups."""
    return f"{p}:modes"


def turns(p: str) -> str:
    """The hash of the turns of groups in fair order, by group: their scores, and how many jobs they gave in them."""
    return f"{p}:turns"


def dead_letters(p: str) -> str:
    """The hash of how many dead letters came from each group."""
    return f"{p}:dead_letters"


def members(p: str, name: str, status: Status) -> str:
    """The sorted set of a group's jobs in one status."""
    return f"{p}:group:{name}:{status}"


def jobs_of(p: str, name: str) -> str:
    """The sorted set of all of a group's jobs by creation time."""
    return f"{p}:group:{name}:jobs"


def expiring(p: str, name: str) -> str:
    """The sorted set of a group's unfinished jobs with deadlines, by the next one."""
    return f"{p}:group:{name}:expiring"


def groups(p: str) -> str:
    """The sorted set of groups by creation time."""
    return f"{p}:groups"


def ready(p: str) -> str:
    """The ready index: the sorted set of groups that may dispatch now, by the rank of their first job."""
    return f"{p}:ready"


def due(p: str) -> str:
    """The timer index: the sorted set of `<set>:<group>` by when the reaper must handle it, in ms."""
    return f"{p}:due"


STATISTICS = frozenset({"minutes", "halves", "times"})
"""What the keys of a group's statistics end with."""


def statistics(p: str, name: str, kind: str) -> str:
    """The hash of a group's counts by minute or half hour, or of its times; expires. `kind` is one of STATISTICS."""
    return f"{p}:group:{name}:{kind}"


def total(p: str, hour: int) -> str:
    """The hash of the counts of all groups in one hour since 1970, by minute; expires."""
    return f"{p}:total:{hour}"


def total_times(p: str) -> str:
    """The hash of how long jobs of all groups waited and ran; expires."""
    return f"{p}:total:times"


def counted(p: str) -> str:
    """The sorted set of groups that have statistics, by when they were counted last, in ms."""
    return f"{p}:counted"


def flushed(p: str, broker: str) -> str:
    """The number of the last flush of counts of a broker; expires."""
    return f"{p}:flushed:{broker}"


def rates(p: str) -> str:
    """The sorted set of groups with a rate_limit, by when their token bucket was empty, and a second."""
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


def asked(p: str) -> str:
    """The sorted set of groups, or `*` for all, by when somebody asked for their jobs, in ms; expires."""
    return f"{p}:asked"


def asked_images(p: str) -> str:
    """The sorted set of a group, or `*`, and an image as JSON, or nothing for any, likewise; expires."""
    return f"{p}:asked_images"


def workers(p: str) -> str:
    """The sorted set of worker names, by their last heartbeat, in ms; expires. In the first partition only."""
    return f"{p}:workers"


def departed(p: str) -> str:
    """The hash of workers that stopped: when, in ms, and the last announcement; expires. First partition only."""
    return f"{p}:departed"


def worker(p: str, name: str) -> str:
    """The hash of a worker's announcement and of its pending order; expires. In the first partition only."""
    return f"{p}:worker:{name}"


def sessions(p: str) -> str:
    """The sorted set of session ids by when they began, in ms; expires. In the first partition only."""
    return f"{p}:sessions"


def session(p: str, session_id: str) -> str:
    """The hash of a session: SHA-256 of its token, csrf, times; expires. In the first partition only."""
    return f"{p}:session:{session_id}"


def notices(p: str) -> str:
    """The sorted set of the newest notices to workers, by their numbers."""
    return f"{p}:notices"


def answer(p: str, name: str, key: str) -> str:
    """The idempotency record: the first answer to an Idempotency-Key in a group."""
    return f"{p}:answer:{name}:{key}"


def unique(p: str, name: str) -> str:
    """The hash of a group's unique keys: for each its holder, its follower, and when its window ends, in ms."""
    return f"{p}:group:{name}:unique"


def windows(p: str, name: str) -> str:
    """The sorted set of a group's unique keys with a window, by when that ends, in ms."""
    return f"{p}:group:{name}:windows"


def lane(p: str, name: str, key: str) -> str:
    """The sorted set of the jobs of a key: 0 for those that have a place, else the rank of a job that is held."""
    return f"{p}:group:{name}:lane:{key}"


def keys_of(p: str, name: str) -> str:
    """The sorted set of the keys of a group's jobs, by how many jobs their lanes have."""
    return f"{p}:group:{name}:keys"


def lanes(p: str, name: str) -> str:
    """The sorted set of the keys of a group at whose lanes settle must look."""
    return f"{p}:group:{name}:lanes"


def settle(p: str) -> str:
    """The sorted set of jobs whose end must still be settled, by when they ended, in ms."""
    return f"{p}:settle"


def after(p: str, job_id: str) -> str:
    """The sorted set of the jobs that wait for a job: `group id`, 0 for its success or 1 for its end."""
    return f"{p}:after:{job_id}"


def inputs(p: str, job_id: str) -> str:
    """The hash of what a job got from the jobs that it waited for: by id how each ended, and its result."""
    return f"{p}:inputs:{job_id}"


def undone(p: str, job_id: str) -> str:
    """The sorted set of the jobs that were cancelled since a job did not succeed: `group id`, by when, in ms."""
    return f"{p}:undone:{job_id}"


def batch(p: str, batch_id: str) -> str:
    """The hash of a batch: what it is, its counts, and its callbacks."""
    return f"{p}:batch:{batch_id}"


def schedules(p: str) -> str:
    """The sorted set of schedules, `group:name`, by when they fire next, in ms; 2^53 while they do not."""
    return f"{p}:schedules"


def schedule(p: str, name: str, schedule_name: str) -> str:
    """The hash of a schedule of a group. `…:fires`, `…:open` and `…:times` are its other keys."""
    return f"{p}:schedule:{name}:{schedule_name}"


def schedules_of(p: str, name: str) -> str:
    """The sorted set of the names of a group's schedules, all with the score 0."""
    return f"{p}:group:{name}:schedules"


def imported(p: str) -> str:
    """The id of the export that was imported last. First partition only."""
    return f"{p}:imported"


def fence(p: str) -> str:
    """The small value that the write barrier writes and then waits for; expires."""
    return f"{p}:fence"


def notify(p: str) -> str:
    """The channel that carries the name of a group that became ready while a long poll waits."""
    return f"{p}:notify"


def timer(p: str) -> str:
    """The channel that carries the time of a new first timer, in ms."""
    return f"{p}:timer"


def bulk(p: str, bulk_id: str) -> str:
    """The hash of a bulk: its spec, progress, state and owner. First partition only."""
    return f"{p}:bulk:{bulk_id}"


def bulks(p: str) -> str:
    """The sorted set of bulks by creation time, in ms. First partition only."""
    return f"{p}:bulks"


def bulks_running(p: str) -> str:
    """The sorted set of bulks that run, by when their owner must have noted progress, in ms. First partition only."""
    return f"{p}:bulks_running"


def bulks_extended(p: str) -> str:
    """The same of bulks with fields that older versions do not know, so that those do not continue them."""
    return f"{p}:bulks_extended"


def audit(p: str) -> str:
    """The stream of acts of people and programs. First partition only."""
    return f"{p}:audit"


def events(p: str) -> str:
    """The stream of events, which exists only while somebody listens; expires. First partition only."""
    return f"{p}:events"


def listening(p: str) -> str:
    """The sorted set of brokers with listeners to events, by when that ends, ms; expires. First partition only."""
    return f"{p}:listening"


def writing(p: str) -> str:
    """The sorted set of brokers that write events, by when that ends, ms; expires. First partition only."""
    return f"{p}:writing"


def server(prefix: str) -> str:
    """Outside the partitions, in a store of several servers: the position of this one, as '1 of 2'."""
    return f"{prefix}:server"


def partitions(scope: str) -> str:
    """The number of partitions that the store was first used with. `scope` as for `layout`."""
    return f"{scope}:partitions"


def layout(scope: str) -> str:
    """The number of the layout. `scope` is the prefix, outside the partitions; in a cluster the partition."""
    return f"{scope}:format"


def version(scope: str) -> str:
    """The version of Titan that gave the store its layout; likewise."""
    return f"{scope}:version"


def brokers(p: str) -> str:
    """The hash of the announcements of brokers, by name; expires. First partition only."""
    return f"{p}:brokers"
