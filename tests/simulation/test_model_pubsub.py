"""Subscriptions in the model are confirmed, and messages come, as with real servers: random sequences, both protocols."""

from __future__ import annotations

from random import Random
from typing import Any

import hiredis
import pytest

from streamcore.testing.model import Server, Session
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

SEQUENCES = 40
NAMES = ("a", "ab", "b")
PATTERNS = ("a*", "?", "[ab]b", "*")
Command = tuple[str, ...]


def encoded(words: Command) -> bytes:
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(one), one.encode()) for one in words)])


class Modelled:
    """A connection to the model, as ``Raw`` is one to a server."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reader = hiredis.Reader(notEnoughData=self)

    def send(self, *words: str) -> None:
        self._session.receive(encoded(words), 0.0)

    def read(self) -> Any:
        data = self._session.data_to_send()
        self._reader.feed(bytes(data))
        self._session.data_sent(len(data))
        return self._reader.gets()


def all_that_comes(connection: Raw | Modelled) -> list[Any]:
    """Whatever comes before the answer to a PING."""
    connection.send("PING", "fence")
    came: list[Any] = []
    while True:
        reply = connection.read()
        if isinstance(reply, hiredis.ReplyError):
            came.append(f"-{str(reply).split(' ')[0]}")
        else:
            came.append(("push", *reply) if type(reply) is hiredis.PushNotification else reply)
        if repr(reply) in {"b'fence'", "[b'pong', b'fence']"}:
            return came


def comparable(came: list[Any]) -> list[str]:
    """As text; servers keep patterns by a hash, and so the messages that come by them in no order."""
    texts = [repr(one) for one in came]
    return [one for one in texts if "pmessage" not in one] + sorted(one for one in texts if "pmessage" in one)


def command(random: Random, *, publishes: bool) -> Command:
    channel, several = random.choice(NAMES), tuple(random.choices(NAMES, k=random.choice((1, 2))))
    patterns = tuple(random.choices(PATTERNS, k=random.choice((1, 2))))
    choices: list[Command] = [
        ("SUBSCRIBE", *several),
        ("PSUBSCRIBE", *patterns),
        ("SSUBSCRIBE", *several),
        ("UNSUBSCRIBE", *several),
        ("PUNSUBSCRIBE", *patterns),
        ("SUNSUBSCRIBE", *several),
        ("SUBSCRIBE",),
    ]
    if publishes:
        choices += [("PUBLISH", channel, "m"), ("SPUBLISH", channel, "m")] * 3
        choices += [("PUBSUB", "NUMSUB", *NAMES), ("PUBSUB", "NUMPAT"), ("PUBSUB", "SHARDNUMSUB", *NAMES)]
    return random.choice(choices)


@pytest.mark.every_server
def test_subscriptions_and_messages_are_as_those_of_the_server(server: EmbeddedServer, server_kind: ServerKind) -> None:
    for seed in range(SEQUENCES):
        random, model = Random(seed), Server(FLAVOURS[server_kind.name])
        with Raw(server.address) as one, Raw(server.address) as other:
            reals = [one, other]
            models = [Modelled(model.connect(0.0)) for _ in reals]
            speaks3 = [random.random() < 0.7 for _ in reals]
            for at in (0, 1):
                if speaks3[at]:
                    for connection in (reals[at], models[at]):
                        connection.send("HELLO", "3")
                        connection.read()
            story: list[str] = []
            for _ in range(25):
                at = random.choice((0, 1))
                words = command(random, publishes=speaks3[at])
                story.append(f"{at}: {' '.join(words)}")
                reals[at].send(*words)
                models[at].send(*words)
                for number in (at, 1 - at):
                    ours, theirs = all_that_comes(models[number]), all_that_comes(reals[number])
                    assert comparable(ours) == comparable(theirs), (
                        f"seed {seed}: {story}\n{number} hears {ours!r} from the model, {theirs!r}"
                    )
