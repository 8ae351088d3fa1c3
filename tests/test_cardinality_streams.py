"""The table of many streams, a twentieth of it: what many cost, beside a few."""

from __future__ import annotations

import pytest

from benchmarks.cardinality_streams import ROWS, Row, measure


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_many_cost_no_more_than_their_number(row: Row) -> None:
    scale = 0.5 if row.name == "prefetch" else 0.05
    broken: list[str] = []
    for _ in range(3):  # what else the machine does disturbs one run, or two
        if not (broken := measure(row, scale=scale, seconds=1.5).broken):
            break
    assert broken == []
