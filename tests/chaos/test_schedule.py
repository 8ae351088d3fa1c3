"""A seed says which faults come, and nothing else does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .nemesis import ACTS
from .schedule import DECK, KILLS, LONG, sample, schedule

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "chaos.md"


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    assert schedule("7-0", 100) == schedule("7-0", 100)
    assert schedule("7-0", 100) != schedule("7-1", 100)
    assert sample(3, 6) == sample(3, 6)


@pytest.mark.parametrize("kills", [1, 26, 500])
def test_there_are_as_many_kills_as_asked_for(kills: int) -> None:
    strikes = schedule(0, kills)
    assert sum(strike.kills for strike in strikes) == kills
    assert strikes[-1].kills


def test_a_longer_run_begins_as_a_shorter_one_does() -> None:
    assert schedule(5, 60)[:40] == schedule(5, 40)[:40]


def test_a_hand_has_every_kind_as_often_as_the_deck_says() -> None:
    hand = schedule(1, 10_000)[: sum(DECK.values())]
    assert Counter(strike.kind for strike in hand) == DECK


def test_the_short_runs_together_have_every_kind_that_ends_soon_once() -> None:
    parts = sample(7, 6)
    assert Counter(strike.kind for part in parts for strike in part) == Counter(DECK.keys() - LONG)
    assert all(any(strike.kills for strike in part) for part in parts)


def test_every_kind_has_a_method_and_is_either_a_kill_or_a_disturbance() -> None:
    assert ACTS.keys() == DECK.keys() > KILLS.keys()


@pytest.mark.parametrize("kind", DECK)
def test_the_guide_names_every_kind(kind: str) -> None:
    assert kind in PAGE.read_text()
