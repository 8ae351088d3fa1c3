"""Invariants of every program in a cluster: how often it asks for the topology, and which addresses it dials."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from .invariants import Oracle
from .network import Wire

if TYPE_CHECKING:
    from streamcore.testing.model import Session
    from streamcore.testing.model.cluster.node import Node

    from .cluster_site import ClusterSite
    from .driver import World


class RefreshesBounded(Oracle):
    """*Cluster*: a client asks for the topology ten times a second at most, however many redirects it is told.

    A node that announces no hosts tells nothing that can be used: the question to the next node belongs to the same turn.
    """

    MOST: Final = 12  # in a second: questions may be late, and come together

    def __init__(self, world: World, site: ClusterSite) -> None:
        super().__init__(world)
        self._site = site
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)
        self._in_vain: dict[str, Node] = {}  # by program, which node was asked last, where it announces no hosts

    def command(self, session: Session, words: list[bytes]) -> None:
        """A node is about to run a command."""
        if words[0] == b"CLUSTER" and words[1] == b"SLOTS" and (wire := self._site.wire(session)) and wire.node:
            program = wire.node.label.partition("/")[0]
            asked = self._asked[program]
            node = next(node for node, host in self._site.hosts.items() if host is wire.host)
            if self._in_vain.pop(program, node) is not node:
                asked.pop()
            if node.config[b"cluster-preferred-endpoint-type"] == b"hostname":
                self._in_vain[program] = node
            asked.append(wire.up.left_at)
            if len(asked) > self.MOST and asked.popleft() > asked[-1] - 1.0:
                what = f"{wire.node.label} has asked for the topology {self.MOST + 1} times within a second"
                self.world.after(0.0, lambda: self.violated(what))


class DialsBounded(Oracle):
    """*Cluster*: a node is dialled now and then only, also where it is down; ``?`` and port 0 are no addresses."""

    MOST: Final = 20  # in a second, for each link

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._dials: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def dialled(self, wire: Wire) -> None:
        """A program has dialled an address."""
        address, node = str(wire.link.address), wire.node
        if node is None:
            return
        if address.startswith("?") or address.endswith(":0"):
            self.violated(f"{wire.label} dials {address}")
        dials = self._dials[wire.label.partition("#")[0], address]
        dials.append(self.world.now)
        if len(dials) > self.MOST and dials.popleft() > self.world.now - 1.0:
            self.violated(f"{wire.label} dials {address} {self.MOST + 1} times within a second")
