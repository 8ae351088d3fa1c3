"""The model answers as real servers do: random sequences of commands, over three connections, against each server found.

``STREAMCORE_MODEL_SEQUENCES=5000`` makes it more sequences than the few of a usual run, ``STREAMCORE_MODEL_SEED=1234`` plays
one of them again, with the story of its failure.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.simulation.sequences import Sequence
from tests.simulation.twins import Twins
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

SEQUENCES = int(os.environ.get("STREAMCORE_MODEL_SEQUENCES", "300"))
FIRST = int(os.environ.get("STREAMCORE_MODEL_SEED", "0"))
LENGTH = 60


@pytest.mark.every_server
@pytest.mark.timeout(10 + SEQUENCES)
def test_the_model_answers_as_the_server_does(server: EmbeddedServer, server_kind: ServerKind) -> None:
    for seed in range(FIRST, FIRST + (1 if "STREAMCORE_MODEL_SEED" in os.environ else SEQUENCES)):
        twins = Twins(server.address, server_kind.name, connections=3, protocol=2 + seed % 2)
        try:
            play(twins, Random(seed), server_kind.name)
        except AssertionError as error:
            error.add_note(f"play it again by STREAMCORE_MODEL_SEED={seed}")
            raise
        finally:
            twins.close()


def play(twins: Twins, random: Random, kind: str) -> None:
    """One sequence: most commands alone, some in transactions; now and then a client that waits is unblocked."""
    sequence = Sequence(random, recent=kind == "redis8", modern=kind != "redis7")
    for _ in range(LENGTH):
        free = [number for number, twin in enumerate(twins.all) if twin.waits_for is None]
        waiting = [number for number, twin in enumerate(twins.all) if twin.waits_for is not None]
        number = random.choice(free)
        if waiting and (len(free) == 1 or random.random() < 0.1):
            how = random.choice(((), ("ERROR",)))
            twins.do(number, "CLIENT", "UNBLOCK", str(waiting[0]), *how)
        elif random.random() < 0.06:
            transaction(twins, random, sequence, number)
        else:
            twins.do(number, *sequence.command())


def transaction(twins: Twins, random: Random, sequence: Sequence, number: int) -> None:
    if random.random() < 0.5:
        twins.do(number, "WATCH", "s")
        others = [other for other, twin in enumerate(twins.all) if twin.waits_for is None and other != number]
        if others and random.random() < 0.5:
            writes = (sequence.xadd, sequence.xgroup, sequence.xclaim, sequence.xack, sequence.xdel, sequence.xtrim)
            twins.do(random.choice(others), *random.choice(writes)())
    twins.do(number, "MULTI")
    for _ in range(random.choice((1, 2, 3))):
        twins.do(number, *random.choice((sequence.xadd, sequence.xreadgroup, sequence.xack, sequence.key))())
    twins.do(number, random.choice(("EXEC", "EXEC", "EXEC", "DISCARD")))
