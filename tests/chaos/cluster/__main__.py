"""python -m tests.chaos.cluster --faults 100 [--seed N]: runs on clusters of every server. The status is 1 where something is wrong."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import traceback
from collections import Counter
from typing import Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tests.soak.settings import Settings
from tests.support.servers import available_servers
from tests.transports.runtimes import ASYNC

from .episode import Outcome, Plan, play
from .recovery import Pauses
from .schedule import MOVES, schedule

HAND: Final = 20  # faults of a run
RATE: Final = 1000.0  # entries per second


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cluster", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults")
    parser.add_argument("--first", type=int, default=0, help="the number of the first run, to repeat one of them")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--entries", type=int, default=1000, help="of each stream")
    parser.add_argument("--rate", type=float, default=RATE, help="entries per second, of all streams")
    parser.add_argument("--server", help="one of the servers that the tests know")
    parser.add_argument("--base-port", type=int)
    given = parser.parse_args()
    console = Console(markup=False, highlight=False, emoji=False, width=160)
    servers = [kind for kind in available_servers() if given.server in (None, kind.name)]
    began, problems, numbers, done, number = time.monotonic(), list[str](), Counter[str](), 0, given.first

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}", soft_wrap=True)

    say(f"seed {given.seed}, {given.faults} faults")
    while done < given.faults:
        server, runtime = servers[number % len(servers)], ASYNC[number % len(ASYNC)]
        strikes = schedule(f"{given.seed}-{number}", min(HAND, given.faults - done))
        if server.name == "redis7":
            strikes = [strike for strike in strikes if strike.kind != "atomic move"]
        settings = Settings("", seed=given.seed + number, rate=given.rate, claim_idle=8.0, poison_every=400)
        plan = Plan(runtime, settings, strikes, given.streams, given.entries)
        say(f"run {number}: {runtime.name}, {server.name}")
        try:
            with server.create_cluster(base_port=given.base_port) as cluster:
                outcome = play(plan, cluster, say)
        except Exception:
            problems.append(f"run {number} has failed: {traceback.format_exc()}")
            console.print(problems[-1], soft_wrap=True)
            break
        done += len(strikes) or 1
        for problem in outcome.account.problems:
            problems.append(f"run {number} ({runtime.name}, {server.name}): {problem}")
            say(f"WRONG: {problem}")
        numbers.update(outcome.account.numbers)
        show(console, outcome)
        number += 1
    table = Table(title=f"the account, after {time.monotonic() - began:.0f} s", box=SIMPLE, show_header=False)
    for what, count in numbers.items():
        table.add_row(what, f"{count:,}")
    console.print(table)
    for problem in problems:
        console.print(f"WRONG: {problem}", soft_wrap=True)
    return bool(problems)


def show(console: Console, outcome: Outcome) -> None:
    """How long the pauses were, in seconds."""
    load = os.getloadavg()[0]
    table = Table(title=f"pauses in seconds, the longest of each (load {load:.1f})", box=SIMPLE, title_justify="left")
    for column in ("fault", "", "served", "probes there", "elsewhere", "streams there", "elsewhere"):
        table.add_column(column)
    for outage in outcome.outages:
        if outage.blow.kind in MOVES or outage.blow.victims:
            found: tuple[Pauses | None, ...] = outage[2:]
            table.add_row(
                outage.blow.kind, outage.blow.detail, f"{outage.served:.3f}", *(str(each or "-") for each in found)
            )
    console.print(table)
    console.print(
        f"the slowest request took {outcome.slowest:.2f} s; events: {dict(outcome.account.events)}", soft_wrap=True
    )


if __name__ == "__main__":
    sys.exit(main())
