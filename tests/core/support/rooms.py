"""A hub of channels in a model cluster, in virtual time, and the programs that publish there."""

from __future__ import annotations

from typing import Any

from streamcore.channels import ChannelMessage, Naming, Settings, StreamHub, Subscriber
from streamcore.channels.pages import SlotPages, SlotScript
from streamcore.channels.stream_hub import StreamJoin
from streamcore.cluster.cluster import Cluster
from streamcore.commands import key_slot
from streamcore.events import Event, Gap, StreamReset
from streamcore.options import Address
from streamcore.resp3 import encode
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node

CHANNELS = ("a", "b", "c", "{a}2")  # of three slots, and three nodes


class Rooms:
    """A hub of a cluster, and its first subscriber."""

    def __init__(self, *, wait: float = 0.5, router: Any = None, nodes: Any = None, **options: Any) -> None:
        self.cluster = ModelCluster(now=1000.0, **(nodes or {}))
        host, port = self.cluster.nodes[0].address
        cluster = Cluster([Address(host.decode(), port)], **(router or {}))
        settings = Settings(prefix="", **options)
        self.hub = StreamHub(settings, Naming(settings.prefix, "utf-8"), router=cluster.router)
        self.net = ClusterNet(self.cluster, self.hub)
        self.events: list[Event] = []
        self.hub.on_event = self.events.append
        self.subscriber = self.hub.subscribers.first
        self._numbers = 0
        self.net.advance(wait)

    def publish(self, channel: str, *data: str, id_: str = "*", node: Node | None = None) -> None:
        """Append messages to a channel."""
        session = (node or self.cluster.owner(channel)).connect(self.cluster.now)
        for each in data:
            session.receive(encode(("XADD", channel, id_, "data", each)), self.cluster.now)
        assert bytes(session.data_to_send()).count(b"$") == len(data)
        session.lost()

    def run(self, *command: Any) -> None:
        """Run a command at the node of its key."""
        session = self.cluster.owner(command[1]).connect(self.cluster.now)
        session.receive(encode(command), self.cluster.now)
        assert not bytes(session.data_to_send()).startswith(b"-")
        session.lost()

    def number(self, *channels: str) -> list[tuple[str, str]]:
        """Publish the next number in each of some channels."""
        self._numbers += 1
        for channel in channels:
            self.publish(channel, str(self._numbers))
        return [(channel, str(self._numbers)) for channel in channels]

    def ask(self, *channels: str, subscriber: Subscriber | None = None, **options: Any) -> StreamJoin:
        """Ask to join channels."""
        return self.hub.join(subscriber or self.subscriber, channels, **options)

    def join(self, *channels: str, subscriber: Subscriber | None = None, within: float = 5.0, **options: Any) -> None:
        """Join channels."""
        joining = self.ask(*channels, subscriber=subscriber, **options)
        for _ in range(int(within * 10)):
            if joining.poll():
                break
            self.net.advance(0.1)
        assert joining.poll()
        self.hub.end(joining)

    def items(self, subscriber: Subscriber | None = None) -> list[Any]:
        """Take what is there: messages and events."""
        found: list[Any] = []
        while items := self.hub.take_for(subscriber or self.subscriber, events=True):
            found += items
            self.net.serve()
        return found

    def take(self, subscriber: Subscriber | None = None) -> list[tuple[str, str]]:
        """Take the messages that are there."""
        return [(item.channel, item.data) for item in self.items(subscriber) if isinstance(item, ChannelMessage)]

    def work(self, seconds: float = 1.0, subscriber: Subscriber | None = None) -> list[tuple[str, str]]:
        """Take messages, for a while."""
        taken = self.take(subscriber)
        for _ in range(int(seconds * 10)):
            self.net.advance(0.1)
            taken += self.take(subscriber)
        return taken

    def other(self, channel: str) -> Node:
        """A primary that does not serve a channel."""
        return next(node for node in self.cluster.primaries() if node is not self.cluster.owner(channel))

    def script(self, channel: str) -> SlotScript:
        """The script that asks about a channel."""
        assert isinstance(self.hub._pages, SlotPages)
        return self.hub._pages._scripts[key_slot(channel)]

    @property
    def alarms(self) -> list[Event]:
        return [event for event in self.events if isinstance(event, (Gap, StreamReset))]

    @property
    def links(self) -> dict[str, Address]:
        """The addresses of the links that want a connection, by name."""
        links = [link for link in self.hub.links() if link.wants_connection and link.name != "topology"]
        return {link.name: link.address for link in links if isinstance(link.address, Address)}

    def address(self, channel: str) -> Address:
        """The address of the node that serves a channel."""
        host, port = self.cluster.owner(channel).address
        return Address(host.decode(), port)
