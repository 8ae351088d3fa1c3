from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import ClientInfo, Command, TrackingInfo, client_kill, client_list, client_tracking
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (commands.client_id(), ("ID",)),
        (commands.client_info(), ("INFO",)),
        (client_list(), ("LIST",)),
        (client_list(type="primary"), ("LIST", "TYPE", "master")),
        (client_list(id=[5, 6]), ("LIST", "ID", 5, 6)),
        (client_kill(id=5), ("KILL", "ID", 5)),
        (client_kill(id=iter([5, 6]), skipme=False), ("KILL", "ID", 5, 6, "SKIPME", "no")),
        (client_kill(type="pubsub", skipme=True), ("KILL", "TYPE", "pubsub", "SKIPME", "yes")),
        (
            client_kill(user="ann", addr="a:1", laddr="b:2", maxage=timedelta(hours=1)),
            ("KILL", "USER", b"ann", "ADDR", b"a:1", "LADDR", b"b:2", "MAXAGE", 3600),
        ),
        (
            client_kill(name="me", idle=0.1, flags="N", lib_name="l", lib_ver="1", db=0, capa="r"),
            ("KILL", "NAME", b"me", "IDLE", 1, "FLAGS", b"N", "LIB-NAME", b"l", "LIB-VER", b"1", "DB", 0, "CAPA", b"r"),
        ),
        (client_kill(ip="::1"), ("KILL", "IP", b"::1")),
        (commands.client_getname(), ("GETNAME",)),
        (commands.client_pause(1.5), ("PAUSE", 1500, "ALL")),
        (commands.client_pause(1, mode="write"), ("PAUSE", 1000, "WRITE")),
        (commands.client_unpause(), ("UNPAUSE",)),
        (commands.client_unblock(5), ("UNBLOCK", 5)),
        (commands.client_unblock(5, error=True), ("UNBLOCK", 5, "ERROR")),
        (commands.client_trackinginfo(), ("TRACKINGINFO",)),
        (commands.client_getredir(), ("GETREDIR",)),
    ],
)
def test_what_is_sent_by_any_client(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == ("CLIENT", *sent)
    assert (command.traits.use, command.keys) == (LinkUse.SHARED, ())


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (commands.client_setname("me"), ("SETNAME", b"me")),
        (commands.client_setinfo(lib_name="streamcore"), ("SETINFO", "LIB-NAME", b"streamcore")),
        (commands.client_setinfo(lib_ver="1.0"), ("SETINFO", "LIB-VER", b"1.0")),
        (commands.client_no_evict(True), ("NO-EVICT", "ON")),
        (commands.client_no_touch(False), ("NO-TOUCH", "OFF")),
        (commands.client_reply("skip"), ("REPLY", "SKIP")),
        (client_tracking(False), ("TRACKING", "OFF")),
        (client_tracking(True, redirect=5, optin=True), ("TRACKING", "ON", "REDIRECT", 5, "OPTIN")),
        (
            client_tracking(True, prefixes=["a", "b"], bcast=True, noloop=True),
            ("TRACKING", "ON", "PREFIX", b"a", "PREFIX", b"b", "BCAST", "NOLOOP"),
        ),
        (client_tracking(True, optout=True), ("TRACKING", "ON", "OPTOUT")),
    ],
)
def test_what_changes_a_connection_is_sent_by_no_client(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == ("CLIENT", *sent)
    assert command.traits.use is LinkUse.FORBIDDEN


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (client_kill(id=5, user="ann", type="normal"), ""),
        (client_kill(maxage=5), "Redis 7.4 or Valkey 8.0"),
        (client_kill(id=[5, 6], maxage=5), "Valkey 8.1"),
        (client_kill(idle=5, id=[5, 6], maxage=1), "Valkey 9"),
        (client_list(), ""),
        (client_list(id=[5, 6]), ""),
        (client_list(type="normal"), ""),
        (client_list(type="normal", id=5), "Valkey 9"),
        (client_list(user="ann"), "Valkey 9"),
        (commands.client_no_touch(True), "Redis 7.2 or Valkey"),
        (commands.client_no_evict(True), ""),
    ],
)
def test_a_command_knows_what_the_server_must_be(command: Command[Any], needs: str) -> None:
    assert command.traits.needs == needs


VALKEY = (
    b"id=5 addr=127.0.0.1:34144 laddr=127.0.0.1:25385 fd=9 name=a=b age=7 idle=2 flags=N capa= db=3 sub=1 psub=0 ssub=0 multi=-1"
    b" watch=0 qbuf=0 events=r cmd=client|info user=default redir=-1 resp=2 lib-name=redis-py lib-ver= tot-cmds=25\n"
)
REDIS7 = (
    b"id=6 addr=/tmp/a dir/s:0 laddr=/tmp/a dir/s:0 fd=7 name= age=0 idle=0 flags=U db=0 sub=0 psub=0 ssub=0 multi=2 cmd=NULL"
    b" user=ann redir=-1 resp=3\n"
)
FIRST = ClientInfo(
    id=5,
    addr="127.0.0.1:34144",
    laddr="127.0.0.1:25385",
    name="a=b",
    age=7,
    idle=2,
    flags="N",
    db=3,
    sub=1,
    psub=0,
    ssub=0,
    multi=-1,
    cmd="client|info",
    user="default",
    resp=2,
    lib_name="redis-py",
    lib_ver="",
    other={"fd": "9", "capa": "", "watch": "0", "qbuf": "0", "events": "r", "redir": "-1", "tot-cmds": "25"},
)


def test_a_connection_is_described_by_typed_fields() -> None:
    parse = commands.client_info().parse
    assert parse is not None
    assert parse(VALKEY) == FIRST


def test_many_connections_are_a_line_each() -> None:
    parse = client_list().parse
    assert parse is not None
    first, second = parse(VALKEY + REDIS7)
    assert first == FIRST
    assert (second.id, second.addr, second.name, second.multi, second.lib_name) == (6, "/tmp/a dir/s:0", "", 2, "")
    assert parse(b"") == []


@pytest.mark.parametrize(
    "reply",
    [
        {b"flags": [b"on", b"bcast"], b"redirect": 0, b"prefixes": [b"a"]},
        [b"flags", [b"on", b"bcast"], b"redirect", 0, b"prefixes", [b"a"]],
    ],
)
def test_what_a_connection_tracks(reply: Any) -> None:
    parse = commands.client_trackinginfo().parse
    assert parse is not None
    assert parse(reply) == TrackingInfo(frozenset({"on", "bcast"}), 0, [b"a"])


def test_whether_a_connection_was_unblocked_is_a_bool() -> None:
    parse = commands.client_unblock(5).parse
    assert parse is not None
    assert [parse(1), parse(0)] == [True, False]


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (client_kill, "client_kill needs a filter"),
        (lambda: client_kill(skipme=True), "client_kill needs a filter"),
        (lambda: client_kill(id=[]), "id is an empty list"),
        (lambda: client_kill(id=0), "id must be at least 1"),
        (lambda: client_kill(id="5"), "id must be a whole number"),  # type: ignore[arg-type]
        (lambda: client_kill(type="slave"), "type must be normal, primary, replica or pubsub, not 'slave'"),  # type: ignore[arg-type]
        (lambda: client_kill(user=""), "user is empty"),
        (lambda: client_kill(maxage=0), "maxage must be more than 0 seconds"),
        (lambda: client_kill(db=-1), "db must be at least 0"),
        (lambda: client_kill(nmae="x"), "there is no filter nmae; there are id, type, "),  # type: ignore[call-arg]
        (commands.client_setinfo, "give lib_name or lib_ver"),
        (lambda: commands.client_setinfo(lib_name="a", lib_ver="1"), "give lib_name or lib_ver"),
        (lambda: commands.client_pause(0), "timeout must be more than 0 seconds"),
        (lambda: commands.client_pause(1, mode="read"), "mode must be all or write"),  # type: ignore[arg-type]
        (lambda: commands.client_reply("maybe"), "mode must be on, off or skip"),  # type: ignore[arg-type]
        (lambda: commands.client_unblock(0), "client_id must be at least 1"),
        (lambda: client_tracking(True, prefixes=[""]), "prefix is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
