"""The table of cardinalities: what a lot of something costs, beside a little of it.

    python -m benchmarks.cardinalities                      # everything, at its full size: some minutes
    python -m benchmarks.cardinalities names --scale 0.1    # one row, a tenth as much

Rows are in ``cardinality_entries`` (entries, names, letters) and ``cardinality_streams`` (streams, channels).
"""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks import cardinality_entries, cardinality_streams

ROWS = {row.name: (row.title, partial(cardinality_entries.measure, row)) for row in cardinality_entries.ROWS} | {
    row.name: (row.title, partial(cardinality_streams.measure, row)) for row in cardinality_streams.ROWS
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cardinalities", description=__doc__)
    parser.add_argument("row", nargs="*", choices=[*ROWS, "all"], default="all")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each part of a run")
    parser.add_argument("--server", metavar="PROGRAM", help="another server program, instead of the bundled Valkey")
    options = parser.parse_args(arguments)
    broken: list[str] = []
    for name, (title, measure) in ROWS.items():
        if "all" not in options.row and name not in options.row:
            continue
        result = measure(scale=options.scale, seconds=options.seconds, program=options.server)
        print(f"\n{name}: {title}")
        print(f"{'':22}" + "".join(f"{size:>14,}" for size in result.sizes) + f"{'ratio':>9}{'bound':>9}")
        for line in result.lines:
            print(f"{line.heading:22}{line.little:>14,.1f}{line.much:>14,.1f}{line.ratio:>9.2f}{line.limit:>9}")
        broken += result.broken
    print("\n" + ("\n".join(broken) or "All bounds hold."))
    return bool(broken)


if __name__ == "__main__":
    raise SystemExit(main())
