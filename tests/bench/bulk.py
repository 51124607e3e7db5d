"""`python -m tests.bench.bulk`: a bulk of 100,000 retries at 2,000 a second, its broker killed half way; the figures.

Exit code 1 when a job was retried twice or not at all, when no other broker continued within 15 s, or when it took more
than a minute longer than the rate says.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.system.bulk_scene import killed_half_way

TAKEN_S = 15.0
"""How soon another broker must continue."""
MORE_S = 60.0
"""How much longer than by its rate it may take after the kill."""


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser("python -m tests.bench.bulk", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="how many failed jobs (100000)")
    parser.add_argument("--rate", type=int, default=2000, help="retries a second (2000)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="titan-bulk-") as folder:
        figures = asyncio.run(killed_half_way(Path(folder), given.jobs, given.rate, 600))
    bulk, expected_s = figures.bulk, (given.jobs - figures.done_at_kill) / given.rate
    print(f"rate                {figures.rate_before:,} a second before the kill, {figures.rate_after:,} after it")
    print(f"killed              when {figures.done_at_kill:,} of {given.jobs:,} were done")
    print(f"taken by another    {figures.taken_after_s} s after the kill")
    print(f"done                {figures.after_kill_s} s after the kill; by the rate alone {expected_s:.1f} s")
    print(f"new jobs            {figures.retried:,}, of one job twice: {figures.twice}")
    print(f"the bulk says       {bulk.state}, {bulk.done:,} done, skipped {bulk.skipped}, refused {bulk.refused}")
    print(f"store               {figures.store_share:.0%} of a core until the kill")
    is_whole = (figures.retried, figures.twice, bulk.done) == (given.jobs, 0, given.jobs)
    is_soon = figures.taken_after_s < TAKEN_S and figures.after_kill_s < expected_s + MORE_S
    return 0 if is_whole and is_soon else 1


if __name__ == "__main__":
    sys.exit(main())
