"""``streamcore sim``: its options, and its exit status: 0 if all is well, 1 if an oracle fails, 2 for bad input, 130 after Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from transports.simulation import Outcome

    from .screen import Screen
    from .work import Total


@click.command()
@click.option("--seeds", default=200, show_default=True, metavar="N", type=click.IntRange(1), help="Run so many seeds.")
@click.option(
    "--first", default=0, show_default=True, metavar="N", type=click.IntRange(0), help="The first one of them."
)
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Run this one only.")
@click.option("--trace", is_flag=True, help="With --seed: print all that happens.")
@click.option("--scenario", metavar="NAME", help="The programs that run; by default each seed draws them.")
@click.option("--faults", metavar="I,J,...", help="With --seed: only these faults of its plan strike.")
@click.option("--size", metavar="M,P,E[,S]", help="With --seed: so many members, producers, entries (and streams).")
@click.option("--jobs", default=1, show_default=True, metavar="N", type=click.IntRange(1), help="Processes at work.")
@click.option("--no-shrink", is_flag=True, help="Do not look for the smallest run that fails.")
@click.option("--at-least", metavar="N", type=int, help="Fail if fewer faults than this have struck in all.")
@click.option("--each-at-least", metavar="N", type=int, help="Fail if fewer faults than this have struck of any kind.")
@click.pass_context
def sim(
    context: click.Context,
    *,
    seeds: int,
    first: int,
    seed: int | None,
    trace: bool,
    scenario: str | None,
    faults: str | None,
    size: str | None,
    jobs: int,
    no_shrink: bool,
    at_least: int | None,
    each_at_least: int | None,
) -> None:
    """Prove it in virtual time: engines, a model server, a network that breaks, and faults of every kind.

    Each seed is a world of its own: its programs, its faults, and their times. The same seed is the same run, to
    the last byte. Oracles look on, and judge at the end: is everything that survived processed, and nothing invented?
    """
    from transports.simulation import SCENARIOS, kinds_of

    from .screen import Screen

    if scenario is not None and scenario not in SCENARIOS:
        raise click.UsageError(f"there is no scenario {scenario!r}; choose one of {', '.join(SCENARIOS)}")
    if seed is None and (trace or faults is not None or size is not None):
        raise click.UsageError("--trace, --faults and --size need --seed, the one that is to be run")
    screen = Screen()
    try:
        if seed is not None:
            failed = _run_one(screen, seed, scenario, _numbers(faults), _numbers(size), trace=trace)
            context.exit(int(failed))
        total = _run_many(screen, range(first, first + seeds), jobs, scenario)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        context.exit(130)
    screen.summary(total, jobs)
    problems = _shortages(
        total, [name for name, kind in kinds_of(scenario).items() if kind.counts], at_least, each_at_least
    )
    if total.failures:
        screen.failures(total)
        worst = min(total.failures, key=lambda outcome: outcome.seed)
        if not no_shrink:
            _shrink(screen, worst, scenario)
        screen.console.print(
            f"Replay: streamcore sim --seed {worst.seed} --trace" + (f" --scenario {scenario}" if scenario else "")
        )
    for problem in problems:
        click.echo(f"FAILED: {problem}", err=True)
    if total.failures or problems:
        context.exit(1)
    screen.console.print("No oracle has anything to say.")


def _run_many(screen: Screen, seeds: range, jobs: int, scenario: str | None) -> Total:
    from .work import Total, outcomes

    total = Total()
    with screen.bar(len(seeds), "simulating") as show:
        for outcome in outcomes(seeds, jobs, scenario):
            total.add(outcome)
            show(total.seeds, f"{sum(total.faults.values()):,} faults, {len(total.failures)} failures")
    return total


def _run_one(
    screen: Screen, seed: int, scenario: str | None, only: list[int] | None, size: list[int] | None, *, trace: bool
) -> bool:
    from transports.simulation import Size, simulate

    if size is not None and len(size) not in {3, 4}:
        raise click.UsageError(
            "--size takes three or four numbers: members, producers, entries, streams; such as 3,2,200"
        )
    outcome = simulate(seed, scenario=scenario, only=only, size=None if size is None else Size(*size), tells=True)
    if trace:
        for line in outcome.story:
            screen.console.print(line)
    elif outcome.failed:
        screen.story(outcome)
    numbers = f"{sum(outcome.faults.values())} faults, {outcome.entries} entries, {outcome.handed} handed over, {outcome.duplicates} of them again"
    screen.console.print(f"seed {seed}: {outcome.seconds:.2f} virtual seconds, {numbers}; digest {outcome.digest:08x}")
    screen.console.print(
        f"FAILED {outcome.oracle}: {outcome.message}" if outcome.failed else "No oracle has anything to say."
    )
    return outcome.failed


def _shrink(screen: Screen, failed: Outcome, scenario: str | None) -> None:
    from transports.simulation.shrink import ATTEMPTS, shrink

    with screen.bar(ATTEMPTS, "shrinking") as show:
        found = shrink(
            failed, scenario=scenario, progress=lambda done, left: show(done, f"shrinking, {left} faults are left")
        )
    screen.shrunk(failed, found)
    only = ",".join(map(str, found.only))
    size = f"{found.size.members},{found.size.senders},{found.size.entries}"
    how = f"--seed {failed.seed} --size {size} --faults {only or '-'}" + (f" --scenario {scenario}" if scenario else "")
    screen.console.print(f"Replay this: streamcore sim {how} --trace")


def _shortages(total: Total, kinds: list[str], at_least: int | None, each: int | None) -> list[str]:
    problems = []
    if at_least is not None and sum(total.faults.values()) < at_least:
        problems.append(f"{sum(total.faults.values()):,} faults have struck, and {at_least:,} were asked for")
    if each is not None:
        problems += [
            f"{total.faults[kind]:,} faults of the kind {kind!r} have struck, and {each:,} were asked for"
            for kind in kinds
            if total.faults[kind] < each
        ]
    return problems


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part not in {"", "-"}]
    except ValueError:
        raise click.UsageError(f"{text!r} is no list of numbers; write them like 3,17,20") from None
