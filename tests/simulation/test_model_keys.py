"""What the model tells of keys, as notifications and as invalidations, is what real servers tell, command by command."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streamcore.resp3 import encode
from streamcore.testing.model import Server
from tests.simulation.test_model_pubsub import Command, Modelled, all_that_comes
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

SEQUENCES = 25
COMMANDS: tuple[Command, ...] = tuple(
    tuple(line.split())
    for line in """
SET a 1 | SET a 1 EX 100 | SETEX a 100 x | SETNX a 2 | GET a | GETDEL a | MSET a 1 b 2 | INCR n | DECRBY n 2 | INCRBYFLOAT n 0.5 | APPEND a x
DEL a | DEL a b none | UNLINK h | EXPIRE a 100 | EXPIRE none 100 | PERSIST a | RENAME a b | COPY a c REPLACE | HSET h f v | HDEL h f | HDEL h g
HINCRBY h n 1 | RPUSH l x y | LPUSH l z | LPOP l | RPOP l 2 | LTRIM l 1 -1 | SADD u x | SADD u x | SREM u x | SREM u none | ZADD z 1 a
ZADD z 2 b | ZINCRBY z 1 a | ZREM z a | XADD s * f v | XADD s * f v | XDEL s 1-1 | XTRIM s MAXLEN 1 | XTRIM s MAXLEN 100
XGROUP CREATE s g 0 | XGROUP CREATE s g 0 MKSTREAM | XGROUP SETID s g 0 | XGROUP CREATECONSUMER s g c | XGROUP DELCONSUMER s g c
XGROUP DESTROY s g | XACK s g 1-1 | XSETID s 99999999999999-0 | FLUSHALL | FLUSHDB | XLEN s | EXPIREAT b 4102444800
""".replace("\n", "|").split("|")
    if line.strip()
)


def told(came: list[Any]) -> list[str]:
    """Messages, without answers."""
    return [repr(one) for one in came if isinstance(one, tuple)]


def both(server: EmbeddedServer, kind: ServerKind) -> tuple[Server, list[tuple[Modelled, Raw]]]:
    model = Server(FLAVOURS[kind.name], now=1_700_000_000.0)
    pairs = [(Modelled(model.connect(0.0)), Raw(server.address)) for _ in range(2)]
    for pair in pairs:
        for one in pair:
            one.send("HELLO", "3")
            one.read()
    return model, pairs


def play(pairs: list[tuple[Modelled, Raw]], seed: int) -> None:
    random, story = Random(seed), list[str]()
    for _ in range(40):
        number = random.choice((0, 0, 1))
        words = random.choice(COMMANDS)
        story.append(f"{number}: {' '.join(words)}")
        for one in pairs[number]:
            one.send(*words)
        for listens in (number, 1 - number):
            ours, theirs = (told(all_that_comes(one)) for one in pairs[listens])
            assert ours == theirs, f"seed {seed}: {story}\n{ours}\n{theirs}"
    for _, raw in pairs:
        raw.close()


@pytest.mark.every_server
@pytest.mark.parametrize("setting", ["KEA", "Kx$", "Eglshz"])
def test_notifications_are_those_of_the_server(server: EmbeddedServer, server_kind: ServerKind, setting: str) -> None:
    for seed in range(SEQUENCES):
        _, pairs = both(server, server_kind)
        for one in pairs[0]:
            one.send("CONFIG", "SET", "notify-keyspace-events", setting)
            one.read()
            one.send("CONFIG", "GET", "notify-keyspace-events")
        assert pairs[0][0].read() == pairs[0][1].read()
        for one in pairs[1]:
            one.send("PSUBSCRIBE", "__key*__:*")
            one.read()
        try:
            play(pairs, seed)
        finally:
            with Raw(server.address) as raw:
                raw("FLUSHALL")
                raw("CONFIG", "SET", "notify-keyspace-events", "")


@pytest.mark.every_server
@pytest.mark.parametrize("how", [("BCAST",), ("BCAST", "NOLOOP"), ("PREFIX", "s", "PREFIX", "a", "BCAST")])
def test_invalidations_are_those_of_the_server(
    server: EmbeddedServer, server_kind: ServerKind, how: tuple[str, ...]
) -> None:
    for seed in range(SEQUENCES):
        _, pairs = both(server, server_kind)
        for one in pairs[1]:
            one.send("CLIENT", "TRACKING", "ON", *how)
            assert one.read() == b"OK"
        try:
            play(pairs, seed)
        finally:
            with Raw(server.address) as raw:
                raw("FLUSHALL")


def test_a_key_that_expires_is_told_when_it_is_time() -> None:
    server = Server(now=1000.0)
    listener, writer = server.connect(1000.0), server.connect(1000.0)
    for session, words in (
        (writer, ("CONFIG", "SET", "notify-keyspace-events", "Kx")),
        (listener, ("HELLO", 3)),
        (listener, ("PSUBSCRIBE", "__key*__:*")),
        (writer, ("SET", "k", "v", "PX", 250)),
    ):
        session.receive(encode(words), 1000.0)
    listener.data_sent(len(listener.data_to_send()))
    assert server.next_timeout() == 1000.25
    server.handle_timeout(1000.25)
    assert b"__keyspace@0__:k\r\n$7\r\nexpired\r\n" in bytes(listener.data_to_send())


def test_what_is_not_modelled_of_tracking_says_so() -> None:
    server = Server()
    session = server.connect(0.0)
    for words in (
        ("ON",),
        ("ON", "BCAST", "OPTIN"),
        ("ON", "PREFIX", "a"),
        ("ON", "BCAST", "PREFIX", "a", "PREFIX", "ab"),
    ):
        session.receive(encode(("CLIENT", "TRACKING", *words)), 0.0)
        assert bytes(session.data_to_send()).startswith(b"-ERR")
        session.data_sent(len(session.data_to_send()))
