"""Rates on the command line: `--rate 5000/h:50`."""

import re
from typing import Any

import click

from broker.cli.quantities import Duration

RATE_HELP = "10 is 10 a second; 5000/h:50 is 5,000 an hour, 50 at once; also 20/m and 3/10s."
_RATE = re.compile(r"(\d{1,9})(?:/([^:]+)(?::(\d{1,9}))?)?", re.ASCII)
_LONGEST_S = 86_400


class RateText(click.ParamType[int | dict[str, int]]):
    """A rate: jobs, after a slash the time (a unit such as h, or a duration), after a colon how many at once.

    Its value is as the API has it; its bounds are checked later.
    """

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dict[str, int]:
        """The rate. Fails for other texts."""
        found = _RATE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no rate, such as 10, 20/m or 5000/h:50.", param, ctx)
        jobs, time, burst = found.groups()
        if time is None:
            return int(jobs)
        time = time.strip()
        per = Duration(1, _LONGEST_S).convert(time if time[:1].isdigit() else f"1{time}", param, ctx)
        rate = {"jobs": int(jobs), "per": int(per)}
        return rate if burst is None else rate | {"burst": int(burst)}
