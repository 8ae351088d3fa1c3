"""``python -m benchmarks``: contestants in processes of their own, in turns, round after round."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import (
    channels,
    cluster,
    codec,
    consume,
    group_consume,
    imports,
    latency,
    litestar,
    produce,
    pubsub,
    report,
)
from benchmarks.processes import ContestantFailed, available
from benchmarks.server import Cluster, Server
from benchmarks.table import Contestant, Outcome, Setting, Table

TABLES = {
    module.TABLE.name: module.TABLE for module in (group_consume, consume, produce, pubsub, latency, litestar, imports)
}
TABLES |= {table.name: table for table in (*channels.TABLES, *codec.TABLES, *cluster.TABLES)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("table", nargs="*", choices=[*TABLES, "all"], default="all", help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-n", type=int, help="entries or messages for each run")
    parser.add_argument(
        "--count", type=int, nargs="+", metavar="C", help="COUNT of the reads; several make several tables"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="only contestants whose name has this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement")
    parser.add_argument("--server", metavar="PROGRAM", help="another server program, instead of the bundled Valkey")
    parser.add_argument("--pin", action="store_true", help="one core for the server, the others for the rest (Linux)")
    return parser.parse_args(arguments)


def chosen(table: Table, only: list[str]) -> Iterator[Contestant]:
    """The reference always runs: everything is a multiple of it."""
    for contestant in table.contestants:
        if not only or contestant.label == table.reference or any(text in contestant.label for text in only):
            yield contestant


def measure(
    table: Table, setting: Setting, server: Server | Cluster, rounds: int, only: list[str], console: Console
) -> Outcome:
    """A B C, A B C, ...: what disturbs the machine for a while disturbs all of them."""
    outcome = Outcome(table, setting)
    contestants = []
    for contestant in chosen(table, only):
        if available(contestant):
            contestants.append(contestant)
        else:
            outcome.left_out[contestant.label] = f"there is no {contestant.needs}"
    with console.status("", refresh_per_second=1) as status:
        for number in range(rounds):
            outcome.rounds.append({})
            for contestant in contestants:
                status.update(f"{report.heading(outcome)}: {contestant.label}")
                if contestant.label in outcome.left_out:
                    continue
                try:
                    outcome.rounds[number][contestant.label] = table.run(contestant, setting, server)
                except ContestantFailed as error:
                    outcome.left_out[contestant.label] = str(error)
    return outcome


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    console = report.make_console()
    names = TABLES if "all" in options.table else dict.fromkeys(options.table)
    outcomes = []
    about: dict[str, str] = {}
    for servers in (Server, Cluster):
        tables = [TABLES[name] for name in names if TABLES[name].servers is servers]
        if not tables:
            continue
        with servers(options.server, pin=options.pin) as server:
            about |= {"server": server.version(), **report.versions()}
            console.print(", ".join(f"{name} {number}" for name, number in about.items()), highlight=False)
            for table in tables:
                for count in options.count if options.count and table.counts != (0,) else table.counts:
                    n = options.n or table.n
                    setting = Setting(min(n, table.n) if table.n_is_most else n, count)
                    outcome = measure(table, setting, server, options.rounds, options.only, console)
                    report.print_outcome(console, outcome)
                    outcomes.append(report.as_json(outcome))
    if options.json:
        options.json.write_text(json.dumps({"about": about, "tables": outcomes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
