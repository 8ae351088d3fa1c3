"""What the differential tests cannot show: faults, limits, snapshots, and the model's own time."""

from __future__ import annotations

from streamcore.resp3 import encode
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour, Server, Session


def ask(session: Session, *words: str | bytes | int, now: float = 0.0) -> bytes:
    session.receive(encode(words), now)
    return answer(session)


def answer(session: Session) -> bytes:
    data = bytes(session.data_to_send())
    session.data_sent(len(data))
    return data


def started(flavour: Flavour = VALKEY9) -> tuple[Server, Session]:
    server = Server(flavour, now=1000.0)
    session = server.connect(1000.0)
    ask(session, "HELLO", 3, now=1000.0)
    return server, session


def test_bytes_may_be_cut_anywhere() -> None:
    server, session = started()
    data = b"".join(encode(words) for words in (("SET", "a", b"\r\n$5"), ("GET", "a"), ("PING",))) + b"PING inline\r\n"
    for at in range(len(data)):
        session.receive(data[at : at + 1], 1000.0)
    assert answer(session) == b"+OK\r\n$4\r\n\r\n$5\r\n+PONG\r\n$6\r\ninline\r\n"
    assert server.take_changed() == [session]


def test_what_is_no_command_ends_the_session() -> None:
    for data in (b"*1\r\n:1\r\n", b"*x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$999999999999\r\n", b"x" * 70_000):
        session = started()[1]
        session.receive(encode(["PING"]) + data, 1000.0)
        assert bytes(session.data_to_send()).startswith(b"+PONG\r\n-ERR Protocol")
        assert not session.closed
        answer(session)
        assert session.closed


def test_a_blocked_read_ends_when_its_time_is_over_and_not_earlier() -> None:
    server, session = started()
    assert ask(session, "XREAD", "BLOCK", 1500, "STREAMS", "s", "$", now=1000.0) == b""
    assert server.next_timeout() == 1001.5
    server.handle_timeout(1001.499)
    assert answer(session) == b""
    server.handle_timeout(1001.5)
    assert answer(session) == b"_\r\n"
    assert server.next_timeout() is None


def test_who_blocked_first_is_served_first_and_then_runs_what_came_behind() -> None:
    server, first = started()
    second, writer = server.connect(1000.0), server.connect(1000.0)
    ask(writer, "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    for session, name in ((first, "a"), (second, "b")):
        ask(session, "XREADGROUP", "GROUP", "g", name, "COUNT", 1, "BLOCK", 0, "STREAMS", "s", ">")
        ask(session, "PING")
    ask(writer, "XADD", "s", "1-1", "f", "v")
    assert answer(first).endswith(b"$1\r\nv\r\n+PONG\r\n")
    assert answer(second) == b""


def test_who_waits_for_a_key_that_expires_is_told() -> None:
    server, session = started()
    other = server.connect(1000.0)
    ask(other, "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    ask(other, "PEXPIRE", "s", 500)
    assert ask(session, "XREADGROUP", "GROUP", "g", "a", "BLOCK", 0, "STREAMS", "s", ">") == b""
    assert server.next_timeout() == 1000.5
    server.handle_timeout(1000.5)
    assert answer(session).startswith(b"-NOGROUP")


def test_a_killed_session_leaves_nothing_behind() -> None:
    server, session = started()
    killer = server.connect(1000.0)
    ask(session, "WATCH", "s")
    ask(session, "BLPOP", "s", 0)
    assert ask(killer, "CLIENT", "KILL", "ID", session.number) == b":1\r\n"
    assert session.closed
    assert not server.waiting.sessions
    assert ask(killer, "RPUSH", "s", "x") == b":1\r\n"
    assert ask(killer, "CLIENT", "KILL", "ID", killer.number, "SKIPME", "no") == b":1\r\n"
    assert killer.closed
    assert server.sessions == {}


def test_who_does_not_read_is_disconnected() -> None:
    server, session = started()
    server.output_limit = 1000
    ask(session, "SUBSCRIBE", "news")
    publisher = server.connect(1000.0)
    for _ in range(30):
        ask(publisher, "PUBLISH", "news", "x" * 50)
    assert not session.is_open
    assert ask(publisher, "PUBLISH", "news", "x") == b":0\r\n"


def test_a_snapshot_is_not_changed_by_what_comes_later() -> None:
    server, session = started()
    ask(session, "XADD", "s", "1-1", "f", "v")
    ask(session, "XGROUP", "CREATE", "s", "g", "0")
    ask(session, "XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    for words in (("SET", "k", "v", "EX", 60), ("HSET", "h", "a", "1"), ("RPUSH", "l", "a"), ("ZADD", "z", 1, "a")):
        ask(session, *words)
    kept = server.snapshot()
    for later in (
        ("XACK", "s", "g", "1-1"),
        ("XDEL", "s", "1-1"),
        ("HSET", "h", "a", "2"),
        ("LPOP", "l"),
        ("DEL", "z"),
    ):
        ask(session, *later)

    restarted = Server(now=1001.0)
    restarted.restore(kept)
    client = restarted.connect(1001.0)
    ask(client, "HELLO", 3)
    assert ask(client, "XPENDING", "s", "g", "-", "+", 10) == b"*1\r\n*4\r\n$3\r\n1-1\r\n$1\r\na\r\n:1000\r\n:1\r\n"
    assert ask(client, "HGET", "h", "a") == b"$1\r\n1\r\n"
    assert ask(client, "PTTL", "k") == b":59000\r\n"
    assert ask(client, "ZSCORE", "z", "a") == b",1\r\n"


def test_the_wall_clock_may_step_and_deadlines_do_not() -> None:
    server, session = started()
    server.skew = -500.0
    assert ask(session, "TIME", now=1000.0) == b"*2\r\n$3\r\n500\r\n$6\r\n000000\r\n"
    ask(session, "BLPOP", "l", 1, now=1000.0)
    server.skew = 500.0
    assert server.next_timeout() == 1001.0


def test_the_same_input_gives_the_same_output() -> None:
    def play() -> bytes:
        server = Server(now=5.0, entropy=lambda n: b"7" * n)
        session = server.connect(5.0)
        words = [("HELLO", 3), ("XADD", "s", "*", "f", "v"), ("INFO",), ("CLIENT", "INFO"), ("TIME",)]
        return b"".join(ask(session, *one, now=5.0 + at) for at, one in enumerate(words))

    assert play() == play()


def test_what_redis_7_does_not_know() -> None:
    session = started(REDIS7)[1]
    assert ask(session, "WAITAOF", 0, 0, 0).startswith(b"-ERR unknown command")
    assert ask(session, "CLIENT", "SETINFO", "LIB-NAME", "x").startswith(b"-ERR")
    assert ask(session, "XADD", "s", "IDMP", "p", "1", "*", "f", "v").startswith(b"-ERR")
    assert ask(session, "XCFGSET", "s", "IDMP-MAXSIZE", 10).startswith(b"-ERR unknown command")


def test_a_reset_session_is_as_a_new_one() -> None:
    session = started()[1]
    for words in (("SUBSCRIBE", "news"), ("CLIENT", "SETNAME", "x"), ("SELECT", 3), ("MULTI",)):
        ask(session, *words)
    assert ask(session, "RESET") == b"+RESET\r\n"
    assert (session.protocol, session.database, session.name, session.subscriptions) == (2, 0, b"", 0)
    assert ask(session, "GET", "a") == b"$-1\r\n"


def test_a_password_is_asked_for_and_not_told() -> None:
    server = Server()
    server.passwords[b"default"] = b"sesame"
    session = server.connect(0.0)
    assert ask(session, "PING").startswith(b"-NOAUTH")
    assert ask(session, "HELLO", 3).startswith(b"-NOAUTH")
    for words in (("AUTH", "open"), ("AUTH", "ann", "sesame"), ("HELLO", 3, "AUTH", "default", "open")):
        assert ask(session, *words).startswith(b"-WRONGPASS")
    assert ask(session, "AUTH", "sesame") == b"+OK\r\n"
    assert b"sesame" not in ask(session, "CLIENT", "LIST") + ask(session, "INFO")


def test_clients_are_listed_by_id_and_by_kind() -> None:
    server, session = started()
    other = server.connect(1000.0)
    ask(other, "HELLO", 3, "SETNAME", "listener")
    ask(other, "SUBSCRIBE", "news")
    assert b"name=listener" in ask(session, "CLIENT", "LIST", "ID", other.number)
    assert b"name=listener" in ask(session, "CLIENT", "LIST", "TYPE", "pubsub")
    assert b"name=listener" not in ask(session, "CLIENT", "LIST", "TYPE", "normal")
    assert ask(session, "CLIENT", "LIST", "ID", 99) == b"=4\r\ntxt:\r\n"
    assert ask(session, "CLIENT", "KILL", other.address) == b"+OK\r\n"
    assert other.closed
    assert ask(session, "CLIENT", "REPLY", "OFF").startswith(b"-ERR")


def test_faults_befall_what_scripts_call() -> None:
    server, session = started()
    server.faults.denied.add("XGROUP CREATE")
    assert ask(session, "XGROUP", "CREATE", "s", "g", "0", "MKSTREAM").startswith(b"-NOPERM")
    server.faults.fail_next("SET", "BUSY now", times=1)
    ask(session, "MULTI")
    assert ask(session, "SET", "a", "b") == b"-BUSY now\r\n"
    assert ask(session, "EXEC").startswith(b"-EXECABORT")
    for error, survivor in (
        ("READONLY r", ("GET", "a")),
        ("OOM o", ("DEL", "a")),
        ("LOADING l", ("PUBLISH", "a", "b")),
    ):
        server.faults.unavailable = error
        assert ask(session, "SET", "a", "b") == f"-{error}\r\n".encode()
        assert not ask(session, *survivor).startswith(b"-")


def test_a_reader_with_claim_is_served_when_something_has_been_pending_for_long_enough() -> None:
    server, session = started(REDIS8)
    other = server.connect(1000.0)
    ask(other, "XADD", "s", "1-1", "f", "v")
    ask(other, "XGROUP", "CREATE", "s", "g", "0")
    ask(other, "XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">", now=1000.0)
    assert (
        ask(session, "XREADGROUP", "GROUP", "g", "b", "BLOCK", 0, "CLAIM", 300, "STREAMS", "s", ">", now=1000.1) == b""
    )
    assert server.next_timeout() == 1000.3
    server.handle_timeout(1000.3)
    assert answer(session).endswith(b":300\r\n:1\r\n")
