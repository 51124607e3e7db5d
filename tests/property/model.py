"""A model of the store without Redis: the same verbs over plain objects.

Times are ms. The model makes no ids and no lease tokens: it is given those that the store made.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from broker.core.states import FINISHED, Status
from broker.core.timestamps import milliseconds
from broker.models.groups import GroupSettings, Retentions
from broker.models.jobs import NewJob
from broker.models.retries import Retry
from broker.store.group_limits import GroupLimits

FACTS = (
    *("bytes", "created_at", "reason", "retry_of", "retry_at", "attempts", "reported"),
    *("start_before", "end_before", "dead_letter", "dead_letter_of"),
)

Pause: TypeAlias = tuple[int, str]
"""Since when a group is paused, ms, and by whom."""
NOT_PAUSED: Pause = (0, "")
NO_LIMITS = GroupLimits(0, 0)


class Refused(Exception):
    """What the store should refuse, by word."""


@dataclass
class ModelJob:
    """A job: `place` orders the queue, `due_at` is when a delayed one is queued, `ended_at` when it finished."""

    id: str
    group: str
    given: NewJob
    created_at: int
    status: Status = "queued"
    place: tuple[int, int] | None = None
    due_at: int = 0
    deliveries: int = 0
    lease: str | None = None
    lease_s: int | None = None
    deadline: int | None = None
    expires_at: int | None = None
    handed_out_by: str = ""
    ended_at: int = 0
    reason: str | None = None
    retry_of: str | None = None
    retry_at: str | None = None
    attempts: int = 0
    reported: str | None = None
    has_log: bool = False
    bytes: int | None = None
    start_before: int = 0
    end_before: int = 0
    dead_letter: str | None = None
    dead_letter_of: str | None = None

    @property
    def size(self) -> int:
        """What the store keeps of image and payload, in bytes."""
        spec = {"image": self.given.image, **({"payload": self.given.payload} if self.given.payload else {})}
        return len(json.dumps(spec, separators=(",", ":")))

    @property
    def timeout_ms(self) -> int:
        return (self.given.timeout or 60) * 1000

    @property
    def deadline_at(self) -> float:
        """Its next deadline, ms; infinity for none."""
        times = [self.end_before, 0 if self.deliveries else self.start_before]
        return min((at for at in times if at), default=float("inf"))

    def will_retry(self, now: int) -> bool:
        """Whether a failure makes a retry: one that would begin before the end of the whole job."""
        delay = 60 if self.given.retries_delay is None else self.given.retries_delay
        return bool(self.given.max_retries) and not 0 < self.end_before <= now + delay * 1000

    def facts(self) -> dict[str, str]:
        """The fields of the job that the model has, without its execution, as the store writes them."""
        facts = {name: getattr(self, name) for name in FACTS}
        return {name: str(value) for name, value in facts.items() if value is not None and value != 0}

    def run(self) -> list[str]:
        """The execution, without its start, and without the short lease if it has ended."""
        words: list[object] = [self.deliveries] if self.deliveries else []
        if self.status in FINISHED:
            words = [self.lease or "*", self.deliveries, self.status, self.ended_at]
        elif self.status == "running":
            words = [self.lease, self.deliveries, *([self.lease_s, self.deadline] if self.lease_s else [])]
            words += ["start"] if self.handed_out_by == "start" else []
            words += ["+"] if self.start_before or self.end_before else []
        return [str(word) for word in words]


@dataclass
class Model:
    """All jobs that are kept, and the settings of the groups.

    `start_within` is what the broker knows of the groups' defaults, s. `owed` are the jobs whose end made another one
    that the model was not given yet, with what it is: `retry` or `copy`. `copies` counts dead letters by their groups.
    """

    now: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    settings: dict[str, GroupSettings] = field(default_factory=dict)
    discarded: set[str] = field(default_factory=set)
    sequence: int = 0
    limits: GroupLimits = NO_LIMITS
    grace_ms: int = 0
    empty_at: dict[str, float] = field(default_factory=dict)
    held_until: dict[str, int] = field(default_factory=dict)
    paused: dict[str, Pause] = field(default_factory=dict)
    start_within: dict[str, int] = field(default_factory=dict)
    owed: dict[str, str] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)

    def enqueue(self, group: str, given: Sequence[NewJob], ids: Sequence[str]) -> None:
        for new, job_id in zip(given, ids, strict=True):
            job = self._counting(ModelJob(job_id, group, new, self.now))
            start_within = new.start_within or self.start_within.get(group, 0)
            job.start_before = self.now + start_within * 1000 if start_within else 0
            job.end_before = self.now + new.end_within * 1000 if new.end_within else 0
            self._add(job, milliseconds(new.run_at) if new.run_at else self.now + (new.delay or 0) * 1000)

    def check_enqueue(self, group: str, given: Sequence[NewJob]) -> None:
        """Whether this number of new jobs is accepted; then `enqueue` adds them."""
        size = sum(ModelJob("", group, new, self.now).size for new in given)
        if 0 < self.limits.jobs < len(given):
            raise Refused("INVALID")
        if 0 < self.limits.bytes < size:
            raise Refused("TOO_LARGE")
        self._check_limits(group, len(given), size)

    def next(self, n: int, groups: Sequence[str], lease_s: int | None) -> list[ModelJob]:
        handed_out: list[ModelJob] = []
        while len(handed_out) < n and (heads := [queue[0] for queue in self._ready(groups).values()]):
            job = min(heads, key=_place)
            if self.of(job.group).rate_limit and self._allowance(job.group) < 1:
                self._spend(job.group, 0)  # a clock that fell back: the group is held back without a job
                continue
            self._hand_out(job, lease_s, "next")
            self._spend(job.group, 1)
            handed_out.append(job)
        return handed_out

    def start(self, group: str, job_id: str, lease: str) -> ModelJob:
        job = self.jobs.get(job_id)
        if job and job.group == group and job.status == "queued" and not lease:
            if job.deadline_at <= self.now:
                raise Refused("WRONG_STATE")
            if not self.room(group) or (self.of(group).rate_limit and self._allowance(group) < 1):
                raise Refused("LIMIT_REACHED")
            self._hand_out(job, None, "start")
            self._spend(group, 1)
            return job
        job = self._held(group, job_id, lease)
        if not lease and job.handed_out_by == "start":
            raise Refused("WRONG_STATE")
        job.deadline = job.deadline and self.now + job.timeout_ms
        self._renew(job)
        return job

    def touch(self, group: str, job_id: str, lease: str) -> int:
        return self._renew(self._held(group, job_id, lease))

    def finish(
        self,
        group: str,
        job_id: str,
        lease: str,
        status: Status,
        reason: str,
        *,
        may_retry: bool = True,
        retry_after: int | None = None,
    ) -> ModelJob:
        """The job; one that an automatic retry makes is for `retried` to add."""
        job = self.jobs.get(job_id)
        token = lease or "-"
        is_reported = job is not None and status == "failed" and job.status != "running" and job.reported == token
        if job and job.group == group and (is_reported or (job.status, job.lease) == (status, token)):
            return job
        if job and job.group == group and status == "failed" and lease and job.reported == lease:
            return job  # a late repeat: the job runs again
        job = self._held(group, job_id, lease)
        policy = self.policy(job)
        if status == "failed" and policy is not None:
            job.attempts += 1
            job.reason = None
            waits_ms = self._waits_ms(job, policy, reason, retry_after) if may_retry else None
            if waits_ms is not None:
                job.reported = token
                self._wait(job, waits_ms, reason or None)
                return job
        self._end(job, status, reason or None)
        job.lease = lease or "-"
        if owed := self._follow_up(job, may_retry=may_retry):
            self.owed[job.id] = owed
        return job

    def release(self, group: str, job_id: str, lease: str, delay: int) -> ModelJob:
        job = self._held(group, job_id, lease)
        self._forget_run(job)
        job.deliveries -= 1
        job.status, job.due_at = ("delayed" if delay else "queued"), self.now + delay * 1000
        return job

    def cancel(self, group: str, job_id: str) -> ModelJob:
        job = self._find(group, job_id, "delayed", "queued", "running", "cancelled")
        if job.status != "cancelled":
            self._end(job, "cancelled", "client_request")
        return job

    def check_retry(self, group: str, job_id: str) -> ModelJob:
        """The job, when it may be retried by hand; then `retried` adds the new one."""
        job = self._find(group, job_id, *FINISHED)
        if job.retry_at:
            raise Refused("WRONG_STATE")
        self._check_limits(group, 1, job.size)
        return job

    def promote(self, group: str, job_id: str) -> None:
        job = self._find(group, job_id, "delayed")
        job.status = "queued"
        if job.place is None:
            self._new_place(job)

    def remove(self, group: str, job_id: str) -> bool:
        return self._discard(self._find(group, job_id, *FINISHED))

    def log(self, group: str, job_id: str) -> None:
        self._find(group, job_id, "running", *FINISHED).has_log = True

    def check_dead_letters(self, group: str, to: str | None) -> None:
        """Whether the group may have its dead letters there: they never come back."""
        while to:
            if to == group:
                raise Refused("INVALID")
            to = self.of(to).dead_letter_to

    def read_modes(self) -> None:
        """The broker reads what groups say of their new jobs."""
        self.start_within = {name: s.start_within for name, s in self.settings.items() if s.start_within}

    def new_broker(self) -> None:
        """Another broker, which has read nothing yet."""
        self.start_within = {}

    def configure(self, group: str, settings: GroupSettings, by: str) -> None:
        self.settings[group] = settings
        self.start_within.pop(group, None)
        if settings.start_within:
            self.start_within[group] = settings.start_within
        if settings.paused:
            self.paused.setdefault(group, (self.now, by))
        else:
            self.paused.pop(group, None)
        self.held_until.pop(group, None)
        if settings.rate_limit:
            self._spend(group, 0)
        else:
            self.empty_at.pop(group, None)

    def adjust(self, group: str, changes: Mapping[str, Any], by: str) -> None:
        """Change some settings; None is the default."""
        old = self.of(group)
        given = {name: value or None for name, value in changes.items() if name != "retention"}
        kept = changes.get("retention", Retentions()) and (old.retention or Retentions())
        failed = getattr(changes.get("retention"), "failed", UNSET)
        if failed is not UNSET and kept is not None:
            kept = msgspec.structs.replace(kept, failed=Retentions().failed if failed is None else failed)
        self.configure(group, msgspec.structs.replace(old, **given, retention=kept), by)

    def delete_group(self, group: str, *, is_known: bool) -> None:
        """The group goes, with its jobs, if it is known and none of them is unfinished."""
        if not is_known:
            raise Refused("NOT_FOUND")
        if self._unfinished(group):
            raise Refused("WRONG_STATE")
        for job in [job for job in self.jobs.values() if job.group == group]:
            self._discard(job)
        self.configure(group, GroupSettings(), "")
        del self.settings[group]
        del self.copies[group]

    def retried(self, old: ModelJob, new_id: str, *, by_hand: bool = False) -> ModelJob:
        """The new job that does the work of a finished one again."""
        given = old.given
        left, delay = (given.max_retries or 0), 0
        if not by_hand:
            left, delay = left - 1, 60 if given.retries_delay is None else given.retries_delay
        given = NewJob(
            image="x",
            payload=given.payload,
            timeout=given.timeout,
            priority=given.priority,
            max_retries=left,
            retries_delay=given.retries_delay,
            retry=given.retry,
        )
        old.retry_at = new_id
        new = ModelJob(new_id, old.group, given, self.now, retry_of=old.id, bytes=old.bytes)
        new.end_before = 0 if by_hand else old.end_before
        assert by_hand or old.will_retry(self.now)
        return self._add(self._counting(new) if by_hand else new, self.now + delay * 1000)

    def buried(self, old: ModelJob, new_id: str) -> ModelJob:
        """The copy of a job that failed for good, in the group for the dead letters of its group."""
        to = self.of(old.group).dead_letter_to
        assert to
        given = NewJob(image="x", payload=old.given.payload, timeout=old.given.timeout, priority=old.given.priority)
        old.dead_letter = f"{to} {new_id}"
        self.copies[old.group] += 1
        copy = ModelJob(new_id, to, given, self.now, retry_of=old.id, bytes=old.bytes, dead_letter_of=old.group)
        return self._add(copy, self.now)

    def reap(self, new_ids: Mapping[str, str], score: Callable[[str], float]) -> None:
        """All that is due. `new_ids` has, by old id, retries and dead letters; `score` the places that jobs came to.

        The model says nothing of the order in which groups are served; the delayed jobs of one go by their times.
        """
        for group, empty_at in self.empty_at.items():
            if empty_at > self.now + 1:  # the clock fell back
                self.empty_at[group] = self.now - 500
                self.held_until.pop(group, None)
        copies = self._fail_late(new_ids)
        delayed = self._due("delayed", "due_at")
        for job in delayed:
            job.status = "queued"
        fresh = [job for job in delayed if job.place is None]
        for group, priority in {(job.group, job.given.priority) for job in fresh}:
            line = [score(job.id) for job in fresh if (job.group, job.given.priority) == (group, priority)]
            assert line == sorted(line), f"delayed jobs of {group} were not queued by their times"
        for job in self._due("running", "expires_at"):
            new = self._take_back(job, new_ids)
            if new is not None and new.status == "queued":
                fresh.append(new)
        fresh += copies
        for job in self._due("delayed", "due_at"):  # those that a policy lets try again at once
            job.status = "queued"
            fresh.append(job)
        for job in sorted(fresh, key=lambda job: score(job.id)):
            self._new_place(job)
        for job in [job for job in self.jobs.values() if self.kept_until(job) <= self.now]:
            self._discard(job)
        self.held_until = {group: at for group, at in self.held_until.items() if at > self.now}

    def move(self) -> None:
        """All is restored in another store: nothing runs, buckets are full, logs of deleted jobs are forgotten."""
        for job in self.jobs.values():
            if job.status == "running":
                self._forget_run(job)
                job.status = "queued"
        self.empty_at.clear()
        self.held_until.clear()
        self.discarded.clear()
        self.copies.clear()
        self.new_broker()

    def next_due(self) -> float:
        """When the reaper has something to do next, ms; infinity for never."""
        times: list[float] = [self.kept_until(job) for job in self.jobs.values()]
        times += [job.due_at for job in self.jobs.values() if job.status == "delayed"]
        times += [job.deadline_at for job in self.jobs.values() if job.status not in FINISHED]
        times += self.held_until.values()
        times += [job.expires_at or 0 for job in self.jobs.values() if job.status == "running"]
        return min(times, default=float("inf"))

    def kept_until(self, job: ModelJob) -> float:
        """When a finished job goes, ms; infinity for one that is not finished."""
        if job.status not in FINISHED:
            return float("inf")
        return job.ended_at + int(getattr(self.of(job.group).retention or Retentions(), job.status)) * 1000

    def queue(self, group: str) -> list[ModelJob]:
        """The queued jobs of a group, in the order in which they are dispatched."""
        return sorted((j for j in self.jobs.values() if j.group == group and j.status == "queued"), key=_place)

    def room(self, group: str) -> float:
        """How many jobs the group may dispatch now."""
        settings = self.of(group)
        if settings.paused or group in self.held_until:
            return 0
        running = sum(job.group == group and job.status == "running" for job in self.jobs.values())
        return max(0, settings.max_concurrency - running) if settings.max_concurrency else float("inf")

    def sums(self, groups: Iterable[str]) -> dict[str, int]:
        """What the unfinished jobs that count have together, in bytes, by group; without groups that have none."""
        sums = {group: sum(job.bytes or 0 for job in self._unfinished(group)) for group in groups}
        return {group: size for group, size in sums.items() if size}

    def ready(self) -> list[str]:
        """The groups that may dispatch a job now, in the order of their first jobs."""
        queues = self._ready(())
        return sorted(queues, key=lambda group: _place(queues[group][0]))

    def _ready(self, groups: Sequence[str]) -> dict[str, list[ModelJob]]:
        wanted = set(groups) or {job.group for job in self.jobs.values()}
        return {group: queue for group in wanted if (queue := self.queue(group)) and self.room(group)}

    def of(self, group: str) -> GroupSettings:
        return self.settings.get(group, GroupSettings())

    def _unfinished(self, group: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.group == group and job.status not in FINISHED]

    def _check_limits(self, group: str, jobs: int, size: int) -> None:
        unfinished = self._unfinished(group)
        if 0 < self.limits.jobs < len(unfinished) + jobs:
            raise Refused("LIMIT_REACHED")
        if 0 < self.limits.bytes < sum(job.bytes or 0 for job in unfinished) + size:
            raise Refused("LIMIT_REACHED")

    def _counting(self, job: ModelJob) -> ModelJob:
        if self.limits.bytes:
            job.bytes = job.size
        return job

    def _bucket(self, group: str) -> tuple[float, int, float]:
        """How long a job takes, ms, how many go at once, and when the bucket was empty: now if the clock went back."""
        rate = self.of(group).rate_limit or 1
        jobs, per, burst = (rate, 1, rate) if isinstance(rate, int) else (rate.jobs, rate.per, rate.burst or rate.jobs)
        each_ms = 1000 * per / jobs
        return each_ms, burst, max(min(self.empty_at.get(group, 0), self.now), self.now - burst * each_ms)

    def _allowance(self, group: str) -> int:
        each_ms, _, empty_at = self._bucket(group)
        return int((self.now - empty_at) / each_ms + 0.001)

    def _spend(self, group: str, n: int) -> None:
        if not self.of(group).rate_limit:
            return
        each_ms, burst, empty_at = self._bucket(group)
        empty_at += n * each_ms
        if n:
            self.empty_at[group] = empty_at
        if self._allowance(group) < 1:
            until = math.ceil(empty_at + max(1, min(burst, int(100 / each_ms + 0.001))) * each_ms - 0.001)
            self.held_until[group] = min(until, self.held_until.get(group, until))

    def _find(self, group: str, job_id: str, *statuses: Status) -> ModelJob:
        job = self.jobs.get(job_id)
        if job is None or job.group != group:
            raise Refused("NOT_FOUND")
        if job.status not in statuses:
            raise Refused("WRONG_STATE")
        return job

    def _held(self, group: str, job_id: str, lease: str) -> ModelJob:
        job = self._find(group, job_id, "running")
        if (lease and lease != job.lease) or (not lease and self.of(group).require_lease):
            raise Refused("LEASE_LOST")
        return job

    def _add(self, job: ModelJob, due_at: int) -> ModelJob:
        self.jobs[job.id] = job
        job.status, job.due_at = ("delayed" if due_at > self.now else "queued"), due_at
        if due_at <= self.now:
            self._new_place(job)
        return job

    def _new_place(self, job: ModelJob) -> None:
        self.sequence += 1
        job.place = (2 - (job.given.priority or 0), self.sequence)

    def _hand_out(self, job: ModelJob, lease_s: int | None, by: str) -> None:
        job.status, job.handed_out_by, job.lease_s = "running", by, lease_s
        job.deadline = self.now + job.timeout_ms if lease_s else None
        job.deliveries += 1
        self._renew(job)

    def _renew(self, job: ModelJob) -> int:
        ends = self.now + (job.lease_s * 1000 if job.lease_s else job.timeout_ms)
        job.expires_at = min(ends, job.deadline + self.grace_ms if job.deadline else ends, job.end_before or ends)
        return job.expires_at

    def _forget_run(self, job: ModelJob) -> None:
        job.lease = job.lease_s = job.deadline = job.expires_at = None
        job.handed_out_by = ""

    def _take_back(self, job: ModelJob, new_ids: Mapping[str, str]) -> ModelJob | None:
        is_late = 0 < job.end_before <= self.now
        is_over = is_late or (job.deadline is not None and job.deadline <= self.now)
        if not is_over and job.deliveries - job.attempts < (self.of(job.group).delivery_limit or 5):
            self._forget_run(job)
            job.status = "queued"
            return None
        policy = self.policy(job)
        if policy is not None and not is_late:
            job.attempts += 1
            waits_ms = self._waits_ms(job, policy, "timeout", None)
            if waits_ms is not None:
                job.reported = "*"
                self._wait(job, waits_ms, "timeout")
                return None
        self._end(job, "failed", "timeout")
        return self._followed_up(job, new_ids)

    def policy(self, job: ModelJob) -> Retry | None:
        """The retry policy that holds for a job now: its own, or that of its group if it has no retries at all."""
        return job.given.retry or (None if job.given.max_retries else self.of(job.group).retry)

    def _waits_ms(self, job: ModelJob, policy: Retry, reason: str, retry_after: int | None) -> int | None:
        """How long a job waits that has failed now, ms; None if it failed for good."""
        jitter, cap = policy.jitter or 0, policy.cap or 0
        is_final = job.attempts > (policy.max or 0) or reason in (policy.except_ or ())
        if is_final or (policy.only and reason not in policy.only):
            return None
        wait_s = (policy.delay or 0) * (policy.factor or 1) ** (job.attempts - 1)
        wait_s = float(min(wait_s, cap))
        waits_ms = math.floor(wait_s * 1000 + wait_s * 10 * jitter * jitter_of(job.id, job.attempts))
        if retry_after is not None:
            waits_ms = min(retry_after, cap) * 1000
        is_late = policy.max_age and self.now + waits_ms > job.created_at + policy.max_age * 1000
        is_late = is_late or 0 < job.end_before <= self.now + waits_ms
        return None if is_late else waits_ms

    def _wait(self, job: ModelJob, waits_ms: int, reason: str | None) -> None:
        """The job waits for its next try, without its place in the queue."""
        self._forget_run(job)
        job.status, job.due_at, job.reason, job.place = "delayed", self.now + waits_ms, reason, None

    def _follow_up(self, job: ModelJob, *, may_retry: bool = True) -> str:
        """What the end of a job makes: its `retry`, its `copy` in the group for dead letters, or nothing."""
        if job.status != "failed":
            return ""
        if may_retry and self.policy(job) is None and job.will_retry(self.now):
            return "retry"
        return "copy" if self.of(job.group).dead_letter_to else ""

    def _followed_up(self, job: ModelJob, new_ids: Mapping[str, str], *, may_retry: bool = True) -> ModelJob | None:
        made = {"retry": self.retried, "copy": self.buried}.get(self._follow_up(job, may_retry=may_retry))
        return made(job, new_ids[job.id]) if made else None

    def _fail_late(self, new_ids: Mapping[str, str]) -> list[ModelJob]:
        """Fail what is too late and waits; the copies of those jobs."""
        late = [job for job in self.jobs.values() if job.status in {"delayed", "queued"}]
        late = [job for job in late if job.deadline_at <= self.now]
        for job in late:
            self._end(job, "failed", "timeout" if 0 < job.end_before <= self.now else "expired")
        copies = [self._followed_up(job, new_ids, may_retry=False) for job in late]
        return [copy for copy in copies if copy]

    def _end(self, job: ModelJob, status: Status, reason: str | None) -> None:
        self._forget_run(job)
        before = job.reason if job.attempts else None
        job.status, job.ended_at, job.reason = status, self.now, reason or before

    def _discard(self, job: ModelJob) -> bool:
        del self.jobs[job.id]
        if job.has_log:
            self.discarded.add(job.id)
        return job.has_log

    def _due(self, status: Status, at: str) -> list[ModelJob]:
        due = [job for job in self.jobs.values() if job.status == status and getattr(job, at) <= self.now]
        return sorted(due, key=lambda job: (getattr(job, at), job.id))


def jitter_of(job_id: str, attempt: int) -> float:
    """The chance in a wait, from -1 to 1, as lua/lib/retry_policy.lua describes it."""
    total = 1
    for letter in f"{job_id} {attempt}".encode():
        total = (total * 16_807 + letter) % 2_147_483_647
    return 2 * (total * 16_807**2 % 2_147_483_647) / 2_147_483_647 - 1


def _place(job: ModelJob) -> tuple[int, int]:
    assert job.place is not None
    return job.place
