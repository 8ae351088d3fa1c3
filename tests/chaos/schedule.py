"""Which faults, in which order and how hard: a function of the seed, and of nothing else.

Faults are dealt in hands: each hand is the whole deck, shuffled. So every kind comes as often as the deck says, next to every
other one sooner or later. A *kill* ends something for good: connections, the server, a process, a primary's office. The rest
only disturb. What real time makes of it (which reply is cut, who is blocked just then) is nobody's to repeat.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

FAILOVER: Final = "failover"
KILLS: Final = {
    "connections closed": 2,  # in order, all of them
    "connections reset": 2,
    "cut in a command": 2,
    "cut in a reply": 2,
    "clients killed": 3,  # CLIENT KILL, some of them
    "deaf server": 2,  # it reads, and its answers vanish
    "dumb client": 1,  # what it writes vanishes
    "half-open, client told": 2,  # the server holds a ghost
    "half-open, server told": 1,  # the client talks to nobody
    "black hole": 1,  # nobody is told
    "connections refused": 1,
    "server killed": 3,
    "worker killed": 2,
    FAILOVER: 1,
    "buffer overflow": 1,
}
DISTURBANCES: Final = {
    "server stopped": 1,
    "worker stopped": 1,
    "network stalled": 1,  # bytes are withheld, and delivered later
    "network slow": 1,  # until the next one of these two
    "network narrow": 1,
}
DECK: Final = KILLS | DISTURBANCES
LONG: Final = frozenset({"worker stopped"})  # for longer than entries may be idle: nothing for a short run


@dataclass(frozen=True)
class Strike:
    """One fault: ``pause`` seconds after the one before, for ``lasts`` seconds; ``share`` of what there is, ``size`` in bytes."""

    kind: str
    pause: float
    lasts: float
    share: float
    size: int

    @property
    def kills(self) -> bool:
        return self.kind in KILLS


def schedule(seed: object, kills: int) -> list[Strike]:
    """Hand after hand, until so many of them kill."""
    draw = random.Random(f"chaos-{seed}")
    strikes: list[Strike] = []
    while kills > 0:
        hand = [kind for kind, times in DECK.items() for _ in range(times)]
        draw.shuffle(hand)
        for kind in hand:
            strikes.append(_strike(kind, draw))
            kills -= strikes[-1].kills
            if kills == 0:
                break
    return strikes


def sample(seed: object, parts: int) -> list[list[Strike]]:
    """One of each kind that ends soon, dealt to so many runs."""
    draw = random.Random(f"sample-{seed}")
    kinds = sorted(DECK.keys() - LONG)
    draw.shuffle(kinds)
    hands = [kinds[part::parts] for part in range(parts)]
    for hand in hands:
        hand.sort(key=FAILOVER.__eq__)  # the last: its replica needs some time
    return [[_strike(kind, draw, haste=2.0) for kind in hand] for hand in hands]


def _strike(kind: str, draw: random.Random, haste: float = 1.0) -> Strike:
    return Strike(
        kind,
        pause=draw.uniform(0.05, 0.65) / haste,
        lasts=draw.uniform(0.05, 0.7) / haste,
        share=draw.uniform(0.2, 1.0),
        size=int(10 ** draw.uniform(0, 4)),
    )
