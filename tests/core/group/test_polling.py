from __future__ import annotations

from math import inf

from streamcore.connection.common import Clock
from streamcore.group.polling import LONGEST, SHORTEST, Polling


def test_a_read_that_finds_nothing_is_followed_by_a_pause_that_doubles() -> None:
    clock = Clock()
    clock.now = 10.0
    polling = Polling(clock)
    assert polling.at == -inf
    pauses: list[float] = []
    for _ in range(7):
        polling.heard(entries=False)
        pauses.append(round(polling.at - clock.now, 6))
    assert pauses == [SHORTEST, 0.004, 0.008, 0.016, 0.032, LONGEST, LONGEST]


def test_entries_and_connections_begin_anew() -> None:
    clock = Clock()
    polling = Polling(clock)
    for begin in (lambda: polling.heard(entries=True), polling.begin):
        for _ in range(3):
            polling.heard(entries=False)
        begin()
        assert polling.at == -inf
        polling.heard(entries=False)
        assert polling.at == SHORTEST
