"""Whether a server tells what happens to keys: asked on each connection."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidArgument, ReplyError
from streamcore.events import SubscriptionFailed
from streamcore.pubsub import KeyWatch
from streamcore.testing.resp import OK, resp
from tests.core.support.subscribers import Broker, pushed

SETTING = b"notify-keyspace-events"


class Keyspace(Broker):
    """Is set to publish something, or nothing."""

    def __init__(self, setting: Any, **options: Any) -> None:
        super().__init__(KeyWatch[Any](["user:*"], 3, **options))
        self.setting = setting
        self.serve()

    def answer(self, command: list[bytes]) -> bytes:
        if command[0] == b"CONFIG":
            assert command == [b"CONFIG", b"GET", SETTING]
            return resp(self.setting if isinstance(self.setting, ReplyError) else {SETTING: self.setting})
        return super().answer(command)

    def failures(self) -> list[SubscriptionFailed]:
        return [event for event in self.pair.events() if isinstance(event, SubscriptionFailed)]


@pytest.mark.parametrize("setting", [b"KA", b"g$lshztdxeKE", ReplyError("NOPERM", "not for you"), None, 5])
def test_where_the_server_tells_or_does_not_say_it_is_ready(setting: Any) -> None:
    broker = Keyspace(setting)
    assert broker.engine.is_ready
    assert broker.subscribed == {("psubscribe", b"__keyspace@3__:user:*")}
    assert broker.engine.label == "KeyEvents"


@pytest.mark.parametrize("setting", [b"", b"K", b"AE"])
def test_where_it_does_not_it_cannot_be_entered(setting: bytes) -> None:
    broker = Keyspace(setting)
    with pytest.raises(InvalidArgument, match=f"notify-keyspace-events is {setting.decode()!r}"):
        broker.engine.check()


def test_it_is_not_ready_before_that_is_known_unless_nobody_waits() -> None:
    for lazy in (False, True):
        engine: KeyWatch[bytes] = KeyWatch("k", 0, lazy=lazy)
        broker = Broker(engine)
        assert broker.pair.server.link.is_up
        assert engine.is_ready is lazy


def test_a_server_that_does_not_tell_any_more_is_told_once_and_listened_to() -> None:
    broker = Keyspace(b"KA")
    broker.pair.server.reply(resp_of("user:1", "set"))
    broker.setting = b""
    broker.lose()
    broker.serve()
    assert [message.data for message in broker.engine.take()] == [b"set"]
    for _ in range(2):
        [failure] = broker.failures()
        assert failure.names == (b"__keyspace@3__:user:*",)
        with pytest.raises(InvalidArgument, match="publishes nothing"):
            broker.engine.take()
        assert broker.engine.take() == []
        broker.lose()  # the next connection asks again
        broker.serve()
    broker.failures()
    with pytest.raises(InvalidArgument):
        broker.engine.take()
    broker.pair.server.reply(resp_of("user:1", "del"))  # somebody has set it right
    assert broker.data() == [b"del"]


def resp_of(key: str, event: str) -> bytes:
    """What happens to a key, as the server tells it."""
    return pushed("pmessage", "__keyspace@3__:user:*", f"__keyspace@3__:{key}", event)


def test_where_keys_are_tracked_as_well_both_are_asked() -> None:
    broker = Keyspace(b"KA", on_invalidate=print)
    assert broker.engine.is_ready
    assert [command[0] for command in broker.commands] == [b"CLIENT", b"CONFIG", b"PSUBSCRIBE"]
    assert broker.answer([b"PING"]) == OK


def test_whoever_is_told_of_the_connection_may_end_it_before() -> None:
    engine: KeyWatch[bytes] = KeyWatch("k", 0)
    engine.on_event = lambda _: engine.close()
    broker = Broker(engine)
    broker.pair.server.expect_nothing()
    assert engine.closed
