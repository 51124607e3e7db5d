"""The reply of why.lua with names, and what the broker knows besides."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from broker.core.timestamps import milliseconds, rfc3339
from broker.models.groups import DEFAULT_DELIVERY_LIMIT, Retentions
from broker.models.jobs import Job
from broker.models.workers import Departed, Worker
from broker.store.asked import ALL, ANY, Pair
from broker.store.format.policies import policy_in
from broker.store.format.replies import job_of, values_of

ASKED_MS = 30_000
"""Somebody asks for jobs if that was noted in this time, ms: twice the interval of the notes, and some polls."""
NOTED_MS = 11_000
"""What somebody asks for is noted at most so much later, ms."""
MOST_IMAGES = 1000
"""The store keeps no more. When it has as many, an image that is not among them may have been asked for."""
RATE_MINUTES = 5
_SETTINGS = ("paused", "paused_at", "paused_by", "note", "max_concurrency", "rate_limit", "delivery_limit", "retry")
_BUDGET = ("max_jobs", "max_bytes")
_RETENTIONS = tuple(f"retention_{name}" for name in Retentions.__struct_fields__)
_OUT = 2
"""Where the counts of a minute have the jobs that were taken; the first number is the minute."""


class Facts(Struct, frozen=True, kw_only=True):
    """What decides when a job runs. Times are ms by the store's clock; None where there is none.

    `is_of_group`: the job is the first queued one of the group, None without one. `place` is how many jobs of the group
    are before it. `leader`: the job that it follows. `has_rank`: the group is in the ready index, after `groups_ahead`
    others. `asked` has for each group
    or ALL, and image or ANY, when somebody asked for it last. `places`: how many jobs of its key have places, of
    `most_places`; `place_holders` are some of them. `is_fair`: groups take turns.
    """

    group: str
    is_of_group: bool
    now: int
    job: Job | None
    is_released: bool
    leader: str
    settings: Mapping[str, str]
    due_at: int | None
    delayed: int
    queued: int
    running: int
    unfinished_bytes: int
    holders: list[str]
    rate_until: int | None
    has_rank: bool
    groups_ahead: int
    place: int | None
    asked_at: int | None
    asked: Mapping[Pair, int]
    out_per_s: float | None
    places: int = 0
    most_places: int | None = None
    place_holders: Sequence[str] = ()
    is_fair: bool = False
    workers: Sequence[Worker] = ()
    departed: Sequence[Departed] = ()
    waiting_requests: int = 0

    def number(self, setting: str) -> int | None:
        """A setting of the group as a number."""
        return int(self.settings[setting]) if setting in self.settings else None

    @property
    def weight(self) -> int:
        """How many jobs the group gives in a turn."""
        return self.number("weight") or 1

    @property
    def are_keys_fair(self) -> bool:
        """Whether the keys of the group take turns."""
        return self.is_fair and "fair_keys" in self.settings

    @property
    def delivery_limit(self) -> int:
        """How often a job of the group is delivered at most."""
        return self.number("delivery_limit") or DEFAULT_DELIVERY_LIMIT

    @property
    def retry_max(self) -> int | None:
        """How many failures the policy of the group forgives; None without one."""
        policy = policy_in(self.settings.get("retry", ""))
        return policy.max if policy else None

    @property
    def kept_until(self) -> int | None:
        """When a finished job is deleted."""
        if self.job is None or not self.job.completed_at:
            return None
        kept_s = self.number(f"retention_{self.job.status}")
        default_s = getattr(Retentions(), self.job.status)
        return milliseconds(self.job.completed_at) + 1000 * (default_s if kept_s is None else kept_s)

    def image_asked_at(self, *images: str) -> int | None:
        """When somebody asked last for one of these images, or ANY, of the group."""
        times = [self.asked.get((name, image)) for name in (self.group, ALL) for image in images]
        return max((at for at in times if at is not None), default=None)

    @property
    def images_asked(self) -> list[str]:
        """The images that were asked for just now, of this group or all, the latest first."""
        since = self.now - ASKED_MS
        own = [(at, image) for (group, image), at in self.asked.items() if group in {self.group, ALL} and image != ANY]
        return list(
            dict.fromkeys(msgspec.json.decode(image, type=str) for at, image in sorted(own)[::-1] if at >= since)
        )

    def is_recent(self, at: int | None) -> bool:
        """Whether a time is within the last 30 s."""
        return at is not None and at >= self.now - ASKED_MS


def facts_of(group: str, reply: Sequence[Any], pending: Iterable[Pair], *, is_of_group: bool) -> Facts:
    """The reply of why.lua. `pending`: what this broker was asked for and has not noted in the store yet."""
    now, row, settings, due_at, counts, holders, place, asked, images, minutes, is_fair, lane = reply
    at = int(now)
    rate_until, rank, groups_ahead, own_place = place
    names = (*_SETTINGS, *_BUDGET, "weight", "fair_keys", *_RETENTIONS)
    asked_at = [int(score) for score in asked if score is not None]
    pairs = dict(_asked(images))
    for pair in pending:
        if pair[0] in {group, ALL}:
            pairs[pair] = at
            asked_at.append(at)
    return Facts(
        group=group,
        is_of_group=is_of_group,
        now=at,
        job=job_of(row) if row else None,
        is_released="rank" in values_of(row),
        leader=values_of(row).get("leader", ""),
        settings={name: value.decode() for name, value in zip(names, settings, strict=True) if value is not None},
        due_at=_number(due_at),
        delayed=counts[0],
        queued=counts[1],
        running=counts[2],
        unfinished_bytes=_number(counts[3]) or 0,
        holders=[job_id.decode() for job_id in holders],
        rate_until=_number(rate_until),
        has_rank=rank is not None,
        groups_ahead=groups_ahead or 0,
        place=own_place,
        asked_at=max(asked_at, default=None),
        asked=pairs,
        out_per_s=_out_per_s(at, minutes),
        places=int(lane[0]) if lane else 0,
        most_places=_number(lane[1]) if lane else None,
        place_holders=[job_id.decode() for job_id in lane[2]] if lane else (),
        is_fair=bool(is_fair),
    )


def _asked(flat: Sequence[bytes]) -> Iterable[tuple[Pair, int]]:
    for member, score in zip(flat[::2], flat[1::2], strict=True):
        name, _, image = member.decode().partition(" ")
        yield (name, image), int(score)


def _out_per_s(now: int, minutes: Sequence[bytes | None]) -> float | None:
    """The rate at which jobs of the group were taken in the last whole minutes; None without statistics of them."""
    last = now // 60_000
    counts = [[int(number) for number in text.split()] for text in minutes if text]
    own = [numbers[_OUT] for numbers in counts if last - RATE_MINUTES <= numbers[0] < last]
    return sum(own) / (60 * RATE_MINUTES) if own else None


def _number(value: Any) -> int | None:
    return None if value is None else int(float(value))


def time_or_unset(ms: int | None) -> str | UnsetType:
    """A time as reasons have it, RFC 3339, from ms."""
    return UNSET if ms is None else rfc3339(ms)
