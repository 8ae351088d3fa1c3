from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.ping(), ("PING",), True),
        (commands.info(), ("INFO", "default"), True),
        (commands.info("server"), ("INFO", "server"), True),
        (commands.dbsize(), ("DBSIZE",), True),
        (commands.flushall(), ("FLUSHALL",), False),
        (commands.delete("a", b"b"), ("DEL", b"a", b"b"), False),
        (commands.exists("a"), ("EXISTS", b"a"), True),
        (commands.expire("a", 1.5), ("PEXPIRE", b"a", 1500), True),
        (commands.expire("a", timedelta(minutes=1)), ("PEXPIRE", b"a", 60_000), True),
        (commands.ttl("a"), ("PTTL", b"a"), True),
        (commands.type_("a"), ("TYPE", b"a"), True),
        (commands.get("a"), ("GET", b"a"), True),
        (commands.set_("a", 5), ("SET", b"a", 5), True),
        (commands.incr("a"), ("INCR", b"a"), False),
        (commands.hset("h", {"f": 1, b"g": "x"}), ("HSET", b"h", "f", 1, b"g", "x"), True),
        (commands.hget("h", "f"), ("HGET", b"h", b"f"), True),
        (commands.hgetall("h"), ("HGETALL", b"h"), True),
        (commands.hlen("h"), ("HLEN", b"h"), True),
        (commands.hdel("h", "f", "g"), ("HDEL", b"h", b"f", b"g"), False),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (commands.expire("a", 1), 1, True),
        (commands.expire("a", 1), 0, False),
        (commands.ttl("a"), 1500, 1.5),
        (commands.ttl("a"), -1, None),
        (commands.ttl("a"), -2, None),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.get(""), "key is empty"),
        (commands.delete, "name at least one key"),
        (commands.exists, "name at least one key"),
        (lambda: commands.expire("a", 0), "time must be more than 0 seconds"),
        (lambda: commands.hset("h", {}), "hset needs at least one field"),
        (lambda: commands.hget("h", ""), "field is empty"),
        (lambda: commands.hdel("h"), "hdel needs at least one field"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
