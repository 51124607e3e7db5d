"""Retry policies as the store has them: members of a job's settings, and the field `retry` of a group.

The scripts read the same members, see lua/lib/retry_policy.lua.
"""

from functools import lru_cache
from typing import Any, get_args

import msgspec
from msgspec import UNSET

from broker.models.retries import Backoff, Retry
from broker.store.format.record import Settings, settings_of, settings_text

_BACKOFFS = get_args(Backoff)
_STEPS = 1000
_DEFAULT = Retry()
_PLAIN = Settings()
_encode = msgspec.json.Encoder().encode


def members_of(retry: Retry) -> dict[str, Any]:
    """The members of a policy that are not the defaults, by their names in the settings."""
    given = {name: value for name in Retry.__struct_fields__ if (value := getattr(retry, name)) is not None}
    whole = msgspec.structs.replace(_DEFAULT, **given)
    members = {
        "retry_max": whole.max,
        "retry_backoff": _BACKOFFS.index(whole.backoff),
        "retry_factor": round((whole.factor or 0) * _STEPS),
        "retry_delay": whole.delay,
        "retry_cap": whole.cap,
        "retry_jitter": whole.jitter,
        "retry_except": ",".join(whole.except_ or ()),
        "retry_only": ",".join(whole.only or ()),
        "retry_max_age": whole.max_age or 0,
    }
    # Settings leave a default out only where it is the same object, which a number that was computed or read is not.
    return {name: value for name, value in members.items() if value != getattr(_PLAIN, name)}


def policy_of(settings: Settings) -> Retry | None:
    """The policy in these settings, with its defaults; None without one."""
    if settings.retry_max < 0:
        return None
    return Retry(
        max=settings.retry_max,
        backoff=_BACKOFFS[min(settings.retry_backoff, len(_BACKOFFS) - 1)],
        factor=settings.retry_factor / _STEPS,
        delay=settings.retry_delay,
        cap=settings.retry_cap,
        jitter=settings.retry_jitter,
        except_=tuple(settings.retry_except.split(",")) if settings.retry_except else UNSET,
        only=tuple(settings.retry_only.split(",")) if settings.retry_only else UNSET,
        max_age=settings.retry_max_age or UNSET,
    )


def policy_text(retry: Retry) -> str:
    """A policy as the field `retry` of a group."""
    return settings_text(Settings(**members_of(retry))).decode()


def policy_in(text: str) -> Retry | None:
    """The policy in the field `retry` of a group; None for a damaged one, which the scripts do not heed either."""
    return policy_of(settings_of(text.encode()))


@lru_cache(maxsize=256)
def policy_json(settings: Settings) -> bytes:
    """The policy in these settings as a member of a job; empty without one."""
    policy = policy_of(settings)
    return b"" if policy is None else b',"retry":' + _encode(policy)
