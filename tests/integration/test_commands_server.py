"""Commands about the server, its connections, transactions and channels, against every server and in both protocols."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamcore.commands import (
    Command,
    Persisted,
    PrimaryRole,
    ServerHello,
    TrackingInfo,
    acl_cat,
    acl_whoami,
    auth,
    blpop,
    client_getname,
    client_getredir,
    client_id,
    client_info,
    client_kill,
    client_list,
    client_no_evict,
    client_no_touch,
    client_pause,
    client_reply,
    client_setinfo,
    client_setname,
    client_tracking,
    client_trackinginfo,
    client_unblock,
    client_unpause,
    command_count,
    command_getkeys,
    config_get,
    config_resetstat,
    config_rewrite,
    config_set,
    dbsize,
    discard,
    echo,
    exec_,
    flushall,
    flushdb,
    get,
    hello,
    incr,
    info,
    mset,
    multi,
    ping,
    psubscribe,
    publish,
    pubsub_channels,
    pubsub_numpat,
    pubsub_numsub,
    pubsub_shardchannels,
    pubsub_shardnumsub,
    punsubscribe,
    role,
    select,
    set_,
    spublish,
    ssubscribe,
    subscribe,
    sunsubscribe,
    time,
    unsubscribe,
    unwatch,
    wait,
    waitaof,
    watch,
)
from streamcore.errors import AuthenticationError, ExecAbortError, NoProtoError, ReplyError, UnblockedError
from tests.integration.lines import Ask, Line, is_unknown
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.every_server


@pytest.fixture
def other(server: EmbeddedServer) -> Iterator[Line]:
    """Somebody else's connection."""
    with Raw(server.address) as raw:
        yield Line(raw)


class TestServer:
    def test_is_there(self, ask: Ask) -> None:
        assert [ask(ping()), ask(ping("hello")), ask(echo(b"\xff"))] == [b"PONG", b"hello", b"\xff"]

    def test_reports_about_itself(self, ask: Ask, server_kind: ServerKind) -> None:
        both = ask(info("server", "memory"))
        assert both.keys() >= {"redis_version", "tcp_port", "used_memory"}
        assert ("valkey_version" in both) is (server_kind.name == "valkey")
        assert ask(info("memory")).keys() < both.keys()
        assert ask(info())["role"] == "master"
        assert len(ask(info("everything"))) > len(ask(info()))
        assert ask(info("nosuch")) == {}

    def test_tells_the_time(self, ask: Ask) -> None:
        assert abs(ask(time()) - datetime.now(UTC)) < timedelta(seconds=1)

    def test_has_data(self, ask: Ask) -> None:
        ask(mset({"a": 1, "b": 2}))
        assert ask(dbsize()) == 2
        for delete_all in (flushdb, flushall):
            for asynchronous in (None, True, False):
                ask(set_("k", 1))
                assert ask(delete_all(asynchronous=asynchronous)) == b"OK"
                assert ask(dbsize()) == 0

    def test_is_configured(self, ask: Ask) -> None:
        before = ask(config_get("slowlog-max-len", "hz"))
        assert before.keys() == {"slowlog-max-len", "hz"}
        assert ask(config_set({"slowlog-max-len": 77, "slowlog-log-slower-than": "20000"})) == b"OK"
        assert ask(config_get("slowlog-max*")) == {"slowlog-max-len": "77"}
        assert ask(config_set({"slowlog-max-len": before["slowlog-max-len"]})) == b"OK"
        assert ask(config_get("nosuch")) == {}
        assert ask(config_resetstat()) == b"OK"
        with pytest.raises(ReplyError, match="without a config file"):
            ask(config_rewrite())
        with pytest.raises(ReplyError, match="nosuch") as caught:
            ask(config_set({"nosuch": "sesame"}))
        assert "sesame" not in str(caught.value)

    def test_knows_its_commands(self, ask: Ask) -> None:
        assert ask(command_count()) > 200
        assert ask(command_getkeys(mset({"a": 1, "b": 2}))) == [b"a", b"b"]
        with pytest.raises(ReplyError, match="no key arguments"):
            ask(command_getkeys(echo("x")))

    def test_knows_its_users(self, ask: Ask) -> None:
        assert ask(acl_whoami()) == b"default"
        assert {b"stream", b"pubsub"} <= set(ask(acl_cat()))
        assert b"xadd" in ask(acl_cat("stream"))

    def test_waits_for_replicas(self, ask: Ask, server_kind: ServerKind) -> None:
        assert isinstance(ask(role()), PrimaryRole)
        ask(set_("k", 1))
        assert ask(wait(0, 0.05)) == 0
        assert ask(wait(1, 0.05)) == 0
        if server_kind.name == "redis7":
            is_unknown(ask, waitaof(0, 0, 0.05))
        else:
            assert ask(waitaof(0, 1, 0.05)) == Persisted(0, 0)
            with pytest.raises(ReplyError, match="WAITAOF"):
                ask(waitaof(1, 0, 0.05))


class TestClients:
    def test_know_themselves(self, ask: Ask) -> None:
        mine = ask(client_info())
        assert mine.id == ask(client_id())
        assert (mine.user, mine.db, mine.multi, mine.cmd) == ("default", 0, -1, "client|info")
        assert mine.resp == (2 if isinstance(ask, Line) else 3)
        assert mine.addr.startswith("127.0.0.1:")
        assert mine.other["events"] == "r"

    def test_know_each_other(self, ask: Ask, other: Line) -> None:
        theirs = other(client_id())
        mine = ask(client_id())
        assert {mine, theirs} <= {each.id for each in ask(client_list())}
        assert [each.id for each in ask(client_list(id=[theirs]))] == [theirs]
        assert {each.id for each in ask(client_list(id=[theirs, mine]))} == {theirs, mine}
        assert theirs in {each.id for each in ask(client_list(type="normal"))}
        assert ask(client_list(type="pubsub")) == ask(client_list(type="primary")) == []
        assert ask(client_list(type="replica")) == []

    def test_are_found_by_filters(self, ask: Ask, other: Line, server_kind: ServerKind) -> None:
        theirs = other(client_info())
        other(client_setname("somebody"))
        filters: list[Command[Any]] = [
            client_list(name="somebody"),
            client_list(addr=theirs.addr, laddr=theirs.laddr, user="default", flags="N", db=0, ip="127.0.0.1"),
            client_list(id=theirs.id, type="normal"),
        ]
        for command in filters:
            if server_kind.name == "valkey":
                assert [each.id for each in ask(command)] == [theirs.id]
            else:
                is_unknown(ask, command)

    def test_close_each_other(self, ask: Ask, server: EmbeddedServer) -> None:
        ways: dict[str, Any] = {"id": lambda each: each.id, "addr": lambda each: each.addr}
        for what, value in ways.items():
            with Raw(server.address) as raw:
                mine = Line(raw)(client_info())
                assert ask(client_kill(type="normal", **{what: value(mine)})) == 1
                with pytest.raises((EOFError, ConnectionError)):
                    raw("PING")
        assert ask(client_kill(user="default", laddr="127.0.0.1:1", skipme=True)) == 0
        assert ask(client_kill(type="pubsub", skipme=False)) == 0

    def test_close_each_other_by_newer_filters(self, ask: Ask, other: Line, server_kind: ServerKind) -> None:
        kinds = {"valkey"} if server_kind.name == "valkey" else set()
        commands: list[tuple[Command[int], set[str]]] = [
            (client_kill(maxage=timedelta(days=1)), kinds | {"redis8"}),
            (client_kill(id=[2**40, 2**40 + 1]), kinds),
            (client_kill(name="nosuch", idle=1000, flags="P", db=15, ip="10.0.0.1"), kinds),
            (client_kill(lib_name="nosuch", lib_ver="0", capa="r"), kinds),
        ]
        for command, known in commands:
            if server_kind.name in known:
                assert ask(command) == 0
            else:
                is_unknown(ask, command)

    def test_have_names(self, line: Line) -> None:
        assert line(client_getname()) is None
        assert line(client_setname("me")) == b"OK"
        assert line(client_getname()) == b"me"
        assert line(client_info()).name == "me"

    def test_tell_their_library(self, line: Line, server_kind: ServerKind) -> None:
        if server_kind.name == "redis7":
            is_unknown(line, client_setinfo(lib_name="streamcore"))
            assert line(client_info()).lib_name == ""
        else:
            assert line(client_setinfo(lib_name="streamcore")) == line(client_setinfo(lib_ver="1.0")) == b"OK"
            mine = line(client_info())
            assert (mine.lib_name, mine.lib_ver) == ("streamcore", "1.0")

    def test_are_paused(self, ask: Ask, other: Line) -> None:
        assert ask(client_pause(10, mode="write")) == b"OK"
        assert other(get("k")) is None
        other.raw.send("SET", "k", 1)
        assert ask(client_unpause()) == b"OK"
        assert other.raw.read() == b"OK"
        assert ask(client_pause(0.01)) == b"OK"
        assert other(get("k")) == b"1"

    def test_unblock_each_other(self, ask: Ask, other: Line) -> None:
        theirs = other(client_id())
        assert not ask(client_unblock(theirs))
        for error in (False, True):
            other.raw.socket.sendall(blpop("list", timeout=20).data)
            while not ask(client_unblock(theirs, error=error)):
                pass
            if error:
                with pytest.raises(UnblockedError):
                    other(get("k"))
                assert other.raw.read() is None
            else:
                assert other.raw.read() is None

    def test_are_spared(self, line: Line, server_kind: ServerKind) -> None:
        assert line(client_no_evict(True)) == line(client_no_evict(False)) == b"OK"
        if server_kind.name == "redis7":
            is_unknown(line, client_no_touch(True))
        else:
            assert line(client_no_touch(True)) == line(client_no_touch(False)) == b"OK"

    def test_may_go_without_replies(self, line: Line) -> None:
        for command in (client_reply("off"), set_("k", 1), client_reply("on")):
            line.raw.socket.sendall(command.data)
        assert line.raw.read() == b"OK"
        for command in (client_reply("skip"), set_("k", 2)):
            line.raw.socket.sendall(command.data)
        assert line(get("k")) == b"2"

    def test_track_keys(self, line: Line, other: Line) -> None:
        assert line(client_trackinginfo()) == TrackingInfo(frozenset({"off"}), -1, [])
        assert line(client_getredir()) == -1
        target = other(client_id())
        assert line(client_tracking(True, redirect=target, prefixes=["a", "b"], bcast=True, noloop=True)) == b"OK"
        tracking = line(client_trackinginfo())
        assert tracking.flags == {"on", "bcast", "noloop"}
        assert (tracking.redirect, sorted(tracking.prefixes)) == (target, [b"a", b"b"])
        assert line(client_getredir()) == target
        assert line(client_tracking(False)) == b"OK"
        for options in ({"optin": True}, {"optout": True}):
            assert line(client_tracking(True, redirect=target, **options)) == b"OK"  # type: ignore[arg-type]  # options
            assert line(client_tracking(False)) == b"OK"


class TestLogin:
    def test_introduces_both_sides(self, line: Line, server_kind: ServerKind) -> None:
        for protocol in (2, 3):
            told = line(hello(protocol, client_name="me"))
            assert isinstance(told, ServerHello)
            assert told.server == ("valkey" if server_kind.name == "valkey" else "redis")
            assert (told.protocol, told.id, told.mode, told.role) == (
                protocol,
                line(client_id()),
                "standalone",
                "master",
            )
            assert line(client_getname()) == b"me"
        with pytest.raises(NoProtoError):
            line(hello(4))

    def test_needs_the_right_password(self, line: Line) -> None:
        line.raw("ACL", "SETUSER", "ann", "on", ">sesame", "+@all", "~*")
        try:
            assert line(auth("sesame", username="ann")) == b"OK"
            assert line(acl_whoami()) == b"ann"
            assert line(hello(username="ann", password="sesame")).protocol == 3
            for command in (auth("sesami", username="ann"), hello(username="ann", password="sesami")):
                with pytest.raises(AuthenticationError) as caught:
                    line(command)
                assert "sesam" not in str(caught.value)
            with pytest.raises(ReplyError, match="without any password configured"):
                line(auth("sesame"))
        finally:
            line(auth("", username="default"))
            line.raw("ACL", "DELUSER", "ann")

    def test_selects_a_database(self, line: Line) -> None:
        assert line(select(3)) == b"OK"
        assert line(client_info()).db == 3
        with pytest.raises(ReplyError, match="out of range"):
            line(select(99))


class TestTransactions:
    def test_execute_everything_at_once(self, line: Line) -> None:
        assert line(multi()) == b"OK"
        assert line.raw("INCR", "n") == line.raw("INCR", "n") == b"QUEUED"
        assert line(exec_()) == [1, 2]

    def test_execute_nothing_when_a_watched_key_was_changed(self, line: Line, other: Line) -> None:
        assert line(watch("a", "n")) == b"OK"
        other(incr("n"))
        line(multi())
        line.raw("INCR", "n")
        assert line(exec_()) is None
        line(watch("n"))
        other(incr("n"))
        assert line(unwatch()) == b"OK"
        line(multi())
        assert line(exec_()) == []

    def test_are_discarded(self, line: Line) -> None:
        line(multi())
        line.raw("SET", "k", 1)
        assert line(discard()) == b"OK"
        assert line(get("k")) is None
        with pytest.raises(ReplyError, match="EXEC without MULTI"):
            line(exec_())

    def test_execute_nothing_when_a_command_was_refused(self, line: Line) -> None:
        line(multi())
        line.raw.send("NOSUCH")
        line.raw.read()
        with pytest.raises(ExecAbortError):
            line(exec_())


class TestPubSub:
    def test_reaches_subscribers(self, ask: Ask, other: Line) -> None:
        for command, name in ((subscribe("a", "b"), b"subscribe"), (psubscribe("c*", "d*"), b"psubscribe")):
            other.raw.socket.sendall(command.data)
            assert [other.raw.read()[0], other.raw.read()[0]] == [name, name]
        assert ask(publish("a", b"\xff")) == 1
        assert other.raw.read() == [b"message", b"a", b"\xff"]
        assert ask(publish("c1", 5)) == 1
        assert other.raw.read() == [b"pmessage", b"c*", b"c1", b"5"]
        assert ask(publish("nosuch", "x")) == 0
        assert sorted(ask(pubsub_channels())) == [b"a", b"b"]
        assert ask(pubsub_channels("a*")) == [b"a"]
        assert ask(pubsub_numsub("a", "nosuch")) == {b"a": 1, b"nosuch": 0}
        assert ask(pubsub_numsub()) == ask(pubsub_shardnumsub()) == {}
        assert ask(pubsub_numpat()) == 2
        for command, name in ((unsubscribe("a", "b"), b"unsubscribe"), (punsubscribe("c*", "d*"), b"punsubscribe")):
            other.raw.socket.sendall(command.data)
            assert [other.raw.read()[0], other.raw.read()[0]] == [name, name]
        assert (ask(pubsub_channels()), ask(pubsub_numpat())) == ([], 0)

    def test_reaches_subscribers_of_shards(self, ask: Ask, other: Line) -> None:
        other.raw.socket.sendall(ssubscribe("a").data)
        assert other.raw.read() == [b"ssubscribe", b"a", 1]
        assert ask(spublish("a", "x")) == 1
        assert other.raw.read() == [b"smessage", b"a", b"x"]
        assert ask(pubsub_shardchannels()) == ask(pubsub_shardchannels("*")) == [b"a"]
        assert ask(pubsub_shardnumsub("a", "b")) == {b"a": 1, b"b": 0}
        other.raw.socket.sendall(sunsubscribe("a").data)
        assert other.raw.read() == [b"sunsubscribe", b"a", 0]
        assert ask(pubsub_shardchannels()) == []
