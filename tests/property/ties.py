"""A model of jobs that wait for others and of unique keys, without Redis: what ends, what is held, and who holds a key.

Times are ms. It chooses no job to dispatch: it is given those that the store chose, and says whether they were queued.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from tests.property.model import Refused

Status: TypeAlias = Literal["held", "delayed", "queued", "running", "succeeded", "failed", "cancelled"]
FINISHED = ("succeeded", "failed", "cancelled")
TIMEOUT_MS, DELIVERIES, POLICY_MAX = 5000, 2, 1
"""Of every job: the length of its lease, how many deliveries may be lost, and what a policy forgives."""


class Given(NamedTuple):
    """What a new job is given. `until_ms`: the length of the window of its key, if it has one."""

    after: tuple[str, ...] = ()
    is_any_end: bool = False
    key: str = ""
    until: Literal["over", "started", "window"] = "over"
    until_ms: int = 0
    on_conflict: str = "existing"
    delay_ms: int = 0
    max_retries: int = 0
    has_policy: bool = False
    start_within_ms: int = 0


@dataclass
class Tied:
    """A job. `waits_for` counts the ends that it waits for; `is_hooked`: its end must be settled.

    `has_waited`: some delivery of it waited for others; `is_begun`: it is held by that.
    """

    id: str
    group: str
    given: Given
    created_at: int
    key: str = ""
    status: Status = "queued"
    waits_for: int = 0
    is_hooked: bool = False
    due_at: int = 0
    lease: str = ""
    lease_ends: int = 0
    deliveries: int = 0
    attempts: int = 0
    start_before: int = 0
    reason: str = ""
    retry_at: str = ""
    has_waited: bool = False
    is_begun: bool = False

    @property
    def is_over(self) -> bool:
        return self.status in FINISHED

    @property
    def member(self) -> str:
        return f"{self.group} {self.id}"


class Held(NamedTuple):
    """Who holds a key, who follows, and when the window ends, ms; 0 for none."""

    holder: str
    follower: str
    ends: int


class Ties:
    """All jobs, what each waits for, the ends that are not settled, and the keys."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[str, Tied] = {}
        self.after: dict[str, dict[str, bool]] = {}
        self.unsettled: dict[str, int] = {}
        self.keys: dict[tuple[str, str], Held] = {}

    def check(self, group: str, given: Sequence[Given]) -> None:
        """Whether a call is accepted. A parent that is not in the call must exist."""
        taken: set[str] = set()
        for new in given:
            if any(parent[0] != "#" and self.deciding(parent) is None for parent in new.after):
                raise Refused("INVALID")
        for new in given:
            if new.key and new.on_conflict == "refuse":
                held = self.held(group, new.key)
                if (held and not self.jobs[held.holder].is_over) or new.key in taken:
                    raise Refused("DUPLICATE")
            taken.add(new.key)

    def enqueue(self, group: str, given: Sequence[Given], ids: Sequence[str]) -> list[str]:
        """The jobs of a call; `#1` is the second one of it. Returns the id of each, or of its holder."""
        made: list[str] = []
        for new, job_id in zip(given, ids, strict=True):
            parents = tuple(made[int(parent[1:])] if parent[0] == "#" else parent for parent in new.after)
            made.append(self._create(group, new._replace(after=parents), job_id))
        return made

    def _create(self, group: str, new: Given, job_id: str) -> str:
        held = self.held(group, new.key) if new.key else None
        holder = self.jobs[held.holder] if held else None
        how = self._conflict(holder, new.on_conflict) if holder else ""
        if holder and how in {"existing", "replace", "push"}:
            if how != "existing":
                self._replace(holder, new)
            return holder.id
        job = Tied(job_id, group, new, self.now, key=new.key, is_hooked=bool(new.key))
        job.start_before = self.now + new.start_within_ms if new.start_within_ms else 0
        known: set[str] = set()
        for parent in new.after:
            self._wait_for(job, parent, known, is_any_end=new.is_any_end)
        if holder and held:
            self._wait_for(job, holder.id, known, is_any_end=True)
            if held.follower:
                self.after[holder.id].pop(self.jobs[held.follower].member)
                self.end(held.follower, "cancelled", "replaced")
            self.keys[group, new.key] = Held(holder.id, job_id, held.ends)
        elif new.key:
            self.keys[group, new.key] = Held(job_id, "", self._window(new))
        self.jobs[job_id] = job
        job.waits_for = len(known)
        if known:
            job.status = "held"
        else:
            self._begin(job)
        return job_id

    def _conflict(self, holder: Tied, on_conflict: str) -> str:
        if holder.is_over or on_conflict == "refuse":
            return "existing"
        return (
            "follow" if (holder.status == "running" or holder.has_waited) and on_conflict != "existing" else on_conflict
        )

    def _replace(self, holder: Tied, new: Given) -> None:
        """The holder has what is new, but what ties it to others, and its key, stay."""
        ties = {name: getattr(holder.given, name) for name in ("after", "is_any_end", "key", "until", "until_ms")}
        holder.given = new._replace(**ties)
        holder.start_before = self.now + new.start_within_ms if new.start_within_ms else 0
        if new.on_conflict == "push" and holder.status == "delayed" and not holder.deliveries:
            latest = holder.created_at + 10 * new.delay_ms
            holder.due_at = max(self.now, min(self.now + new.delay_ms, latest))

    def _wait_for(self, job: Tied, parent_id: str, known: set[str], *, is_any_end: bool) -> None:
        parent = self.deciding(parent_id)
        assert parent is not None
        if parent.id in known or (parent.is_over and (is_any_end or parent.status == "succeeded")):
            return
        known.add(parent.id)
        self.after.setdefault(parent.id, {})[job.member] = is_any_end
        parent.is_hooked = True
        if parent.is_over:
            self.unsettled[parent.id] = self.now

    def _begin(self, job: Tied) -> None:
        if job.is_begun:
            job.is_begun, job.status = False, "queued"
            return
        job.due_at = self.now + job.given.delay_ms
        job.status = "delayed" if job.given.delay_ms else "queued"

    def deciding(self, job_id: str) -> Tied | None:
        """The job whose end counts for those that wait for this one: its last automatic retry."""
        job = self.jobs.get(job_id)
        while job and job.status == "failed" and job.given.max_retries and job.retry_at:
            job = self.jobs.get(job.retry_at)
        return job

    def held(self, group: str, key: str) -> Held | None:
        """Who holds a key now; None for a free one."""
        row = self.keys.get((group, key))
        if row is None:
            return None
        holder, follower = self.jobs.get(row.holder), self.jobs.get(row.follower)
        follows = bool(follower and not follower.is_over)
        if holder and self._is_holding(holder, row.ends) and not (follows and holder.is_over):
            return row if follows else row._replace(follower="")
        if follower and follows:
            return Held(follower.id, "", self._window(follower.given))
        return None

    def _is_holding(self, holder: Tied, ends: int) -> bool:
        if ends:
            return self.now < ends
        return not holder.is_over and (holder.status != "running" or holder.given.until != "started")

    def _window(self, given: Given) -> int:
        return self.now + given.until_ms if given.until == "window" else 0

    def _refresh(self, group: str, key: str) -> None:
        held = self.held(group, key)
        if held:
            self.keys[group, key] = held
        else:
            self.keys.pop((group, key), None)

    def free(self, group: str, key: str) -> None:
        held = self.held(group, key)
        if held is None:
            raise Refused("NOT_FOUND")
        del self.keys[group, key]
        for job_id in {held.holder, held.follower} - {""}:
            self.jobs[job_id].key = ""

    def take(self, job_id: str, lease: str) -> None:
        job = self.jobs[job_id]
        assert job.status == "queued", job
        job.status, job.lease, job.lease_ends = "running", lease, self.now + TIMEOUT_MS
        job.deliveries += 1

    def release(self, job_id: str, delay_ms: int) -> None:
        job = self.jobs[job_id]
        job.deliveries -= 1
        job.status, job.due_at = ("delayed" if delay_ms else "queued"), self.now + delay_ms

    def wait(self, job_id: str, parents: Sequence[str], *, is_any_end: bool) -> None:
        """A running job waits for others, unless one of these waits for it."""
        found = [self.deciding(parent) for parent in parents]
        if not all(found):
            raise Refused("INVALID")
        walk = [job_id]
        for at in walk:
            walk += [one for one in (member.split()[1] for member in self.after.get(at, ())) if one not in walk]
        if any(parent and not parent.is_over and parent.id in walk for parent in found):
            raise Refused("WRONG_STATE")
        job = self.jobs[job_id]
        known: set[str] = set()
        for name in parents:
            self._wait_for(job, name, known, is_any_end=is_any_end)
        job.deliveries -= 1
        job.start_before, job.has_waited, job.waits_for = 0, True, len(known)
        job.is_begun, job.status = bool(known), "held" if known else "queued"

    def fail(self, job_id: str, reason: str, new_id: str, *, may_retry: bool = True) -> None:
        """A failure, which a policy forgives once; `new_id` is that of the automatic retry, if there is one."""
        job = self.jobs[job_id]
        if job.given.has_policy:
            job.attempts += 1
            if may_retry and job.attempts <= POLICY_MAX:
                job.status, job.due_at, job.reason = "delayed", self.now + 1000, reason
                return
        has_retry = may_retry and job.given.max_retries > 0
        assert has_retry == bool(new_id), job
        self.end(job_id, "failed", reason)
        if has_retry:
            self._retry_automatically(job, new_id)

    def _retry_automatically(self, job: Tied, new_id: str) -> None:
        given = job.given._replace(max_retries=job.given.max_retries - 1, delay_ms=1000, start_within_ms=0)
        new = Tied(new_id, job.group, given, self.now, is_hooked=job.is_hooked)
        job.retry_at = new_id
        self.jobs[new_id] = new
        self._begin(new)
        if job.id in self.after:
            self.after[new_id] = self.after.pop(job.id)
        row = self.keys.get((job.group, job.key))
        if job.key and row and row.holder == job.id and given.until != "started":
            new.key = job.key
            self.keys[job.group, job.key] = row._replace(holder=new_id)

    def end(self, job_id: str, status: Status, reason: str = "") -> None:
        job = self.jobs[job_id]
        job.status, job.reason, job.waits_for = status, reason, 0
        if job.is_hooked:
            self.unsettled[job_id] = self.now

    def retry(self, job_id: str) -> None:
        """Whether a job may be retried by hand; then `retried` adds the new one."""
        job = self.jobs[job_id]
        held = self.held(job.group, job.key) if job.key else None
        if job.retry_at:
            raise Refused("WRONG_STATE")
        if held and held.holder != job_id:
            raise Refused("DUPLICATE")

    def retried(self, job_id: str, new_id: str) -> None:
        job = self.jobs[job_id]
        given = job.given._replace(delay_ms=0, start_within_ms=0, after=())
        new = Tied(new_id, job.group, given, self.now, key=job.key, is_hooked=bool(job.key))
        self.jobs[new_id], job.retry_at = new, new_id
        if job.key:
            row = self.keys.get((job.group, job.key))
            ends = row.ends if row and row.holder == job_id and row.ends > self.now else self._window(given)
            self.keys[job.group, job.key] = Held(new_id, "", ends)

    def promote(self, job_id: str) -> None:
        if self.jobs[job_id].status != "delayed":
            raise Refused("WRONG_STATE")
        self.jobs[job_id].status = "queued"

    def remove(self, job_ids: Iterable[str]) -> None:
        """Delete jobs that have ended; their ends are settled first."""
        left = list(job_ids)
        while left:
            for job_id in [job_id for job_id in left if job_id not in self.unsettled]:
                del self.jobs[job_id]
                left.remove(job_id)
            if left:
                self.settle(100)

    def settle(self, limit: int) -> None:
        """One step: the earliest ends first, each with its dependants."""
        left = limit
        while left > 0 and self.unsettled:
            parent_id = min(self.unsettled, key=lambda job_id: (self.unsettled[job_id], job_id))
            parent = self.jobs[parent_id]
            if parent.key:
                self._refresh(parent.group, parent.key)
            members = self.after.get(parent_id, {})
            for member in sorted(members, key=lambda name: (members[name], name))[:left]:
                self._settle(self.jobs.get(member.split()[1]), parent, is_any_end=members.pop(member))
                left -= 1
            if members:
                return
            self.after.pop(parent_id, None)
            parent.is_hooked = False
            del self.unsettled[parent_id]
            left -= 1

    def _settle(self, job: Tied | None, parent: Tied, *, is_any_end: bool) -> None:
        if job is None or job.status != "held":
            return
        if parent.status != "succeeded" and not is_any_end:
            self.end(job.id, "cancelled", "dependency")
            return
        job.waits_for -= 1
        if not job.waits_for:
            self._begin(job)

    def reap(self, new_ids: dict[str, str]) -> None:
        """All that is due: delays, deadlines, leases, windows."""
        for job in list(self.jobs.values()):
            if job.status == "delayed" and job.due_at <= self.now:
                job.status = "queued"
        for job in list(self.jobs.values()):
            is_late = job.start_before and job.start_before <= self.now and not job.deliveries
            if is_late and job.status in {"held", "delayed", "queued"}:
                self.end(job.id, "failed", "expired")
            if job.status == "running" and job.lease_ends <= self.now:
                self._lose(job, new_ids.get(job.id, ""))
        for (group, key), row in list(self.keys.items()):
            if 0 < row.ends <= self.now:
                self._refresh(group, key)

    def _lose(self, job: Tied, new_id: str) -> None:
        if job.deliveries - job.attempts < DELIVERIES:
            job.status = "queued"
        else:
            self.fail(job.id, "timeout", new_id)

    def move(self) -> None:
        """Another store has all jobs: none runs, and ends that were not settled are settled there."""
        for job in self.jobs.values():
            if job.status == "running":
                job.status = "queued"
        self.unsettled = dict.fromkeys(self.unsettled, self.now)
        self.keys = {key: row for key, row in self.keys.items() if row.holder in self.jobs}
