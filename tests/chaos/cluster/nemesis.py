"""What strikes in a cluster. Each fault is a method, in the table at the end; it returns when the cluster is in order again.

What was confirmed by a replica must never be lost: so a node is struck only when all are up and all replicas follow. A *loss* takes
away a primary with what its replica has not copied; everything else loses nothing, and lets nothing come again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streamcore.commands import client_list, cluster_slots, key_slot, raw
from streamcore.errors import ReplyError
from tests.chaos.schedule import Strike
from transports.embedded import EmbeddedCluster, EmbeddedNode

from .schedule import LOSSES

MOVED_AT_ONCE: Final = 4  # slots
ELECTION: Final = 20.0  # seconds
ADDED: Final = 2  # nodes at most
Owners = dict[str, EmbeddedNode]


@dataclass
class Blow:
    """A fault: when it began, when the cluster was in order again, and the streams and keys of the node that it was done to."""

    kind: str
    began: float
    victims: frozenset[str] = frozenset()
    served: float = 0.0  # when the victims had a primary again
    ended: float = 0.0
    detail: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def loses(self) -> bool:
        return self.kind in LOSSES


def owners(cluster: EmbeddedCluster, names: Sequence[str]) -> Owners:
    """Which node has which key."""
    view = next(node for node in cluster.nodes if node.is_up()).ask(cluster_slots())
    by_id = {node.id: node for node in cluster.nodes}
    found: Owners = {}
    for name in names:
        slot = key_slot(name)
        found[name] = next(by_id[part.primary.id] for part in view if part.start <= slot <= part.end)
    return found


class ClusterNemesis:
    """Strikes at the owners of names: streams, channels, keys. ``stop`` is asked while something lasts, and ends it."""

    def __init__(
        self, cluster: EmbeddedCluster, names: Sequence[str], stop: Callable[[], bool], *, hasty: bool
    ) -> None:
        self.blows: list[Blow] = []
        self._cluster = cluster
        self._names = names
        self._stop = stop
        self._hasty = hasty  # a replica takes over at once, without an election
        self._added: list[EmbeddedNode] = []
        self._draw = random.Random()

    def inflict(self, strike: Strike) -> Blow:
        self._draw.seed(strike.size)
        before = owners(self._cluster, self._names)
        victim = before[self._draw.choice(self._names)]
        victims = frozenset(name for name, node in before.items() if node is victim)
        blow = Blow(strike.kind, time.monotonic(), victims)
        self.blows.append(blow)
        ACTS[strike.kind](self, strike, blow, victim)
        blow.served = blow.served or time.monotonic()
        self._cluster.wait_ok()
        blow.ended = time.monotonic()
        return blow

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))

    def calm(self) -> None:
        self._cluster.heal()

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _target(self, source: EmbeddedNode) -> EmbeddedNode:
        others = {node.port: node for node in owners(self._cluster, self._names).values() if node is not source}
        others |= {node.port: node for node in self._added if node is not source}
        return others[self._draw.choice(sorted(others))]

    def _some(self, blow: Blow) -> list[str]:
        return self._draw.sample(sorted(blow.victims), min(MOVED_AT_ONCE, len(blow.victims)))

    def move_classic(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        self._move(self._some(blow), self._target(source), blow, "classic")

    def move_atomic(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        self._move(self._some(blow), self._target(source), blow, "atomic")

    def _move(self, names: list[str], target: EmbeddedNode, blow: Blow, how: Any) -> None:
        blow.victims = frozenset(names)
        for name in names:
            self._cluster.move_slot(key_slot(name), target, how=how)
        blow.detail = f"{len(names)} slots to {target.port}"

    def move_slowly(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        name = self._draw.choice(sorted(blow.victims))
        blow.victims = frozenset([name])
        move = self._cluster.slot_move(key_slot(name), self._target(source))
        move.begin()
        self.wait(strike.lasts / 2)
        move.move_keys(1)
        self.wait(strike.lasts / 2)
        move.finish()
        blow.detail = f"a slot, {strike.lasts:.1f} s"

    def move_back(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        names = self._some(blow)[:2]
        self._move(names, self._target(source), blow, "classic")
        self._move(names, source, blow, "classic")

    def uncover(self, strike: Strike, blow: Blow, owner: EmbeddedNode) -> None:
        slot = key_slot(self._draw.choice(sorted(blow.victims)))
        self._cluster.uncover(slot)
        self.wait(strike.lasts)
        self._cluster.cover(slot, owner)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def fail_over(self, strike: Strike, blow: Blow, primary: EmbeddedNode) -> None:
        if primary in self._added:
            blow.detail = "none: it has no replica"
            return
        blow.detail = f"{primary.port} to {self._cluster.failover(primary).port}"

    def kill(self, strike: Strike, blow: Blow, primary: EmbeddedNode) -> None:
        self._lose(strike, blow, primary, primary.kill, primary.restart)

    def stop(self, strike: Strike, blow: Blow, primary: EmbeddedNode) -> None:
        self._lose(strike, blow, primary, primary.pause, primary.resume)

    def _lose(
        self,
        strike: Strike,
        blow: Blow,
        primary: EmbeddedNode,
        away: Callable[[], None],
        back: Callable[[], None],
    ) -> None:
        """It comes back when its replica has its office: before, what it has lost would be lost for all."""
        if primary in self._added:
            blow.detail, blow.victims = "none: it has no replica", frozenset()
            return
        replica = self._cluster.replica_of(primary)
        away()
        blow.began = time.monotonic()
        if self._hasty:
            replica.ask(raw("CLUSTER", "FAILOVER", "TAKEOVER"))
        deadline = time.monotonic() + ELECTION
        while replica.ask(raw("ROLE"))[0] != b"master":
            if time.monotonic() > deadline:
                raise TimeoutError(f"no election within {ELECTION:g} s")
            time.sleep(0.005)
        blow.served = time.monotonic()
        blow.detail = f"{primary.port}, {replica.port} after {blow.served - blow.began:.2f} s"
        self.wait(strike.lasts)
        back()

    def kill_replica(self, strike: Strike, blow: Blow, primary: EmbeddedNode) -> None:
        blow.victims = frozenset()
        if primary not in self._added:
            replica = self._cluster.replica_of(primary)
            replica.kill()
            self.wait(strike.lasts)
            replica.restart()

    def join(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        if len(self._added) < ADDED:
            self._added.append(self._cluster.add_node())
        self._move(self._some(blow), self._added[-1], blow, "classic")

    def leave(self, strike: Strike, blow: Blow, source: EmbeddedNode) -> None:
        if self._added:
            leaver = self._added.pop()
            before = owners(self._cluster, self._names)
            blow.victims = frozenset(name for name, node in before.items() if node is leaver)
            self._cluster.remove_node(leaver)
            blow.detail = f"{leaver.port} with {len(blow.victims)} slots"

    def kill_clients(self, strike: Strike, blow: Blow, node: EmbeddedNode) -> None:
        ids = [client.id for client in node.ask(client_list(type="normal"))]
        victims = self._draw.sample(ids, max(1, int(len(ids) * strike.share)))
        replies = node.ask_all([raw("CLIENT", "KILL", "ID", one) for one in victims])
        killed = sum(reply for reply in replies if not isinstance(reply, ReplyError))
        blow.detail = f"{killed} of {len(ids)} at {node.port}"


ACTS: Final[dict[str, Callable[[ClusterNemesis, Strike, Blow, EmbeddedNode], None]]] = {
    "classic move": ClusterNemesis.move_classic,
    "atomic move": ClusterNemesis.move_atomic,
    "slow classic move": ClusterNemesis.move_slowly,
    "move there and back": ClusterNemesis.move_back,
    "failover": ClusterNemesis.fail_over,
    "primary killed": ClusterNemesis.kill,
    "primary stopped": ClusterNemesis.stop,
    "replica killed": ClusterNemesis.kill_replica,
    "slot uncovered": ClusterNemesis.uncover,
    "node joins": ClusterNemesis.join,
    "node leaves": ClusterNemesis.leave,
    "clients killed": ClusterNemesis.kill_clients,
}
