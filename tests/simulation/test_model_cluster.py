"""The model cluster answers as real clusters do: random commands over four connections, while a slot goes its way.

``STREAMCORE_CLUSTER_SEQUENCES=500`` makes it more sequences than the few of a usual run, ``STREAMCORE_CLUSTER_SEED=12`` plays one of
them again, with the story of its failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest

from tests.simulation.cluster_twins import ClusterTwins
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster

SEQUENCES = int(os.environ.get("STREAMCORE_CLUSTER_SEQUENCES", "6"))
FIRST = int(os.environ.get("STREAMCORE_CLUSTER_SEED", "0"))
LENGTH = 120


@pytest.mark.every_server
@pytest.mark.timeout(60 + 2 * SEQUENCES)
def test_the_model_answers_as_the_cluster_does(cluster: EmbeddedCluster, server_kind: ServerKind) -> None:
    for seed in range(FIRST, FIRST + (1 if "STREAMCORE_CLUSTER_SEED" in os.environ else SEQUENCES)):
        twins = ClusterTwins(cluster, server_kind.name)
        try:
            Sequence(twins, Random(seed)).play()
            twins.silent()
        except AssertionError as error:
            error.add_note(f"play it again by STREAMCORE_CLUSTER_SEED={seed}")
            raise
        finally:
            twins.close()


class Sequence:
    """Random commands. The slot is at home, or on its way to another node; in the end it is at home."""

    def __init__(self, twins: ClusterTwins, random: Random) -> None:
        self.twins = twins
        self.random = random
        self.nodes = {"owner": 2, "other": 0, "third": 1, "replica": 5}
        for name, node in self.nodes.items():
            twins.connect(name, node)
        self.stages: list[Callable[[], None]] = []

    def play(self) -> None:
        twins = self.twins
        for _ in range(LENGTH):
            if self.random.random() < 0.04:
                self._go_on()
            name = self.random.choices([*self.nodes], weights=(4, 4, 1, 1))[0]
            if name == "replica":
                twins.replicated()
            twins.do(name, *self._command())
        while self.stages:
            self._go_on()
        twins.empty()
        if twins.model.owner("{a}1") is not twins.model.nodes[2]:
            twins.begin_move(to=2)
            twins.finish_move()

    def _go_on(self) -> None:
        """Take the next step of the slot's way, or begin it."""
        twins = self.twins
        if not self.stages:
            to = 0 if twins.model.owner("{a}1") is twins.model.nodes[2] else 2
            self.stages = [
                lambda: twins.begin_move(to=to),
                lambda: twins.move_keys(1),
                twins.move_keys,
                twins.finish_move,
            ]
        self.stages.pop(0)()

    def _command(self) -> tuple[str, ...]:
        random = self.random
        key, other, foreign = f"{{a}}{random.randrange(4)}", f"{{a}}{random.randrange(4)}", "{b}1"
        stream = f"{{a}}s{random.randrange(2)}"
        return random.choice(
            [
                *[("GET", key), ("SET", key, "v"), ("DEL", key), ("MGET", key, other), ("MSET", key, "1", other, "2")],
                *[("DEL", key, other), ("MGET", key, foreign), ("GET", foreign), ("EXISTS", key, other, key)],
                *[("XADD", stream, "NOMKSTREAM", "2-1", "f", "v"), ("XLEN", stream), ("XADD", stream, "1-1", "f", "v")],
                *[("XREAD", "STREAMS", stream, "{a}s0", "0", "0"), ("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")],
                *[("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", stream, ">"), ("XPENDING", stream, "g")],
                *[("XACK", stream, "g", "1-1"), ("XINFO", "GROUPS", stream), ("XTRIM", stream, "MAXLEN", "1")],
                *[("ASKING",)] * 6,
                *[
                    ("MULTI",),
                    ("MULTI",),
                    ("EXEC",),
                    ("EXEC",),
                    ("DISCARD",),
                    ("WATCH", key),
                    ("WATCH", key, other),
                    ("UNWATCH",),
                ],
                *[("EVALSHA", "00", "1", key), ("EVALSHA", "00", "2", key, other), ("EVALSHA", "00", "0")],
                *[
                    ("READONLY",),
                    ("READWRITE",),
                    ("PING",),
                    ("SPUBLISH", key, "m"),
                    ("DBSIZE",),
                    ("PTTL", key),
                    ("PERSIST", key),
                ],
                *[("RENAME", key, other), ("CLUSTER", "COUNTKEYSINSLOT", "15495"), ("SELECT", "0")],
                *[("CLUSTER", "KEYSLOT", key), ("TYPE", key), ("NOSUCH", key), ("GET",)],
            ]
        )
