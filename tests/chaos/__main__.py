"""python -m tests.chaos --kills 500 [--seed N]: every runtime and server in turn. The status is 1 where something is wrong."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.soak.settings import Settings
from tests.support.servers import available_servers
from tests.transports.runtimes import RUNTIMES

from .episode import Plan, play
from .report import Tally
from .schedule import KILLS, schedule

HAND: Final = sum(KILLS.values())


def plan(number: int, seed: int, kills: int, directory: Path) -> Plan:
    """The run of that number: all runtimes meet all servers, and every other run is behind TLS."""
    servers = available_servers()
    directory /= f"{number}"
    directory.mkdir()
    return Plan(
        RUNTIMES[number % len(RUNTIMES)],
        servers[number % len(servers)],
        Settings(str(directory), seed=seed + number, rate=200.0, claim_idle=6.0, poison_every=400),
        schedule(f"{seed}-{number}", min(kills, HAND)),
        tls=number % 2 == 1,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults")
    parser.add_argument("--first", type=int, default=0, help="the number of the first run, to repeat one of them")
    parser.add_argument("--keep", action="store_true", help="what was written down, also if nothing is wrong")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    given = parser.parse_args()
    console = Console(markup=False, highlight=False, emoji=False)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()

    def say(text: str) -> None:
        if not given.quiet:
            console.print(f"{time.monotonic() - began:6.1f} s  {text}", soft_wrap=True)

    say(f"seed {given.seed}, {given.kills} kills")
    tally, number = Tally(), given.first
    try:
        while tally.kills < given.kills:
            chosen = plan(number, given.seed, given.kills - tally.kills, directory)
            say(f"run {number}: {chosen}")
            try:
                outcome = play(chosen, say)
            except Exception:
                tally.problems.append(f"run {number} ({chosen}) has failed: {traceback.format_exc()}")
                break
            tally.add(chosen, outcome)
            for problem in outcome.account.problems:
                say(f"WRONG: {problem}")
            number += 1
    except KeyboardInterrupt:
        console.print("Interrupted.")
    tally.show(console, given.seed, time.monotonic() - began)
    if tally.problems or given.keep:
        console.print(f"What was written down is in {directory}", soft_wrap=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return bool(tally.problems) or tally.kills < given.kills


if __name__ == "__main__":
    sys.exit(main())
