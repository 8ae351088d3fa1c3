"""What the model's disk and replicas have: all that was written, or exactly what the configuration and the delay allow to be lost."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from streamcore.resp3 import encode
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour, Server, Session
from tests.simulation.sequences import Sequence

START = 1_700_000_000.0


def ask(session: Session, *words: str | bytes | int, now: float = START) -> bytes:
    session.receive(encode(words), now)
    return answer(session)


def answer(session: Session) -> bytes:
    data = bytes(session.data_to_send())
    session.data_sent(len(data))
    return data


def appending(sync: str, flavour: Flavour = VALKEY9) -> tuple[Server, Session]:
    server = Server(flavour, now=START)
    session = server.connect(START)
    ask(session, "CONFIG", "SET", "appendonly", "yes", "appendfsync", sync)
    return server, session


def values(server: Server) -> str:
    return repr([(sorted(one.items()), sorted(expiries.items())) for one, expiries in server.snapshot()])


def play(server: Server, random: Random, length: int) -> float:
    """Random commands of three clients, in transactions, too; some of them block, and are served or unblocked."""
    sequence = Sequence(random, recent=server.flavour.recent, modern=server.flavour.modern)
    sessions = [server.connect(START) for _ in range(3)]
    now = START
    for _ in range(length):
        now += random.random() * 0.1
        server.handle_timeout(now)
        session = random.choice(sessions)
        if session.blocked is not None:
            others = [one for one in sessions if one.blocked is None]
            if others and random.random() < 0.7:
                session = random.choice(others)
            else:
                server.unblock(session, None)
        if random.random() < 0.1:
            ask(session, "MULTI", now=now)
            for _ in range(3):
                ask(
                    session,
                    *random.choice((sequence.xadd, sequence.xreadgroup, sequence.script, sequence.key))(),
                    now=now,
                )
            ask(session, "EXEC", now=now)
        ask(session, *sequence.command(), now=now)
    return now


FLAVOURS = pytest.mark.parametrize("flavour", [VALKEY9, REDIS7, REDIS8], ids=lambda one: one.version.decode())


@FLAVOURS
def test_a_replica_has_what_its_primary_has(flavour: Flavour) -> None:
    for seed in range(30):
        primary, replica = Server(flavour, now=START), Server(flavour, now=START)
        replica.follow(primary, START, lag=0.25)
        now = play(primary, Random(seed), 150)
        replica.handle_timeout(now + 1.0)
        assert values(replica) == values(primary), f"seed {seed}"
        assert primary.journal.start > 0


@FLAVOURS
def test_a_disk_has_all_but_the_last_second(flavour: Flavour) -> None:
    """As a replica that is late by a second."""
    for seed in range(30):
        primary, replica = appending("everysec", flavour)[0], Server(flavour, now=START)
        replica.follow(primary, START, lag=1.0)
        now = play(primary, Random(seed), 150)
        replica.handle_timeout(now)
        lost = primary.crash(now)
        assert values(replica) == values(primary), f"seed {seed}"
        assert lost > 0
        play(primary, Random(seed), 20)
        assert primary.crash(now + 60.0) == 0


def test_what_was_answered_is_on_a_disk_that_synchronises_always() -> None:
    server, session = appending("always")
    for n in range(5):
        ask(session, "RPUSH", "l", n)
    assert server.crash(START) == 0
    assert ask(server.connect(START), "LLEN", "l") == b":5\r\n"


def test_a_failure_of_power_loses_at_most_what_is_not_synchronised_and_units_are_whole() -> None:
    for lose, left in ((None, 4), (0, 8), (1, 8), (2, 8), (3, 5), (4, 4), (100, 4)):
        server, session = appending("everysec")
        for n in range(5):
            ask(session, "RPUSH", "l", n, now=START + n)
        ask(session, "MULTI")
        for n in range(3):
            ask(session, "RPUSH", "l", n)
        ask(session, "EXEC", now=START + 4)
        assert server.crash(START + 4.5, lose=lose) == 8 - left
        assert ask(server.connect(START), "LLEN", "l") == b":%d\r\n" % left


def test_without_an_append_only_file_there_is_what_was_saved() -> None:
    server = Server(now=START)
    session = server.connect(START)
    for words in (("SET", "a", 1), ("SAVE",), ("SET", "b", 2)):
        ask(session, *words)
    assert values(server).count("b'b'") == 1
    server.crash(START)
    assert ask(server.connect(START), "MGET", "a", "b") == b"*2\r\n$1\r\n1\r\n$-1\r\n"


def test_a_crash_ends_all_that_is_not_data() -> None:
    server, session = appending("always")
    ask(session, "SCRIPT", "LOAD", "return 1")
    ask(session, "HELLO", 3)
    ask(session, "SUBSCRIBE", "news")
    blocked = server.connect(START)
    ask(blocked, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    former = server.run_id
    server.crash(START)
    assert session.closed
    assert blocked.closed
    assert server.run_id != former
    anew = server.connect(START)
    assert anew.number == 1
    assert ask(anew, "SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db") == b"*1\r\n:0\r\n"
    assert ask(anew, "PUBSUB", "CHANNELS") == b"*0\r\n"


def test_many_writes_are_forgotten_by_the_journal_and_not_by_the_disk() -> None:
    server, session = appending("everysec")
    for n in range(30):
        for _ in range(1000):
            session.receive(encode(["INCR", "n"]), START + n)
        answer(session)
        server.handle_timeout(START + n)
    assert server.journal.end - server.journal.start < 30_000
    assert server.crash(START + 29.5) == 1000
    assert ask(server.connect(START), "GET", "n") == b"$5\r\n29000\r\n"


def replicated(*, lag: float = 0.0) -> tuple[Server, Session, Server, Session]:
    primary, replica = Server(now=START), Server(now=START)
    replica.address = (b"127.0.0.1", 6380)
    ask(first := primary.connect(START), "XADD", "s", "1-1", "f", "v")
    second = replica.connect(START)
    replica.follow(primary, START, lag=lag)
    return primary, first, replica, second


def test_what_a_replica_has_not_repeated_is_lost_when_it_is_promoted() -> None:
    primary, first, replica, second = replicated(lag=0.5)
    ask(first, "XADD", "s", "2-1", "f", "v", now=START)
    assert replica.next_timeout() == START + 0.5
    replica.handle_timeout(START + 0.5)
    ask(first, "XADD", "s", "3-1", "f", "v", now=START + 0.6)
    assert ask(second, "XLEN", "s") == b":2\r\n"
    assert ask(second, "XADD", "s", "4-1", "f", "v").startswith(b"-READONLY")
    assert replica.promote(START + 0.7) == 1
    assert ask(second, "XADD", "s", "4-1", "f", "v") == b"$3\r\n4-1\r\n"
    primary.follow(replica, START + 0.8)
    assert ask(first, "XRANGE", "s", "-", "+", "COUNT", 9).count(b"-1\r\n") == 3
    assert b"3-1" not in ask(first, "XRANGE", "s", "-", "+")
    assert ask(first, "XADD", "s", "5-1", "f", "v").startswith(b"-READONLY")


def test_who_is_blocked_when_a_primary_is_demoted_is_told_and_disconnected() -> None:
    primary, first, replica, _ = replicated(lag=0.5)
    blocked = primary.connect(START)
    ask(blocked, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    ask(blocked, "PING")
    ask(first, "XADD", "t", "1-1", "f", "v")
    primary.fail_over(replica, START)
    assert answer(blocked).startswith(b"-UNBLOCKED")
    assert b"PONG" not in answer(blocked)
    assert blocked.closed
    assert not first.closed
    assert ask(first, "XADD", "s", "9-1", "f", "v").startswith(b"-READONLY")
    anew = replica.connect(START)
    assert ask(anew, "XLEN", "t") == b":1\r\n"
    assert ask(anew, "WAIT", 1, 0, now=START) == b":1\r\n"


def test_a_reader_of_a_replica_is_served_by_what_is_repeated() -> None:
    _, first, replica, second = replicated(lag=0.5)
    ask(second, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    ask(first, "XADD", "s", "2-1", "f", "v")
    assert answer(second) == b""
    replica.handle_timeout(START + 0.5)
    assert b"2-1" in answer(second)


def test_a_message_is_passed_on_to_the_subscribers_of_replicas() -> None:
    _, first, replica, second = replicated(lag=0.5)
    ask(second, "SUBSCRIBE", "news")
    ask(first, "PUBLISH", "news", "hello")
    replica.handle_timeout(START + 0.5)
    assert b"hello" in answer(second)


def test_wait_is_answered_when_enough_replicas_have_it_or_the_time_is_over() -> None:
    primary, first, replica, _ = replicated(lag=0.25)
    ask(first, "SET", "a", "b")
    assert ask(first, "WAIT", 0, 0) == b":0\r\n"
    assert ask(first, "WAIT", 1, 1000) == b""
    assert primary.next_timeout() == START + 0.1
    primary.handle_timeout(START + 0.1)
    replica.handle_timeout(START + 0.25)
    primary.handle_timeout(START + 0.3)
    assert answer(first) == b":1\r\n"
    assert ask(first, "WAIT", 2, 1000, now=START + 0.3) == b""
    primary.handle_timeout(START + 1.3)
    assert answer(first) == b":1\r\n"
    replica.replication.lag = inf
    ask(first, "SET", "a", "c", now=START + 1.3)
    assert replica.next_timeout() is None
    assert ask(first, "WAIT", 1, 100, now=START + 1.3) == b""
    primary.handle_timeout(START + 1.5)
    assert answer(first) == b":0\r\n"


def test_waitaof_speaks_of_disks() -> None:
    primary, first, replica, second = replicated(lag=0.25)
    assert ask(first, "WAITAOF", 1, 0, 0).startswith(b"-ERR WAITAOF cannot be used when numlocal is set")
    for session in (first, second):
        ask(session, "CONFIG", "SET", "appendonly", "yes")
    ask(first, "SET", "a", "b")
    assert ask(first, "WAITAOF", 1, 1, 5000) == b""
    for now in (START + 0.3, START + 0.9):
        replica.handle_timeout(now)
        primary.handle_timeout(now)
    assert answer(first) == b""
    primary.handle_timeout(START + 1.0)
    replica.handle_timeout(START + 1.3)
    primary.handle_timeout(START + 1.3)
    assert answer(first) == b"*2\r\n:1\r\n:1\r\n"
    assert ask(first, "WAITAOF", 0, 2, 5000, now=START + 1.3) == b""
    primary.handle_timeout(START + 6.3)
    assert answer(first) == b"*2\r\n:1\r\n:1\r\n"


def test_a_primary_that_crashes_has_no_replicas_until_they_follow_it_again() -> None:
    primary, _, replica, second = replicated(lag=0.25)
    primary.crash(START)
    assert b"master_link_status:down" in ask(second, "INFO", "replication")
    first = primary.connect(START)
    ask(first, "XADD", "t", "1-1", "f", "v")
    replica.handle_timeout(START + 1.0)
    assert ask(second, "EXISTS", "s", "t") == b":1\r\n"
    replica.follow(primary, START + 1.0)
    assert ask(second, "EXISTS", "s", "t") == b":1\r\n"
    assert ask(second, "XLEN", "t") == b":1\r\n"


def test_a_replica_of_a_replica_gets_everything_too() -> None:
    primary, first, middle, _ = replicated()
    last = Server(now=START)
    last.follow(middle, START, lag=0.1)
    ask(first, "SET", "a", "b")
    middle.handle_timeout(START)
    last.handle_timeout(START + 0.1)
    assert ask(last.connect(START), "GET", "a") == b"$1\r\nb\r\n"
    other = Server(now=START)
    ask(other.connect(START), "SET", "z", "z")
    middle.follow(other, START)
    assert ask(last.connect(START), "MGET", "z", "a") == b"*2\r\n$1\r\nz\r\n$-1\r\n"
    assert primary.replication.replicas == {}
