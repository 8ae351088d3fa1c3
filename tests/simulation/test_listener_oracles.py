"""The oracles of subscribers by themselves."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest

from streamcore.pubsub import Kind, Message
from transports.simulation.workloads.pubsub.invariants import HandlersKept, NeverSilent
from transports.simulation.workloads.pubsub.records import Hearing
from transports.simulation.workloads.pubsub.subscriber import Listener
from transports.simulation.world.driver import World
from transports.simulation.world.scheduler import Violation

B = Kind.CHANNEL, b"b"


def hear(hearing: Hearing, number: int, *, handled: bool) -> None:
    """A message of channel b, of which 22 were published, is handed over."""
    world = World(0)
    listener = SimpleNamespace(
        label="listener-1.1",
        hearings={B: hearing},
        oracles=SimpleNamespace(handlers=HandlersKept(world)),
        tower=SimpleNamespace(published=Counter({(False, b"b"): 22})),
        ear=SimpleNamespace(handled=0.5),
    )
    message = Message("message", b"b", None, b"%d " % number)
    NeverSilent(world).heard(cast("Listener", listener), B, message, handled=handled)


def test_what_lay_in_an_inbox_when_a_handler_was_given_is_handed_over() -> None:
    asked = Counter({(False, b"b"): 15})
    hear(Hearing(True, asked, frozenset({False})), 15, handled=False)
    hear(Hearing(True, asked, frozenset({False})), 16, handled=True)


@pytest.mark.parametrize(
    ("number", "before"),
    [
        pytest.param(16, frozenset({False}), id="published-since"),
        pytest.param(15, frozenset[bool](), id="nothing-before"),
        pytest.param(15, frozenset({True}), id="a-handler-before"),
    ],
)
def test_any_other_message_is_given_to_the_handler(number: int, before: frozenset[bool]) -> None:
    with pytest.raises(Violation, match="HandlersKept"):
        hear(Hearing(True, Counter({(False, b"b"): 15}), before), number, handled=False)
