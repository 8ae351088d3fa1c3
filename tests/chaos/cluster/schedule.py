"""Which faults of a cluster, in which order: a function of the seed. As on a single server, they are dealt in hands."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.schedule import Strike

MOVES: Final = {
    "classic move": 3,  # of a slot of a stream, key by key
    "atomic move": 3,  # of several slots, where the servers can
    "slow classic move": 2,  # the slot stays half-moved for a while
    "move there and back": 1,
}
LOSSES: Final = {
    "primary killed": 2,  # and its replica elected, or made to take over
    "primary stopped": 2,  # until its replica has its office
}
CHANGES: Final = {
    "failover": 2,  # in order: the primary hands over
    "replica killed": 1,
    "slot uncovered": 1,  # no node has it for a while, and the cluster serves none
    "node joins": 1,  # and takes slots
    "node leaves": 1,
    "clients killed": 2,  # CLIENT KILL, at a node
}
DECK: Final = MOVES | LOSSES | CHANGES


def schedule(seed: object, faults: int) -> list[Strike]:
    """Deal so many faults, hand after hand."""
    draw = random.Random(f"cluster-{seed}")
    strikes: list[Strike] = []
    while len(strikes) < faults:
        hand = [kind for kind, times in DECK.items() for _ in range(times)]
        draw.shuffle(hand)
        strikes += [_strike(kind, draw) for kind in hand]
    return strikes[:faults]


def sample(seed: object) -> list[Strike]:
    """Deal each kind of fault once, quickly, but for nodes that join: that takes long."""
    draw = random.Random(f"cluster-sample-{seed}")
    kinds = sorted(DECK.keys() - {"node joins", "node leaves"})
    draw.shuffle(kinds)
    return [_strike(kind, draw, haste=3.0) for kind in kinds]


def _strike(kind: str, draw: random.Random, haste: float = 1.0) -> Strike:
    return Strike(
        kind,
        pause=draw.uniform(0.2, 1.0) / haste,
        lasts=draw.uniform(0.1, 1.0) / haste,
        share=draw.uniform(0.0, 1.0),
        size=draw.randrange(1 << 16),
    )
