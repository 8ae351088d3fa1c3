"""Subscribers come and go, are slow, and come back behind their last message, while slots move and primaries fail over at random."""

from __future__ import annotations

from random import Random

import pytest

from streamcore.channels import ChannelMessage, Subscriber
from streamcore.channels.stream_hub import StreamJoin
from streamcore.commands import key_slot
from streamcore.entries import StreamId
from streamcore.testing.model.cluster.moves import SlotMove
from tests.core.support.rooms import Rooms

ROOMS = tuple("abcdef")


class Visitor:
    """A subscriber of a channel, and what it has heard: from its first message on, all that were published, in order."""

    def __init__(self, subscriber: Subscriber, channel: str, joining: StreamJoin) -> None:
        self.subscriber = subscriber
        self.channel = channel
        self.joining: StreamJoin | None = joining
        self.heard: list[str] = []
        self.last: StreamId | None = None


class Chaos:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rooms = Rooms(
            router={"max_links_per_node": self.random.randint(1, 3)}, nodes={"election_delay": 0.3}, queue_size=8
        )
        self.sent: dict[str, list[str]] = {room: [] for room in ROOMS}
        self.visitors: list[Visitor] = []
        self.moves: list[SlotMove] = []

    def publish(self) -> None:
        for room in self.random.sample(ROOMS, 3):
            move = any(move.slot == key_slot(room) for move in self.moves)
            if not move:
                self.sent[room].append(str(len(self.sent[room])))
                self.rooms.publish(room, self.sent[room][-1])

    def come(self) -> None:
        room = self.random.choice(ROOMS)
        subscriber = self.rooms.hub.subscribers.open()
        joining = self.rooms.ask(room, subscriber=subscriber, history=self.random.choice([0, 2, 50]))
        self.visitors.append(Visitor(subscriber, room, joining))

    def come_back(self) -> None:
        visitor = self.random.choice(self.visitors)
        if visitor.last is None or visitor.joining is not None:
            return
        self.rooms.hub.leave(visitor.subscriber)
        visitor.joining = self.rooms.ask(visitor.channel, subscriber=visitor.subscriber, after=visitor.last)

    def go(self) -> None:
        visitor = self.visitors.pop(self.random.randrange(len(self.visitors)))
        if visitor.joining is not None:
            self.rooms.hub.end(visitor.joining)
        self.rooms.hub.close_subscriber(visitor.subscriber)
        self.check(visitor)

    def take(self, visitor: Visitor) -> None:
        if visitor.joining is not None and visitor.joining.poll():
            self.rooms.hub.end(visitor.joining)
            visitor.joining = None
        for item in self.rooms.hub.take_for(visitor.subscriber):
            if isinstance(item, ChannelMessage):
                visitor.heard.append(item.data)
                visitor.last = item.id

    def change(self) -> None:
        """Change the cluster."""
        rooms, cluster = self.rooms, self.rooms.cluster
        room = self.random.choice(ROOMS)
        match self.random.randrange(4):
            case 0:
                cluster.move_slot(key_slot(room), rooms.other(room), how=self.random.choice(["classic", "atomic"]))
            case 1 if all(move.slot != key_slot(room) for move in self.moves):
                self.moves.append(cluster.begin_move(key_slot(room), rooms.other(room)))
                self.moves[-1].begin()
                self.moves[-1].move_keys()
            case _ if not self.moves:
                cluster.failover(cluster.replica_of(cluster.owner(room)))
            case _:
                pass

    def finish_moves(self) -> None:
        for move in self.moves:
            move.finish()
        self.moves.clear()

    def check(self, visitor: Visitor) -> None:
        sent = self.sent[visitor.channel]
        if visitor.heard:
            first = sent.index(visitor.heard[0])
            assert visitor.heard == sent[first : first + len(visitor.heard)], visitor.channel

    def run(self) -> None:
        for step in range(120):
            self.publish()
            act = self.random.choice([self.come, self.come, self.change, self.go, self.come_back])
            if act in (self.come, self.change) or self.visitors:
                act()
            if step % 4 == 0:
                self.finish_moves()
            self.rooms.net.advance(self.random.choice([0.0, 0.01, 0.1]))
            for visitor in self.visitors:
                if self.random.random() < 0.5:
                    self.take(visitor)
        self.finish_moves()
        for _ in range(60):
            self.rooms.net.advance(0.1)
            for visitor in self.visitors:
                self.take(visitor)
        for visitor in self.visitors:
            assert visitor.joining is None
            self.check(visitor)
            if visitor.heard:
                assert visitor.heard[-1] == self.sent[visitor.channel][-1]
        assert self.rooms.alarms == []


@pytest.mark.parametrize("seed", [*range(4), 9])
def test_each_hears_all_from_its_first_message_on(seed: int) -> None:
    Chaos(seed).run()
