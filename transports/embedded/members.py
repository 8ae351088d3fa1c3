"""The nodes of an embedded cluster: which belong to it, and how they join, follow each other, get slots and leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, combinations, repeat
from typing import Final, NamedTuple

from streamcore.cluster.topology import ranges
from streamcore.commands import cluster_slots, flushall, raw
from streamcore.errors import ReplyError

from .moves import assign, can_move_atomically, start_atomic_move
from .node import HOST, EmbeddedNode
from .server import EmbeddedServerError
from .views import View, Views, holders

PATIENCE: Final = 6.0  # seconds; a failover gives up after five
POLL: Final = 0.01  # seconds between two looks at the nodes
FEW: Final = 64  # slots that go one by one sooner than in an atomic move, which takes 0.2 s


class Home(NamedTuple):
    """The place of a node at the beginning: the primary that it follows (None: it is a primary), and its slots."""

    node: EmbeddedNode
    primary: EmbeddedNode | None
    slots: range


class Members:
    """The nodes of the beginning and the nodes that were added. ``timeout``: seconds for each change."""

    def __init__(self, homes: Sequence[Home], timeout: float) -> None:
        self.homes = homes
        self.added: list[EmbeddedNode] = []
        self.timeout = timeout

    @property
    def nodes(self) -> list[EmbeddedNode]:
        """All nodes, also those that have left."""
        return [*(home.node for home in self.homes), *self.added]

    def up(self) -> list[EmbeddedNode]:
        """The nodes that can answer."""
        return [node for node in self.nodes if node.is_up()]

    def view(self) -> View:
        """How the first node that can answer sees the cluster."""
        for node in self.up():
            return node.known()
        raise EmbeddedServerError("no node of the embedded cluster can answer")

    def views(self) -> Views:
        """How each node that can answer sees the cluster."""
        return Views(self.up())

    def primaries(self) -> list[EmbeddedNode]:
        """The primaries that can answer."""
        view = self.view()
        return [node for node in self.up() if node.id in view and view[node.id].primary is None]

    def wait_for(self, what: str, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait for a condition, which may ask nodes; ``EmbeddedServerError`` with ``what`` if it is not true in time."""
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        while True:
            why = ""
            try:
                if condition():
                    return
            except (OSError, KeyError, ReplyError) as error:  # a node is not there yet, or has not heard of another
                why = f"; at last: {error!r}"
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{what}: not within {timeout:g} s{why}")
            time.sleep(POLL)

    def wait_agreed(self, what: str, condition: Callable[[View], bool], timeout: float | None = None) -> None:
        """Wait until all nodes that can answer agree about slots and roles, and see what the condition wants."""
        self.wait_for(f"{what}, and all nodes know it", lambda: self.views().agree(condition), timeout)

    def insist(self, what: str, act: Callable[[], None], condition: Callable[[View], bool]) -> None:
        """Act until all nodes see what the condition wants: servers may give up without a word."""
        for _ in range(int(self.timeout / PATIENCE) - 1):
            act()
            with suppress(EmbeddedServerError):
                self.wait_agreed(what, condition, PATIENCE)
                return
        act()
        self.wait_agreed(what, condition)

    def is_ready(self) -> bool:
        """Whether all nodes that can answer agree about slots and roles, serve the slots and follow their primaries.

        Each also has to name all replicas to clients (``CLUSTER SLOTS``), which takes longer than to know them.
        """
        views = self.views()
        if not views.agree() or not all(node.is_ready() for node in views):
            return False
        replicas = views.replicas_in_use()
        return all(
            replicas <= {each.id for part in node.ask(cluster_slots()) for each in part.replicas} for node in views
        )

    def meet(self) -> None:
        """Let all nodes know each other, and forget nodes that have left."""
        members = {node.id for node in self.nodes if node.is_started()}
        views = self.views()
        for node, other in combinations(views, 2):
            if other.id not in views[node]:
                node.ask(raw("CLUSTER", "MEET", HOST, other.port))
        for node, view in views.items():
            strangers = [each.id for each in view.values() if each.id not in members and "handshake" not in each.flags]
            node.ask_all([raw("CLUSTER", "FORGET", id_) for id_ in strangers])
        self.wait_for("the nodes know each other", lambda: self.views().are_acquainted(members))

    def attach(self, pairs: Sequence[tuple[EmbeddedNode, EmbeddedNode]]) -> None:
        """Let nodes without slots, each the first of a pair, follow a primary, the second, and copy its data; all at once."""
        view = self.view()
        for node, primary in pairs:
            if view[node.id].primary is None:
                node.ask(flushall())  # only a primary without keys may become a replica
            node.ask(raw("CLUSTER", "REPLICATE", primary.id))
        for node, primary in pairs:
            self.wait_agreed(f"{node} is a replica of {primary}", partial(_follows, node.id, primary.id))
            self.wait_for(f"{node} follows {primary}", node.is_linked)

    def promote(self, replica: EmbeddedNode) -> None:
        """Let a replica change roles with its primary, in order (``CLUSTER FAILOVER``).

        Where there was an election a few seconds ago, Redis 7.0 refuses its votes.
        """
        primary = self.view()[replica.id].primary
        if primary is None:
            return
        self.wait_for(f"{replica} follows its primary", replica.is_linked)
        self.insist(
            f"{replica} has changed roles with its primary",
            lambda: self._fail_over(replica),
            lambda view: view[replica.id].primary is None and view[primary].primary == replica.id,
        )

    def _fail_over(self, replica: EmbeddedNode) -> None:
        if self.view()[replica.id].primary is not None:
            replica.ask(raw("CLUSTER", "FAILOVER"))

    def give(self, slots: Sequence[int], target: EmbeddedNode) -> None:
        """Give slots, with their keys where their owner can answer, to a primary."""
        wanted = target.id
        limits = chain([FEW], repeat(len(slots)))  # an atomic move that came to nothing is not tried again
        self.insist(
            f"{target} has {len(slots)} slots",
            lambda: self._fetch(slots, target, next(limits)),
            lambda view: holders(view, slots).keys() <= {wanted},
        )

    def _fetch(self, slots: Sequence[int], target: EmbeddedNode, most: int) -> None:
        """Let slots come, each from its owner: ``most`` the classic way, and more in an atomic move, where that is possible."""
        by_id = {node.id: node for node in self.up()}
        for id_, part in holders(self.view(), slots).items():
            source = by_id.get(id_) if id_ is not None else None
            if source is target:
                continue
            if source is not None and len(part) > most and can_move_atomically(source):
                start_atomic_move(ranges(part), source, target)
            else:
                assign(part, source, target, self.primaries())

    def remove(self, node: EmbeddedNode) -> None:
        """Let a node leave in order: its slots go to the other primaries, its replicas to the first of these, and it ends."""
        if not node.is_started():
            raise EmbeddedServerError(f"{node} does not belong to the embedded cluster")
        view = next(other for other in self.up() if other is not node).known()
        others = [other for other in self.primaries() if other is not node]
        slots = [slot for first, last in view[node.id].slots for slot in range(first, last + 1)]
        if slots and not others:
            raise EmbeddedServerError(f"{node} is the only primary, and its slots cannot go anywhere")
        for number, other in enumerate(others):
            self.give(slots[len(slots) * number // len(others) : len(slots) * (number + 1) // len(others)], other)
        self.attach([(replica, others[0]) for replica in self.up() if view[replica.id].primary == node.id])
        node.kill()
        node.stop()
        if node in self.added:
            self.added.remove(node)
        self.meet()


def _follows(replica: str, primary: str, view: View) -> bool:
    return view[replica].primary == primary
