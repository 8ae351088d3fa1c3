"""python -m tests.soak --minutes 10 [--seed N]: the soak, with its table. The status is 1 where the account is wrong."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time

from rich.console import Console

from .report import show
from .run import clear, soak
from .settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults")
    parser.add_argument("--rate", type=float, default=250.0, help="entries per second")
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults, on average")
    parser.add_argument("--keep", action="store_true", help="what was written down, also if nothing is wrong")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    given = parser.parse_args()
    settings = Settings(
        directory=tempfile.mkdtemp(prefix="soak-"),
        seconds=given.minutes * 60,
        seed=given.seed,
        rate=given.rate,
        pause=given.pause,
    )
    console = Console(markup=False, highlight=False, emoji=False)
    began = time.monotonic()

    def say(text: str) -> None:
        if not given.quiet:
            console.print(f"{time.monotonic() - began:6.1f} s  {text}", soft_wrap=True)

    say(f"seed {settings.seed}, {given.minutes:g} minutes")
    account, faults = soak(settings, say)
    show(console, settings, account, faults, time.monotonic() - began)
    if account.problems or given.keep:
        console.print(f"What was written down is in {settings.directory}", soft_wrap=True)
    else:
        clear(settings)
    return bool(account.problems)


if __name__ == "__main__":
    sys.exit(main())
