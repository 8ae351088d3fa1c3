"""A client of a model cluster, in virtual time, for tests: its requests, the commands that the nodes ran, and its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamcore.cluster.call import Call
from streamcore.cluster.cluster import Cluster
from streamcore.cluster.multiplexer import ClusterMultiplexer
from streamcore.cluster.router import ClusterRouter
from streamcore.commands import Command, key_slot
from streamcore.events import Event
from streamcore.options import Address, Options
from streamcore.requests import Request
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import VALKEY9, Flavour, Session
from streamcore.testing.model.cluster import ModelCluster, Node

E = TypeVar("E")

START = 1000.0

KEYS = ("b", "a", "c")
"""Keys of the first, the second and the third primary."""


def address(node: Node) -> Address:
    """The address of a node as the client has it."""
    host, port = node.address
    return Address(host.decode(), port)


class Rig:
    """A cluster of three primaries and their replicas, and a client that knows the first node.

    Without ``starts`` they are not joined yet. A failed node is replaced when a test says so, and does not take the others down. ``ran``: the commands of each node.
    """

    def __init__(
        self,
        flavour: Flavour = VALKEY9,
        *,
        model: ModelCluster | None = None,
        seeds: Sequence[Address] = (),
        options: Options | None = None,
        engine: dict[str, Any] | None = None,
        starts: bool = True,
        **cluster: Any,
    ) -> None:
        self.model = model or ModelCluster(flavour=flavour, now=START, node_timeout=60.0)
        self.ran: list[tuple[Node, list[bytes]]] = []
        for node in self.model.nodes:
            self.watch(node)
        self.cluster = Cluster(seeds or [address(self.model.nodes[0])], **cluster)
        keywords: dict[str, Any] = engine or {}
        self.client = ClusterMultiplexer(options=options or Options(), router=self.cluster.router, **keywords)
        self.ended: list[Any] = []
        if starts:
            self.start()

    def start(self) -> None:
        """Join the client with the cluster."""
        self.net = ClusterNet(self.model, self.client)
        self.net.advance(0.01)

    def watch(self, node: Node) -> None:
        def note(session: Session, words: list[bytes]) -> None:
            if words[0] not in (b"HELLO", b"CLIENT", b"PING") and words[:2] != [b"CLUSTER", b"SLOTS"]:
                self.ran.append((node, words))

        node.on_command = note

    # -- requests -----------------------------------------------------------------------------------------------------

    def submit(self, *commands: Command[Any]) -> Any:
        """Submit commands, and let nothing happen yet."""
        return self.client.submit(list(commands), self.ended.append)

    def ask(self, *commands: Command[Any]) -> Any:
        """Submit commands, and serve what comes of it at once."""
        request = self.submit(*commands)
        self.net.serve()
        return request

    def transact(self, *commands: Command[Any]) -> Request:
        request = self.client.transact(list(commands), self.ended.append)
        self.net.serve()
        return request

    def advance(self, seconds: float) -> None:
        self.net.advance(seconds)

    def until(self, request: Request | Call, most: float = 10.0) -> float:
        """Let time pass until a request has ended; return the seconds."""
        begun = self.net.pair.now
        while not request.finished:
            assert self.net.pair.now < begun + most, "the request has not ended"
            self.advance(0.05)
        return self.net.pair.now - begun

    # -- the cluster --------------------------------------------------------------------------------------------------

    def owner(self, key: str) -> Node:
        return self.model.owner(key)

    def other(self, key: str) -> Node:
        """A primary that does not own the key."""
        return next(node for node in self.model.primaries() if node is not self.owner(key))

    def link(self, node: Node) -> Any:
        """The client's link to a node; None where it has none."""
        name = str(address(node))
        return next((link for link in self.client.links() if link.name == name), None)

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def router(self) -> ClusterRouter:
        router = self.client._router
        assert isinstance(router, ClusterRouter)
        return router

    def events(self, kind: type[E]) -> list[E]:
        """Take the events since the last call; return those of a kind."""
        taken: list[Event] = self.net.pair.events()
        return [event for event in taken if isinstance(event, kind)]

    def words(self, *names: str) -> list[str]:
        """Take the commands that were run, or refused, since the last call, as text; those of these names, where there are any."""
        ran, self.ran[:] = [*self.ran], []
        texts = [b" ".join(words).decode() for _, words in ran]
        return [text for text in texts if not names or text.split()[0] in names]

    def expect_nothing_left(self) -> None:
        """Check that no request has left anything behind."""
        nodes = self.client._nodes
        assert nodes.queued == 0
        assert nodes._gates.closed == []
        assert nodes._gates._fences == {}
        assert not any(queue.waiting or queue.last for queue in nodes._queues.values())
        assert self.router.wanted == {}


def slot(key: str) -> int:
    return key_slot(key.encode())


class Topologies:
    """Counts the questions for the topology, of all nodes of a cluster."""

    def __init__(self, model: ModelCluster) -> None:
        self.times: list[float] = []
        self.by_node: Counter[int] = Counter()
        for node in model.nodes:
            node.on_command = self._noting(model, node, node.on_command)

    def _noting(
        self, model: ModelCluster, node: Node, before: Callable[[Session, list[bytes]], object] | None
    ) -> Callable[[Session, list[bytes]], None]:
        def note(session: Session, words: list[bytes]) -> None:
            if words[:2] == [b"CLUSTER", b"SLOTS"]:
                self.times.append(model.now)
                self.by_node[node.address[1]] += 1
            if before is not None:
                before(session, words)

        return note

    def take(self) -> int:
        """Return the count since the last call."""
        count = len(self.times)
        self.times.clear()
        return count


class Moments:
    """Acts at chosen moments: before the n-th command of a client that any node runs, counted from 1."""

    def __init__(self, rig: Rig, actions: Sequence[tuple[int, Callable[[], object]]]) -> None:
        self._left = sorted(actions, key=lambda one: one[0])
        self._count = 0
        for node in rig.model.nodes:
            node.on_command = self._noting(node.on_command)

    def _noting(
        self, before: Callable[[Session, list[bytes]], object] | None
    ) -> Callable[[Session, list[bytes]], None]:
        def note(session: Session, words: list[bytes]) -> None:
            if before is not None:
                before(session, words)
            if words[0] not in (b"HELLO", b"CLIENT", b"CLUSTER", b"PING"):
                self._count += 1
                while self._left and self._left[0][0] <= self._count:
                    self._left.pop(0)[1]()

        return note

    def act_now(self) -> None:
        """Do what is left."""
        left, self._left = self._left, []
        for _, act in left:
            act()
