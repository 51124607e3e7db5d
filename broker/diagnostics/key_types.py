"""Finds keys of another type than Titan gives them. Somebody wrote them by hand, and scripts that meet one fail."""

from collections.abc import Sequence

from broker.core.states import STATUSES
from broker.resp import keys
from broker.resp.key_scan import literal, scan
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.format.maintenance_replies import Finding

_KINDS = {
    "hash": (
        "jobs",
        "executions",
        "job",
        "inputs",
        "worker",
        "session",
        "bulk",
        "total",
        "brokers",
        "departed",
        "modes",
        "turns",
        "dead_letters",
    ),
    "string": ("sequence", "answer", "imported", "fence", "flushed", "format", "version", "partitions"),
    "stream": ("audit", "events"),
    "zset": (
        *("groups", "ready", "due", "rates", "bytes", "discarded", "workers", "sessions", "notices", "pollers"),
        *("image_pollers", "asked", "asked_images", "counted", "bulks", "bulks_running", "bulks_extended"),
        *("listening", "writing"),
        *("settle", "after", "undone", "schedules"),
    ),
}
_TYPE_OF_SCHEDULE = {"": "hash", "fires": "list", "open": "list", "times": "zset"}
_SETS = {*STATUSES, "jobs", "expiring", "windows", "batches", "ending", "schedules", "keys", "lanes", "virtual_time"}
_TYPE_OF_KIND = {kind: type_ for type_, kinds in _KINDS.items() for kind in kinds}


async def wrong_types(server: Server, names: Sequence[str], prefix: str, group: str = "") -> list[Finding]:
    """A finding for each key of these partitions, or of one group in them, that has a type of its own."""
    found: dict[str, Finding] = {}
    async for some in scan(server, f"{literal(f'{names[0]}:' if len(names) == 1 else f'{prefix}:{{')}*"):
        known = [(name, *parts_of(name)) for name in some]
        rows = [row for row in known if row[1] in names and (not group or group_of(row[2]) == group)]
        asked = server.redis.pipeline(transaction=False)
        for name, _, _ in rows:
            asked.type(name)
        for (name, _, rest), reply in zip(rows, await translate_errors(asked.execute()), strict=True):
            type_, wanted = reply.decode(), type_of(rest)
            if wanted and type_ not in {wanted, "none"}:
                found[name] = Finding(group_of(rest), "", f"the key {name} is a {type_}, not a {wanted}")
    return list(found.values())


def parts_of(name: str) -> tuple[str, str]:
    """The partition of a key, and what follows it."""
    tag, _, rest = name.partition("}:")
    return tag + "}", rest


def group_of(rest: str) -> str:
    """The group of a key by what follows the partition, or ''."""
    kind, _, more = rest.partition(":")
    return more.partition(":")[0] if kind in {"group", "schedule"} else ""


def type_of(rest: str) -> str | None:
    """The type of a key, as TYPE answers it, by what follows the partition in its name; None for an unknown key."""
    kind, _, rest = rest.partition(":")
    if kind == "batch":
        return "zset" if ":" in rest else "hash"
    if kind == "schedule":
        return _TYPE_OF_SCHEDULE.get(rest.partition(":")[2].partition(":")[2])
    if kind != "group":
        return _TYPE_OF_KIND.get(kind)
    set_name = rest.partition(":")[2]
    if set_name in _SETS or set_name.startswith("lane:"):
        return "zset"
    return "hash" if set_name in {"", "unique", *keys.STATISTICS} else None
