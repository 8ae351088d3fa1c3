"""The nodes of an embedded cluster: which belong to it, how they see each other, and how they come to agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import permutations
from typing import Final, NamedTuple

from streamcore.commands import cluster_slots, raw
from streamcore.errors import ReplyError

from .hearing import await_hearing
from .node import BUS, EmbeddedNode
from .questions import HOST
from .server import EmbeddedServerError
from .views import View, Views

PATIENCE: Final = 6.0  # seconds for an atomic move, before it is begun again
POLL: Final = 0.01  # seconds between two looks at the nodes
LOOKS: Final = 25  # until the nodes are made to tell each other once more; then twice as many, and so on


class Home(NamedTuple):
    """The place of a node at the beginning: the primary that it follows (None: it is a primary), and its slots."""

    node: EmbeddedNode
    primary: EmbeddedNode | None
    slots: range


class Members:
    """The nodes of the beginning and the nodes that were added. ``timeout``: seconds for each change.

    ``former`` has, for each node, the values of the options that were changed while it runs.
    """

    def __init__(self, homes: Sequence[Home], timeout: float) -> None:
        self.homes = homes
        self.added: list[EmbeddedNode] = []
        self.former: dict[EmbeddedNode, dict[str, str]] = {}
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
        """The primaries that can answer, each in its own view."""
        views = self.views()
        return [node for node in views if views.own(node).primary is None]

    def by_id(self) -> dict[str, EmbeddedNode]:
        """The nodes that can answer, by their ids."""
        return {node.id: node for node in self.up()}

    def wait_for(self, what: str, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait for a condition, which may ask nodes; ``EmbeddedServerError`` with ``what`` if it is not true in time.

        Between looks, nodes are made to tell each other their roles and slots.
        """
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        looks = next_spread = 0
        while True:
            why = ""
            try:
                if condition():
                    return
                if looks == next_spread:
                    next_spread += LOOKS + looks
                    self.spread()
            except (OSError, KeyError, ReplyError) as error:  # a node is not there yet, or has not heard of another
                why = f"; at last: {error!r}"
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{what}: not within {timeout:g} s{why}")
            looks += 1
            time.sleep(POLL)

    def wait_agreed(
        self, what: str, condition: Callable[[View], bool] = lambda _view: True, timeout: float | None = None
    ) -> None:
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

    def spread(self) -> None:
        """Let each node tell all others its role and its slots (``CLUSTER MEET``); by itself it takes up to a second.

        For some milliseconds, each has a nameless entry for each other.
        """
        up = self.up()
        for node in up:
            node.ask_all([raw("CLUSTER", "MEET", HOST, it.peer_port, it.port + BUS) for it in up if it is not node])

    def wait_ready(self) -> None:
        """Wait until ``is_ready()``, no node is in the middle of meeting another, and each hears the messages of each."""
        self.wait_for("all nodes agree, and find the cluster in order", self.is_ready)
        deadline = time.monotonic() + self.timeout
        while not self.views().have_met() and time.monotonic() < deadline:
            time.sleep(POLL)
        if not await_hearing(self.up(), deadline - time.monotonic()):
            raise EmbeddedServerError(f"the nodes do not hear each other's messages: not within {self.timeout:g} s")

    def meet(self) -> None:
        """Let all nodes know each other, and forget nodes that have left."""
        members = {node.id for node in self.nodes if node.is_started()}
        views = self.views()
        for node, other in permutations(views, 2):
            if other.id not in views[node]:
                node.ask(raw("CLUSTER", "MEET", HOST, other.peer_port, other.port + BUS))
        for node, view in views.items():
            strangers = [each.id for each in view.values() if each.id not in members and "handshake" not in each.flags]
            node.ask_all([raw("CLUSTER", "FORGET", id_) for id_ in strangers])
        self.wait_for("the nodes know each other", lambda: self.views().are_acquainted(members))

    def configure(self, options: Mapping[str, str], nodes: Iterable[EmbeddedNode]) -> None:
        """Change options of nodes (``CONFIG SET``), and keep the former values."""
        for node in nodes:
            former = self.former.setdefault(node, {})
            for name, value in options.items():
                found = node.ask(raw("CONFIG", "GET", name))
                if found:
                    former.setdefault(name, found[1].decode())
                node.ask(raw("CONFIG", "SET", name, value))
        self.wait_for("all nodes know the addresses", lambda: self.views().agree_about_addresses())

    def restore_configuration(self) -> None:
        """Undo all changes of options."""
        for node, options in self.former.items():
            if node.is_up():
                node.ask_all([raw("CONFIG", "SET", name, value) for name, value in options.items()])
        self.former.clear()
