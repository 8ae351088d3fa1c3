"""Replicas, demotions and restarts of the model are those of real servers: the same commands, the same answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import hiredis
import pytest

from streamcore.resp3 import encode
from streamcore.scripts.group import ACK_OWNED
from streamcore.testing.model import Server, Session
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

AT_ONCE = {"repl-diskless-sync-delay": "0", "hz": "500"}
BEFORE = """
XADD s 1-1 f v | XADD s 2-1 f v | XGROUP CREATE s g 0 | XREADGROUP GROUP g a COUNT 1 STREAMS s > | SET k v EX 100
RPUSH l a b | HSET h a 1 | ZADD z 1 a
"""
ON_A_REPLICA = """
PING | GET k | SET k w | XADD s 3-1 f v | XREAD STREAMS s 1 | XREADGROUP GROUP g a STREAMS s > | XREADGROUP GROUP g a STREAMS s 0
XACK s g 1-1 | XPENDING s g | XINFO GROUPS s | XAUTOCLAIM s g b 0 0 | XCLAIM s g b 0 1-1 | XRANGE s - + | XGROUP CREATE s h 0
BLPOP l 0 | LRANGE l 0 -1 | DEL k | EXPIRE k 5 | FLUSHALL | PUBLISH c m | WAIT 0 0 | HGETALL h | MULTI | SET k w | EXEC | MULTI | GET k
EXEC | XTRIM s MAXLEN 0 | XDEL s 1-1 | ZADD z 2 b | TYPE s | SCRIPT EXISTS abc | XREAD BLOCK 1 STREAMS s $
"""


def commands(text: str) -> list[list[str]]:
    return [line.split() for line in text.replace("\n", "|").split("|") if line.strip()]


def ask(session: Session, *words: str | int) -> Any:
    server = session.server
    assert isinstance(server, Server)
    session.receive(encode(words), server.now)
    server.handle_timeout(server.now + 0.01)
    reader = hiredis.Reader()
    data = session.data_to_send()
    session.data_sent(len(data))
    reader.feed(bytes(data))
    return reader.gets()


def asked(raw: Raw, *words: str | int) -> Any:
    raw.send(*words)
    return raw.read()


def judged(reply: Any) -> Any:
    """Errors by their word."""
    if isinstance(reply, hiredis.ReplyError):
        return f"-{str(reply).split(' ')[0]}"
    return [judged(one) for one in reply] if isinstance(reply, list) else reply


@pytest.fixture
def pair(server_kind: ServerKind) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    with ExitStack() as stack:
        primary = stack.enter_context(server_kind.create(config=AT_ONCE))
        replica = stack.enter_context(server_kind.create(config=AT_ONCE))
        with Raw(replica.address) as raw:
            raw("REPLICAOF", "127.0.0.1", primary.port)
        yield primary, replica


def modelled(kind: ServerKind) -> tuple[Server, Server]:
    primary, replica = Server(FLAVOURS[kind.name], now=time.time()), Server(FLAVOURS[kind.name], now=time.time())
    replica.follow(primary, primary.now)
    return primary, replica


def until_copied(replica: EmbeddedServer) -> None:
    """``z`` is written last. (WAIT also counts a replica that has not loaded its first image yet.)"""
    with Raw(replica.address) as raw:
        while asked(raw, "ZCARD", "z") != 1:
            pass


@pytest.mark.every_server
def test_a_replica_answers_as_a_real_one(server_kind: ServerKind, pair: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    primary, replica = modelled(server_kind)
    first, second = primary.connect(0.0), replica.connect(0.0)
    with Raw(pair[0].address) as real, Raw(pair[1].address) as copy:
        for words in commands(BEFORE):
            assert judged(ask(first, *words)) == judged(asked(real, *words)), words
        until_copied(pair[1])
        replica.handle_timeout(primary.now)
        assert judged(ask(second, "EVAL", ACK_OWNED, 1, "s", "g", "a", "1-1")) == "-READONLY"
        assert judged(asked(copy, "EVAL", ACK_OWNED, 1, "s", "g", "a", "1-1")) == "-READONLY"
        for words in commands(ON_A_REPLICA):
            if words[:2] == ["XINFO", "GROUPS"] and server_kind.name == "redis7":
                continue  # entries-read does not reach its replicas
            assert judged(ask(second, *words)) == judged(asked(copy, *words)), words
        for asker, raw in ((first, real), (second, copy)):
            ours, theirs = ask(asker, "ROLE"), asked(raw, "ROLE")
            assert (ours[0], len(ours), [type(one) for one in ours]) == (
                theirs[0],
                len(theirs),
                [type(one) for one in theirs],
            )
            mine = ask(asker, "INFO", "replication")
            about = dict(line.split(b":", 1) for line in asked(raw, "INFO", "replication").splitlines() if b":" in line)
            names = {line.split(b":", 1)[0] for line in mine.splitlines() if b":" in line}
            assert names <= set(about)
            assert b"role:" + about[b"role"] in mine
        for session, raw in ((first, real), (second, copy)):
            ours, theirs = ask(session, "HELLO", 3), asked(raw, "HELLO", 3)
            assert ours[b"role"] == theirs[b"role"]


@pytest.mark.every_server
def test_who_is_blocked_is_sent_away_by_a_demotion(
    server_kind: ServerKind, pair: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    primary, replica = modelled(server_kind)
    blocked, other = primary.connect(0.0), primary.connect(0.0)
    with Raw(pair[0].address) as real, Raw(pair[0].address) as theirs:
        for words in commands(BEFORE):
            ask(other, *words)
            asked(real, *words)
        until_copied(pair[1])
        waits = ("XREADGROUP", "GROUP", "g", "b", "BLOCK", 0, "STREAMS", "s", ">")
        ask(other, *waits[:4], "STREAMS", "s", ">")
        asked(real, *waits[:4], "STREAMS", "s", ">")
        theirs.send(*waits)
        while b"blocked_clients:1" not in asked(real, "INFO", "clients"):
            pass
        blocked.receive(encode(waits), primary.now)
        assert asked(real, "FAILOVER") == b"OK"
        primary.fail_over(replica, primary.now)
        assert judged(theirs.read()) == "-UNBLOCKED"
        with pytest.raises(EOFError):
            theirs.read()
        assert bytes(blocked.data_to_send()).startswith(b"-UNBLOCKED")
        assert not blocked.is_open
        while asked(real, "ROLE")[0] != b"slave":
            pass
        assert judged(asked(real, "SET", "a", "b")) == judged(ask(other, "SET", "a", "b"))


def origin(info: bytes) -> tuple[bytes, bytes]:
    """A server's run, and the history that it continues."""
    about = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return about[b"run_id"], about[b"master_replid"]


@pytest.mark.every_server
def test_a_change_of_roles_is_another_history_of_the_same_run(
    server_kind: ServerKind, pair: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    primary, replica = modelled(server_kind)
    session = primary.connect(0.0)
    with Raw(pair[0].address) as real:
        for words in commands(BEFORE):
            ask(session, *words)
            asked(real, *words)
        until_copied(pair[1])
        before = [
            origin(asks("INFO", "server", "replication")) for asks in (partial(ask, session), partial(asked, real))
        ]
        assert asked(real, "FAILOVER") == b"OK"
        while asked(real, "ROLE")[0] != b"slave":
            pass
        primary.fail_over(replica, primary.now)
        while asked(real, "REPLICAOF", "NO", "ONE") != b"OK":
            pass  # it may still be about to follow
        primary.promote(primary.now)
        after = [
            origin(asks("INFO", "server", "replication")) for asks in (partial(ask, session), partial(asked, real))
        ]
    for (run, history), (same, another) in zip(before, after, strict=True):
        assert (run, history != another) == (same, True)


@pytest.mark.every_server
def test_what_is_there_after_a_restart_is_what_a_real_server_has(
    server_kind: ServerKind, fresh_server: EmbeddedServer
) -> None:
    model = Server(FLAVOURS[server_kind.name], now=time.time())
    session = model.connect(0.0)
    ask(session, "CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
    with Raw(fresh_server.address) as raw:
        for words in [*commands(BEFORE), ["SCRIPT", "LOAD", "return 1"], ["SUBSCRIBE", "c"]]:
            assert judged(ask(session, *words)) == judged(asked(raw, *words)), words
    fresh_server.kill()
    fresh_server.restart()
    assert model.crash(model.now) == 0
    session = model.connect(0.0)
    with Raw(fresh_server.address) as raw:
        assert ask(session, "CLIENT", "ID") < 10
        assert asked(raw, "CLIENT", "ID") < 10
        after = """XRANGE s - + | XREADGROUP GROUP g a STREAMS s 0 | XREADGROUP GROUP g a STREAMS s > | GET k | LRANGE l 0 -1
            SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db | PUBSUB CHANNELS | XADD s 2-1 f v | XADD s 3-1 f v | CLIENT GETNAME"""
        for words in commands(after):
            assert judged(ask(session, *words)) == judged(asked(raw, *words)), words
