"""A client of a model cluster, and what tests of it do again and again."""

from __future__ import annotations

from typing import Any

from streamcore.cluster.client import ClusterClient
from streamcore.cluster.cluster import Cluster
from streamcore.commands import Command, key_slot, xread
from streamcore.commands.command import LinkUse, Traits
from streamcore.events import Event
from streamcore.options import Address
from streamcore.requests import DedicatedLink, Request
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node

KEY = "{orders}1"
SLOT = key_slot(KEY)
OTHER = "{other}1"
wait: Command[int] = Command(("PING",), traits=Traits(slice(0, 0), use=LinkUse.DEDICATED))
"""A command without keys that needs a dedicated link."""


class Play:
    """A client of a model cluster, which knows its topology."""

    def __init__(self, **cluster: Any) -> None:
        self.cluster = ModelCluster(now=1000.0, **cluster)
        seed = where(self.cluster.nodes[0])
        self.engine = ClusterClient(router=Cluster([seed]).router)
        self.events: list[Event] = []
        self.engine.on_event = self.events.append
        self.net = ClusterNet(self.cluster, self.engine)
        self.net.advance(0.1)
        assert self.engine.is_ready

    @property
    def owner(self) -> Node:
        return self.cluster.owner(KEY)

    @property
    def stranger(self) -> Node:
        return next(node for node in self.cluster.primaries() if node is not self.owner)

    def lease(self, *asked: Command[Any]) -> DedicatedLink:
        lease = self.engine.lease(asked)
        assert lease is not None
        return lease

    def ask(self, at: Any, *asked: Command[Any]) -> Request:
        request: Request = at.submit(list(asked), ignored)
        self.net.serve()
        return request

    def answer(self, at: Any, *asked: Command[Any]) -> Any:
        return self.ask(at, *asked).answers()

    def links(self, start: str) -> dict[str, str]:
        found = [link for link in self.engine.links() if link.name.startswith(start) and link.is_up]
        return {link.name: str(link.address) for link in found}

    def told(self, link: str) -> list[type]:
        return [type(event) for event in self.events if getattr(event, "link", "") == link]


def ignored(_: Request) -> None:
    pass


def where(node: Node) -> Address:
    host, port = node.address
    return Address(host.decode(), port)


def address(node: Node) -> str:
    return str(where(node))


def read_from(key: str) -> Command[Any]:
    return xread({key: "0"}, block=1)
