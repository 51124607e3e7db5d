"""Times as prose has them: how far away they are, and a clock of a day in UTC."""

from broker.core.timestamps import rfc3339

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_DATE = len("2026-11-29")


def span(seconds: float) -> str:
    """A time in its two largest units: `0.4 s`, `12 s`, `4 min 10 s`, `2 d`."""
    if seconds < 1:
        return f"{max(0.0, seconds):.1f} s"
    left = round(seconds)
    at = next(i for i, (size, _) in enumerate(_UNITS) if left >= size)
    words = []
    for size, unit in _UNITS[at : at + 2]:
        n, left = divmod(left, size)
        words += [f"{n} {unit}"] if n else []
    return " ".join(words)


def clock(ms: int, now: int) -> str:
    """`14:03:11 UTC`; on another day than now `2026-11-30 14:03:11 UTC`."""
    text, today = (rfc3339(at).partition(".")[0].replace("T", " ") for at in (ms, now))
    return f"{text[_DATE + 1 :] if text[:_DATE] == today[:_DATE] else text} UTC"


def distance(ms: int, now: int) -> str:
    """`in 4 min 10 s (14:03:11 UTC)`, or `4 min 10 s ago (14:03:11 UTC)`."""
    words = f"in {span((ms - now) / 1000)}" if ms > now else f"{span((now - ms) / 1000)} ago"
    return f"{words} ({clock(ms, now)})"
