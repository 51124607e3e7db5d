"""Converts groups: what scripts reply of them to the struct of the API, and their settings to fields of the store."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from broker.core.states import STATUSES
from broker.core.timestamps import rfc3339
from broker.models.groups import DEFAULT_DELIVERY_LIMIT, Counts, Group, GroupSettings, Retentions
from broker.store.format.policies import policy_in, policy_text
from broker.store.format.rates import rate_in, rate_text
from broker.store.format.replies import values_of

_RETENTION = "retention_"
_NUMBERS = ("start_within", "max_jobs", "max_bytes", "priority_boost")
_encode = msgspec.json.Encoder().encode
_env_vars = msgspec.json.Decoder(dict[str, str]).decode


def group_of(row: Sequence[Any]) -> Group:
    """A row of groups.lua as a group."""
    settings = values_of(row[8:])
    kept = {
        name.removeprefix(_RETENTION): int(value) for name, value in settings.items() if name.startswith(_RETENTION)
    }
    limit, rate = settings.get("max_concurrency"), settings.get("rate_limit")
    numbers: dict[str, Any] = {name: int(settings[name]) for name in _NUMBERS if name in settings}
    return Group(
        name=row[0].decode(),
        created_at=rfc3339(int(row[1])),
        counts=Counts(**dict(zip(STATUSES, map(int, row[2:8]), strict=True))),
        image=settings.get("image", UNSET),
        env_vars=_env_vars(settings["env_vars"]) if "env_vars" in settings else UNSET,
        max_concurrency=int(limit) if limit else UNSET,
        rate_limit=rate_in(rate) if rate else UNSET,
        paused="paused" in settings,
        paused_at=rfc3339(int(settings["paused_at"])) if "paused_at" in settings else UNSET,
        paused_by=settings.get("paused_by", UNSET),
        note=settings.get("note", UNSET),
        delivery_limit=int(settings.get("delivery_limit", DEFAULT_DELIVERY_LIMIT)),
        require_lease="require_lease" in settings,
        key_concurrency=int(settings["key_concurrency"]) if "key_concurrency" in settings else UNSET,
        key_strict=True if "key_strict" in settings else UNSET,
        fair_keys=True if "fair_keys" in settings else UNSET,
        retention=Retentions(**kept),
        retry=policy_in(settings["retry"]) or UNSET if "retry" in settings else UNSET,
        dead_letter_to=settings.get("dead_letter_to", UNSET),
        weight=int(settings["weight"]) if "weight" in settings else UNSET,
        **numbers,
    )


def fields_of(settings: GroupSettings) -> list[str]:
    """The settings of a group as fields of its hash: only those that are not the default."""
    given: dict[str, str | int | None] = {
        "image": settings.image or None,
        "env_vars": _encode(settings.env_vars).decode() if settings.env_vars else None,
        "max_concurrency": settings.max_concurrency,
        "rate_limit": rate_text(settings.rate_limit) if settings.rate_limit else None,
        "paused": "true" if settings.paused else None,
        "delivery_limit": settings.delivery_limit,
        "require_lease": "true" if settings.require_lease else None,
        "retry": policy_text(settings.retry) if settings.retry else None,
        "start_within": settings.start_within,
        "dead_letter_to": settings.dead_letter_to or None,
        "key_concurrency": settings.key_concurrency,
        "key_strict": "true" if settings.key_strict else None,
        "fair_keys": "true" if settings.fair_keys else None,
        "max_jobs": settings.max_jobs,
        "max_bytes": settings.max_bytes,
        "priority_boost": settings.priority_boost,
        "weight": None if settings.weight == 1 else settings.weight,
    }
    for status, kept_s in msgspec.structs.asdict(settings.retention or Retentions()).items():
        given[_RETENTION + status] = None if kept_s == getattr(Retentions(), status) else kept_s
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]
