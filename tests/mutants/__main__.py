"""`python -m tests.mutants`: break the scripts in every way there is, and name what no contract test notices.

Exit code 1 when a mutant survives that equivalent.toml does not name, or when an entry there names none any more.
"""

import argparse
import os
import random
import sys
import time
import tomllib
from pathlib import Path

from broker.resp import script_source
from tests.mutants.lua import Mutant, mutants
from tests.mutants.run import run

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def all_mutants() -> list[Mutant]:
    """Those of every Lua file."""
    paths = sorted([*script_source.VERBS.glob("*.lua"), *script_source.LIB.glob("*.lua")])
    return [mutant for path in paths for mutant in mutants(path)]


def equivalents() -> dict[tuple[str, str, str], str]:
    """Mutants that need not be found, with the reason."""
    rows = tomllib.loads(EQUIVALENT.read_text("utf-8"))["equivalent"]
    return {(row["file"], row["line"], change): row["reason"] for row in rows for change in row["changes"]}


def main() -> int:
    """Run, print survivors, give the exit code."""
    told = _arguments()
    everything, known = all_mutants(), equivalents()
    gone = sorted(set(known) - {mutant.name for mutant in everything})
    wanted = [m for m in everything if m.name not in known and (not told.file or m.file in told.file)]
    wanted = [m for m in wanted if not told.line or any(text in m.line for text in told.line)]
    # In another order each time, so that what one run does not reach within its limit is tried by another.
    wanted = random.Random(told.seed).sample(wanted, min(told.sample or len(wanted), len(wanted)))
    survivors: list[Mutant] = []
    count, began = 0, time.monotonic()

    def hear(mutant: Mutant, finder: str) -> None:
        nonlocal count
        count += 1
        if not finder:
            survivors.append(mutant)
            print("survives:", *mutant.name, sep="\n    ", flush=True)
        elif told.verbose:
            print(f"{count}/{len(wanted)}", *mutant.name, finder, sep=" | ", flush=True)

    is_whole = run(wanted, hear, told.limit_s, told.processes, told.tests or ("",))
    for name in gone:
        print("equivalent.toml names what is not there:", *name, sep="\n    ")
    print(
        f"{count} of {len(everything)} mutants tried in {time.monotonic() - began:.0f} s (seed {told.seed}): "
        f"{count - len(survivors)} found, {len(survivors)} survive, {len(known)} are equivalent"
        + ("" if is_whole else f"; stopped after {told.limit_s:.0f} s")
    )
    return 1 if survivors or gone else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("file", nargs="*", help="Lua files, without .lua; all when none is given")
    parser.add_argument("--line", action="append", help="only mutants of lines with this text; may be given again")
    parser.add_argument("--sample", type=int, default=0, help="try this many, chosen by the seed; 0 for all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--limit-s", type=float, default=7200, help="stop after this many seconds")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at the same time; one a core")
    parser.add_argument("--tests", action="append", help="use only this file of tests/contract; may be given again")
    parser.add_argument("--verbose", action="store_true", help="print each mutant and the test that found it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
