"""A small world, explored whole: two jobs of one group, every verb with every token, and the clock, in every order.

The real scripts run on fakeredis, whose memory is copied before each step and put back after it, so each state is
reached once: two that differ in names, tokens and the time of day alone are the same. A lease token is all that the
store knows of a consumer, so the holder of one stands for each consumer; a crash is a token that is never used again.
"""

import asyncio
import copy
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import fakeredis
import msgspec
from fakeredis.model import ZSet

from broker.core.errors import TitanError
from broker.core.settings import BrokerSettings
from broker.core.states import FINISHED, STATUSES
from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.models.reports import Held
from broker.models.retries import Retry
from broker.resp import keys
from tests.conftest import NOW
from tests.property.kept import kept_of
from tests.stores import Store

GROUP, GRAVE, P = "g", "dead", "t:{0}"
GRACE_MS = 1000
"""How much longer than a job's timeout a short lease may last."""
STEPS_MS = (999, 1)
"""How far the clock goes at once: to just before a second, and on to it."""

_TIMES = ("deadline", "start_before")


class Token(NamedTuple):
    """One delivery: whose, and until when by the store's clock. `is_given_back`: its holder, or a finish, ended it."""

    job_id: str
    lease: str
    ends: int
    is_given_back: bool = False


class Place(NamedTuple):
    """Where the exploration stands: the fake's memory, the clock, and what was seen from outside."""

    memory: Any
    now: int
    tokens: tuple[Token, ...]
    ended: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]


Act = Callable[[], Awaitable[None]]


class World:
    """`settings` of the group, the jobs that it begins with, and the length of short leases.

    `explore` visits all states up to a depth. Nobody takes the dead letters.
    """

    def __init__(self, settings: GroupSettings, jobs: list[NewJob], lease_s: int | None = None) -> None:
        self.states = self.edges = 0
        self._server = fakeredis.FakeServer()
        redis = fakeredis.FakeAsyncRedis(server=self._server, version=(7,))
        self._store = Store(redis, BrokerSettings(key_prefix="t", stop_grace_s=GRACE_MS / 1000), is_plain=True)
        self._settings = settings
        self._jobs = jobs
        self._lease_s = lease_s
        self._has_policy = any(job.retry for job in jobs)
        self._now = NOW
        self._tokens: dict[str, Token] = {}
        self._ended: dict[str, str] = {}
        self._ids: list[str] = []

    async def explore(self, depth: int) -> None:
        """Visit everything within this number of steps; raises AssertionError with the steps that lead to it."""
        await self._begin()
        first = self._here()
        seen = {self._shape()}
        queue: deque[tuple[Place, tuple[str, ...]]] = deque([(first, ())])
        while queue:
            place, way = queue.popleft()
            self._go_to(place)
            for name, _ in list(self._acts()):
                self._go_to(place)
                act = dict(self._acts())[name]
                try:
                    await act()
                    self._check_step(place)
                    shape = self._shape()
                    if shape not in seen:
                        await self._check_state()
                except Exception as fault:
                    raise AssertionError(f"{fault!r} after: {', '.join([*way, name])}") from fault
                self.edges += 1
                if shape not in seen and len(way) + 1 < depth:
                    queue.append((self._here(), (*way, name)))
                seen.add(shape)
        self.states = len(seen)
        await self._store.redis.aclose()

    async def _begin(self) -> None:
        self._store.now = str(self._now)
        await self._store.open()
        await self._store.configure(GROUP, self._settings)
        self._ids += [job.id for job in (await self._store.enqueue(GROUP, self._jobs)).jobs]

    def _acts(self) -> Iterator[tuple[str, Act]]:
        yield "next", self._next
        yield "reap", self._reap
        for ms in STEPS_MS:
            yield f"wait {ms} ms", lambda ms=ms: self._wait(ms)  # type: ignore[misc]
        for number, job_id in enumerate(self._ids):
            for verb in ("cancel", "retry", "promote", "remove"):
                yield f"{verb} {number}", lambda verb=verb, job_id=job_id: self._by_hand(verb, job_id)  # type: ignore[misc]
            yield f"start {number}", lambda job_id=job_id: self._start(job_id)  # type: ignore[misc]
            for name, token in self._known(job_id):
                for verb in ("touch", "succeed", "fail", "release", "start again"):
                    yield f"{verb} {number} {name}", lambda v=verb, t=token: self._report(v, t)  # type: ignore[misc]

    def _known(self, job_id: str) -> Iterator[tuple[str, Token]]:
        """The last delivery's token, and one that came before it."""
        tokens = [token for token in self._tokens.values() if token.job_id == job_id]
        yield from zip(("last", "stale"), reversed(tokens[-2:]), strict=False)

    async def _wait(self, ms: int) -> None:
        self._now += ms
        self._store.now = str(self._now)

    async def _next(self) -> None:
        groups = [GROUP] if self._settings.dead_letter_to else []
        for job in await self._store.next(1, groups, lease_s=self._lease_s):
            await self._handed_out(job.id, str(job.lease))

    async def _start(self, job_id: str) -> None:
        try:
            job = await self._store.start(GROUP, job_id)
        except TitanError as refusal:
            _must_be_a_refusal(refusal)
            return
        if job.lease and job.lease not in self._tokens:
            await self._handed_out(job_id, job.lease)
        else:
            await self._renew(job_id)

    async def _handed_out(self, job_id: str, lease: str) -> None:
        for token in self._tokens.values():
            if token.job_id == job_id:
                assert token.is_given_back or token.ends <= self._now, "two hold the job"
            if token.job_id == _facts(self._memory(), job_id).get("retry_of"):
                is_cancelled = self._ended.get(token.job_id) == "cancel"  # its holder learns of that later
                assert token.is_given_back or token.ends <= self._now or is_cancelled, "a retry runs while its job runs"
        assert job_id not in self._ended, "a finished job was delivered"
        self._tokens[lease] = Token(job_id, lease, 0)
        await self._renew(job_id)

    async def _renew(self, job_id: str) -> None:
        run = _run(self._memory(), job_id)
        token = self._tokens[run["lease"]]
        ends = _score(self._memory(), keys.members(P, GROUP, "running"), job_id)
        assert ends is not None
        assert ends <= int(run.get("deadline", ends)) + GRACE_MS, "a run has too much time"
        self._tokens[token.lease] = token._replace(ends=int(ends))

    async def _report(self, verb: str, token: Token) -> None:
        _, holder = next(self._known(token.job_id))
        try:
            if verb == "touch":
                [ends] = await self._store.touch([Held(group_name=GROUP, id=token.job_id, lease=token.lease)])
                if isinstance(ends, TitanError):
                    raise ends
            elif verb == "start again":
                await self._store.start(GROUP, token.job_id, token.lease)
            else:
                await getattr(self._store, verb)(GROUP, token.job_id, token.lease)
        except TitanError as refusal:
            _must_be_a_refusal(refusal)
            assert token.is_given_back or token != holder or token.ends <= self._now or token.job_id in self._ended, (
                "the holder was refused"
            )
            return
        if verb == "fail" and token.is_given_back and self._has_policy:
            return  # the repeat of a failure that was forgiven
        if _run(self._memory(), token.job_id).get("status"):
            assert self._ended.setdefault(token.job_id, token.lease) == token.lease, "two have ended it"
        assert token == holder, "a stale token was taken"
        if verb in {"touch", "start again"}:
            await self._renew(token.job_id)
        else:
            self._tokens[token.lease] = token._replace(is_given_back=True)

    async def _by_hand(self, verb: str, job_id: str) -> None:
        try:
            await getattr(self._store, verb)(GROUP, job_id)
        except TitanError as refusal:
            _must_be_a_refusal(refusal)
            return
        if verb == "cancel":
            self._ended.setdefault(job_id, "cancel")

    async def _reap(self) -> None:
        await self._store.reap(10)

    async def _check_state(self) -> None:
        """The store agrees with itself."""
        assert await self._store.check(GROUP, self._ids, is_repair=False) == []
        assert await self._store.check(GROUP, (), is_repair=False) == []

    def _check_step(self, before: Place) -> None:
        """Finished jobs stay so; each job is in one set, and is not delivered more often than it may be."""
        memory, old = self._memory(), before.memory
        copies = _copies(memory)
        self._ids += sorted(_job_ids(memory) - set(self._ids) - copies.keys())
        self._check_copies(old, memory)
        for job_id in _job_ids(memory) - copies.keys():
            sets = [status for status in STATUSES if _score(memory, keys.members(P, GROUP, status), job_id) is not None]
            assert len(sets) == 1, f"{job_id} is in {sets}"
            status = _run(old, job_id).get("status")
            assert status not in FINISHED or status == sets[0], f"{job_id} was {status} and is {sets[0]}"
            limit = self._settings.delivery_limit or 5
            lost = int(_run(memory, job_id).get("deliveries", 0)) - int(_facts(memory, job_id).get("attempts", 0))
            assert lost <= limit, "delivered too often"

    def _check_copies(self, old: Any, memory: Any) -> None:
        """A job that has failed for good has one copy from then on; one that was retried, or ended well, has none."""
        before, now = (Counter(_copies(which).values()) for which in (old, memory))
        failed = keys.members(P, GROUP, "failed")
        for job_id in self._ids:
            has_failed = _score(memory, failed, job_id) is not None and _score(old, failed, job_id) is None
            is_dead = self._settings.dead_letter_to and not _facts(memory, job_id).get("retry_at")
            expected = int(bool(is_dead)) if has_failed else before[job_id]
            assert now[job_id] == expected, f"{job_id} has {now[job_id]} copies"

    def _memory(self) -> Any:
        return self._server.dbs[0]._dict

    def _here(self) -> Place:
        ended, ids = tuple(self._ended.items()), tuple(self._ids)
        return Place(copy.deepcopy(self._memory()), self._now, tuple(self._tokens.values()), ended, ids)

    def _go_to(self, place: Place) -> None:
        self._server.dbs[0]._dict = copy.deepcopy(place.memory)
        self._now, self._store.now = place.now, str(place.now)
        self._tokens = {token.lease: token for token in place.tokens}
        self._ended, self._ids = dict(place.ended), list(place.ids)

    def _shape(self) -> bytes:
        """The state without names and the time of day."""
        memory = self._memory()
        names = {job_id: f"job {number}" for number, job_id in enumerate(self._ids)}
        names |= {token: f"token {number}" for number, token in enumerate(self._tokens)}
        names |= {copy_id: f"copy of {names[job_id]}" for copy_id, job_id in _copies(memory).items()}
        jobs = []
        for job_id in self._ids:
            known = [(max(0, token.ends - self._now), token.is_given_back) for _, token in self._known(job_id)]
            fields = {}
            for name, value in {**_facts(memory, job_id), **_run(memory, job_id)}.items():
                fields[name] = int(value) - self._now if name in _TIMES else names.get(value, value)
            last = next((token.lease for _, token in self._known(job_id)), "")
            fields["lease"] = "last" if fields.get("lease") == names.get(last) else fields.get("lease", "")
            fields.pop("rank", None)
            fields.pop("dead_letter", None)  # the copies are among the sets
            jobs.append([names[job_id], sorted(fields.items()), known, self._ended.get(job_id, "") == last])
        sets = []
        for key in sorted(memory):
            value = memory[key].value
            if key.decode().startswith(f"{P}:group:") and isinstance(value, ZSet):
                sets.append([key.decode(), _line(value, names, self._now)])
        return msgspec.msgpack.encode([jobs, sets])


def _must_be_a_refusal(error: TitanError) -> None:
    """A script that fails is none."""
    if type(error) is TitanError:
        raise error


def _line(members: Any, names: dict[str, str], now: int) -> list[Any]:
    """A sorted set's members in order; of times how far away they are, of places the order alone."""
    pairs = [(names.get(member.decode(), member.decode()), score) for member, score in sorted(members.items(), key=_by)]
    return [[name, int(score - now) if abs(score - now) < 10**9 else 0] for name, score in pairs]


def _by(pair: tuple[bytes, float]) -> tuple[float, bytes]:
    return pair[1], pair[0]


def _fields(memory: Any, key: str) -> dict[str, bytes]:
    item = memory.get(key.encode())
    return {} if item is None else {_text(name): value for name, value in item.value.items()}


def _job_ids(memory: Any) -> set[str]:
    return set(_fields(memory, keys.jobs(P)))


def _copies(memory: Any) -> dict[str, str]:
    """The dead letters, each with the job of which it is a copy."""
    jobs = _fields(memory, keys.jobs(P))
    found = {copy_id: kept_of(text) for copy_id, text in jobs.items() if b'"dead_letter_of"' in text}
    return {copy_id: settings["retry_of"] for copy_id, settings in found.items()}


def _facts(memory: Any, job_id: str) -> dict[str, str]:
    """The fields of the job, without its execution and its creation time."""
    text = _fields(memory, keys.jobs(P)).get(job_id)
    settings = kept_of(text or b"")
    settings.pop("created_at", None)
    own = {name: _text(value) for name, value in _fields(memory, keys.job(P, job_id)).items()}
    return {name: str(value) for name, value in settings.items()} | own


def _run(memory: Any, job_id: str) -> dict[str, str]:
    """What is kept of the job's last run, but for when it was."""
    words = _text(_fields(memory, keys.executions(P)).get(job_id, "")).split()
    if len(words) < len(("lease", "deliveries", "started_at")):
        return {"deliveries": words[0]} if words else {}
    run = {"lease": words[0], "deliveries": words[1]}
    for word, at in zip(words[3:], [*words[4:], ""], strict=False):
        if word in FINISHED:
            run["status"] = word
        elif word == "start":
            run["handed_out_by"] = word
        elif at.isdigit():
            run |= {"lease_s": word, "deadline": at}
    return run


def _score(memory: Any, key: str, member: str) -> float | None:
    item = memory.get(key.encode())
    return None if item is None else dict(item.value.items()).get(member.encode())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


WORLDS: dict[str, tuple[GroupSettings, list[NewJob], int | None]] = {
    "two deliveries, a retry and a delay": (
        GroupSettings(delivery_limit=2),
        [NewJob(image="x", timeout=1, max_retries=1, retries_delay=0), NewJob(image="x", timeout=1, delay=1)],
        None,
    ),
    "a run of 1 s with a short lease": (
        GroupSettings(max_concurrency=1, delivery_limit=2),
        [NewJob(image="x", timeout=1, max_retries=1, retries_delay=0)],
        1,
    ),
    "one at a time, tokens demanded": (
        GroupSettings(max_concurrency=1, require_lease=True, delivery_limit=1),
        [NewJob(image="x", timeout=1, priority=2), NewJob(image="x", timeout=2, max_retries=1, retries_delay=1)],
        None,
    ),
    "a retry policy, and a job without one": (
        GroupSettings(delivery_limit=1),
        [NewJob(image="x", timeout=1, retry=Retry(max=1, delay=1, jitter=0)), NewJob(image="x", timeout=1)],
        None,
    ),
    "dead letters, and a job that must start in time": (
        GroupSettings(delivery_limit=1, dead_letter_to=GRAVE, start_within=1),
        [NewJob(image="x", timeout=1, max_retries=1, retries_delay=0)],
        None,
    ),
}


def main() -> None:
    """`python -m tests.property.small 6`: explore every world to a depth, and say how large it was."""
    depth = int(sys.argv[1])
    for name, given in WORLDS.items():
        world = World(*given)
        asyncio.run(world.explore(depth))
        print(f"{name}, {depth} steps: {world.states} states, {world.edges} edges")


if __name__ == "__main__":
    main()
