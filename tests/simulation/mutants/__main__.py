"""python -m tests.simulation.mutants [NAME...]: hunt mutants, and tell what killed each. The status is 1 where one survives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .catalogue import MUTANTS
from .gate import SEEDS, Verdict, control, hunt, remember


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="all of them, and the core as it is, unless some are named"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds to try")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--afresh", action="store_true", help="without trying the remembered seed first")
    parser.add_argument("--save", action="store_true", help="remember the seeds that kill")
    parser.add_argument("--why", action="store_true", help="what the oracles say")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in MUTANTS]:
        parser.error(f"there is no mutant {', '.join(unknown)}; there are {', '.join(MUTANTS)}")
    verdicts: list[Verdict] = []
    wrong = 0
    print(f"{'mutant':<48} {'killed by':<28} {'seed':>4} {'seconds':>7}")
    for verdict in hunted(given):
        is_control = verdict.name not in MUTANTS
        wrong += verdict.killed is is_control
        if not is_control:
            verdicts.append(verdict)
            if given.save:
                remember([verdict])
        seed = "" if verdict.seed is None else verdict.seed
        print(f"{verdict.name:<48} {verdict.oracle or '-':<28} {seed:>4} {verdict.seconds:7.1f}", flush=True)
        if given.why and verdict.message:
            print(f"    {verdict.message}")
    killed = sum(verdict.killed for verdict in verdicts)
    print(f"{killed} of {len(verdicts)} killed, in {sum(verdict.seconds for verdict in verdicts):.0f} seconds")
    return bool(wrong)


def hunted(given: argparse.Namespace) -> Iterator[Verdict]:
    """One verdict after the other; first those on the core as it is, which nothing must kill."""
    mutants = [MUTANTS[name] for name in given.names] or list(MUTANTS.values())
    chosen = [] if given.names else list(dict.fromkeys(mutant.scenario for mutant in mutants))
    with ThreadPoolExecutor(given.jobs) as pool:
        yield from pool.map(partial(control, seeds=range(given.seeds)), chosen)
        yield from pool.map(partial(hunt, seeds=given.seeds, afresh=given.afresh), mutants)


if __name__ == "__main__":
    sys.exit(main())
