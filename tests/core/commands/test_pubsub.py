from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "keys"),
    [
        (commands.publish("c", b""), ("PUBLISH", b"c", b""), ()),
        (commands.spublish("c", 1), ("SPUBLISH", b"c", 1), (b"c",)),
        (commands.pubsub_channels(), ("PUBSUB", "CHANNELS"), ()),
        (commands.pubsub_channels("a*"), ("PUBSUB", "CHANNELS", b"a*"), ()),
        (commands.pubsub_numsub("a", "b"), ("PUBSUB", "NUMSUB", b"a", b"b"), ()),
        (commands.pubsub_numpat(), ("PUBSUB", "NUMPAT"), ()),
        (commands.pubsub_shardchannels("a*"), ("PUBSUB", "SHARDCHANNELS", b"a*"), ()),
        (commands.pubsub_shardnumsub("a"), ("PUBSUB", "SHARDNUMSUB", b"a"), ()),
    ],
)
def test_what_is_sent_by_any_client(command: Command[Any], sent: tuple[Any, ...], keys: tuple[bytes, ...]) -> None:
    assert (command.args, command.keys, command.traits.use) == (sent, keys, LinkUse.SHARED)


@pytest.mark.parametrize(
    ("command", "sent", "keys"),
    [
        (commands.subscribe("a", b"b"), ("SUBSCRIBE", b"a", b"b"), ()),
        (commands.psubscribe("a*"), ("PSUBSCRIBE", b"a*"), ()),
        (commands.ssubscribe("a"), ("SSUBSCRIBE", b"a"), (b"a",)),
        (commands.unsubscribe("a"), ("UNSUBSCRIBE", b"a"), ()),
        (commands.punsubscribe("a*"), ("PUNSUBSCRIBE", b"a*"), ()),
        (commands.sunsubscribe("a", "b"), ("SUNSUBSCRIBE", b"a", b"b"), (b"a", b"b")),
    ],
)
def test_what_is_answered_by_pushes_is_sent_by_no_client(
    command: Command[Any], sent: tuple[Any, ...], keys: tuple[bytes, ...]
) -> None:
    assert (command.args, command.keys, command.traits.use) == (sent, keys, LinkUse.FORBIDDEN)


def test_only_questions_may_be_repeated() -> None:
    assert commands.pubsub_numsub("a").repeatable
    assert not commands.publish("c", "x").repeatable
    assert not commands.spublish("c", "x").repeatable


@pytest.mark.parametrize("command", [commands.pubsub_numsub("a", "b"), commands.pubsub_shardnumsub("a", "b")])
@pytest.mark.parametrize("reply", [[b"a", 1, b"b", 0], {b"a": 1, b"b": 0}])
def test_the_numbers_of_subscribers_come_by_channel(command: Command[Any], reply: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == {b"a": 1, b"b": 0}


@pytest.mark.parametrize("reply", [[], {}])
def test_of_no_channels_there_are_none(reply: Any) -> None:
    for build, word in ((commands.pubsub_numsub, "NUMSUB"), (commands.pubsub_shardnumsub, "SHARDNUMSUB")):
        command = build()
        assert command.args == ("PUBSUB", word)
        assert command.parse is not None
        assert command.parse(reply) == {}


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.publish("", "x"), "channel is empty"),
        (lambda: commands.publish("c", None), "argument 2 of PUBLISH: a value of type NoneType"),  # type: ignore[arg-type]
        (lambda: commands.spublish("", "x"), "shardchannel is empty"),
        (commands.subscribe, "name at least one channel"),
        (commands.unsubscribe, "name at least one channel"),
        (commands.psubscribe, "name at least one pattern"),
        (commands.punsubscribe, "name at least one pattern"),
        (commands.ssubscribe, "name at least one shardchannel"),
        (commands.sunsubscribe, "name at least one shardchannel"),
        (lambda: commands.subscribe("a", ""), "channel is empty"),
        (lambda: commands.pubsub_channels(""), "pattern is empty"),
        (lambda: commands.pubsub_numsub(""), "channel is empty"),
        (lambda: commands.pubsub_shardnumsub(""), "shardchannel is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
