"""A scripted server of subscribers: it confirms and refuses subscriptions, and publishes messages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from streamcore.connection.link import Link
from streamcore.errors import BusyError, ClosedError, ReplyError
from streamcore.pubsub import PubSub, SubscriptionChange
from streamcore.pubsub.subscriptions import SubscriptionTable
from streamcore.testing.pair import Pair
from streamcore.testing.resp import OK, PushOf, resp

NOPERM = ReplyError("NOPERM", "No permissions to access a channel")
BUSY = BusyError("BUSY", "a script runs")


def pushed(*items: Any) -> bytes:
    return resp(PushOf(items))


class Broker:
    """The server of an engine, which answers its commands by ``serve``; ``refused`` maps names to errors."""

    def __init__(self, engine: PubSub[Any]) -> None:
        self.engine = engine
        self.pair = Pair(engine)
        self.refused: dict[bytes, ReplyError] = {}
        self.subscribed: set[tuple[str, bytes]] = set()
        self.commands: list[list[bytes]] = []

    def serve(self) -> Broker:
        """Answer all commands that the engine has sent."""
        while self.pair.server.commands:
            command = self.pair.server.commands.popleft()
            self.commands.append(command)
            self.pair.server.reply(self.answer(command))
        return self

    def answer(self, command: list[bytes]) -> bytes:
        word, *names = command
        if word in {b"PING", b"CLIENT"}:
            return OK
        for name in names:
            if name in self.refused:
                return resp(self.refused[name])
        answers = []
        kind = word.decode().lower().replace("un", "")
        for name in names:
            (self.subscribed.discard if b"UN" in word else self.subscribed.add)((kind, name))
            answers.append(pushed(word.lower(), name, len(self.subscribed)))
        return b"".join(answers)

    def publish(self, channel: str, *data: str | bytes) -> None:
        """Push messages of a channel, in a single piece."""
        self.pair.server.reply(*(pushed("message", channel, each) for each in data))

    def lose(self) -> None:
        """Break the connection, with the unanswered commands, and let the engine dial again behind its back-off."""
        self.subscribed.clear()
        self.pair.server.close()
        self.pair.server.commands.clear()
        self.pair.advance(0.2)

    def data(self) -> list[Any]:
        """Take the data of the messages that have arrived."""
        found: list[Any] = []
        while messages := self.engine.take():
            found += [message.data for message in messages]
        return found

    def data_until_closed(self) -> list[Any]:
        """Take the data of the messages that have arrived at an engine that has ended."""
        found: list[Any] = []
        with suppress(ClosedError):
            while messages := self.engine.take():
                found += [message.data for message in messages]
        return found


def subscribed(*channels: str, **options: Any) -> Broker:
    """A broker whose engine is subscribed to channels."""
    broker = Broker(PubSub[Any](channels, **options)).serve()
    broker.commands.clear()
    broker.pair.events()
    assert all(change.poll() for change in broker.engine.first)
    for change in broker.engine.first:
        broker.engine.keep(change)
    return broker


def is_done(change: SubscriptionChange) -> bool:
    return change.poll()


def answer_one(broker: Broker) -> None:
    """Answer the oldest command only."""
    broker.pair.server.reply(broker.answer(broker.pair.server.commands.popleft()))


def the_link(broker: Broker) -> Link:
    [link] = broker.engine.links()
    return link


def the_table(broker: Broker) -> SubscriptionTable:
    table = broker.engine._subscriptions
    assert isinstance(table, SubscriptionTable)
    return table


def is_over(broker: Broker) -> bool:
    return broker.engine.is_over
