from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, ConnectedReplica, Persisted, PrimaryRole, ReplicaRole, SentinelRole
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.ping(), ("PING",), True),
        (commands.ping("hello"), ("PING", "hello"), True),
        (commands.echo(b"hello"), ("ECHO", b"hello"), True),
        (commands.info(), ("INFO",), True),
        (commands.info("server", "memory"), ("INFO", b"server", b"memory"), True),
        (commands.time(), ("TIME",), True),
        (commands.dbsize(), ("DBSIZE",), True),
        (commands.flushall(), ("FLUSHALL",), False),
        (commands.flushall(asynchronous=True), ("FLUSHALL", "ASYNC"), False),
        (commands.flushdb(asynchronous=False), ("FLUSHDB", "SYNC"), False),
        (commands.config_get("max*", "hz"), ("CONFIG", "GET", b"max*", b"hz"), True),
        (commands.config_set({"hz": 50, "maxmemory": "1mb"}), ("CONFIG", "SET", b"hz", 50, b"maxmemory", "1mb"), True),
        (commands.config_resetstat(), ("CONFIG", "RESETSTAT"), False),
        (commands.config_rewrite(), ("CONFIG", "REWRITE"), True),
        (commands.wait(2, 1.5), ("WAIT", 2, 1500), False),
        (commands.waitaof(1, 0, timedelta(seconds=1)), ("WAITAOF", 1, 0, 1000), False),
        (commands.role(), ("ROLE",), True),
        (commands.command_count(), ("COMMAND", "COUNT"), True),
        (commands.command_getkeys(commands.get("k")), ("COMMAND", "GETKEYS", "GET", b"k"), True),
        (commands.acl_whoami(), ("ACL", "WHOAMI"), True),
        (commands.acl_cat(), ("ACL", "CAT"), True),
        (commands.acl_cat("stream"), ("ACL", "CAT", b"stream"), True),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


REPORT = b"# Server\r\nredis_version:7.0.15\r\nexecutable:/usr/bin/a:b\r\n\r\n# Modules\r\nmodule:name=a\r\nmodule:name=b\r\n"


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (
            commands.info(),
            REPORT,
            {"redis_version": "7.0.15", "executable": "/usr/bin/a:b", "module": "name=a\nname=b"},
        ),
        (commands.info("nosuch"), b"", {}),
        (
            commands.time(),
            [b"1795268455", b"360449"],
            datetime(2026, 11, 21, 13, 40, 55, 360449, tzinfo=UTC),
        ),
        (commands.config_get("hz"), {b"hz": b"500"}, {"hz": "500"}),
        (commands.config_get("hz"), [b"hz", b"500"], {"hz": "500"}),
        (commands.waitaof(0, 1, 1), [0, 1], Persisted(0, 1)),
        (
            commands.role(),
            [b"master", 14, [[b"127.0.0.1", b"17511", b"12"]]],
            PrimaryRole(14, [ConnectedReplica("127.0.0.1", 17511, 12)]),
        ),
        (
            commands.role(),
            [b"slave", b"127.0.0.1", 17510, b"connected", 14],
            ReplicaRole("127.0.0.1", 17510, "connected", 14),
        ),
        (commands.role(), [b"sentinel", [b"one", b"two"]], SentinelRole(["one", "two"])),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


def test_a_role_that_nobody_knows_is_no_role() -> None:
    parse = commands.role().parse
    assert parse is not None
    with pytest.raises(ValueError, match="not a role"):
        parse([b"arbiter"])


def test_waiting_for_replicas_takes_a_link_of_its_own() -> None:
    assert commands.wait(1, 0.0001).args == ("WAIT", 1, 1)  # and not 0, which is for ever
    for command in (commands.wait(1, 1.5), commands.waitaof(1, 1, 1.5)):
        assert (command.traits.use, command.traits.block) == (LinkUse.DEDICATED, 1.5)


def test_the_keys_of_a_command_inside_a_command_are_no_keys_to_route_by() -> None:
    assert commands.command_getkeys(commands.get("k")).keys == ()


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.ping(["x"]), "argument 1 of PING: a value of type list"),  # type: ignore[arg-type]
        (lambda: commands.info(""), "section is empty"),
        (commands.config_get, "config_get needs at least one parameter"),
        (lambda: commands.config_set({}), "config_set needs at least one parameter"),
        (lambda: commands.config_set({"hz": True}), "argument 3 of CONFIG: a value of type bool cannot be sent"),
        (lambda: commands.wait(-1, 1), "numreplicas must be at least 0"),
        (lambda: commands.wait(1, 0), "timeout must be more than 0 seconds"),
        (lambda: commands.waitaof(1, -1, 1), "numreplicas must be at least 0"),
        (lambda: commands.waitaof(1, 1, 0), "timeout must be more than 0 seconds"),
        (lambda: commands.acl_cat(""), "category is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
