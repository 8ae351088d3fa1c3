"""Invalidations, and notifications about keys."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidArgument, ReplyError
from streamcore.events import HandlerFailed
from streamcore.pubsub import Call, KeyEvent, Message, PubSub, keyspace_patterns
from streamcore.testing.resp import resp
from tests.core.support.subscribers import BUSY, Broker, the_link


def told(keys: frozenset[bytes] | None) -> None:
    """What a handler would be called with is looked at instead."""


def tracking(**options: Any) -> Broker:
    return Broker(PubSub[Any](on_invalidate=told, **options)).serve()


def test_it_asks_for_what_changes() -> None:
    assert tracking().commands == [[b"CLIENT", b"TRACKING", b"ON", b"BCAST"]]
    assert tracking(track="user:").commands == [[b"CLIENT", b"TRACKING", b"ON", b"PREFIX", b"user:", b"BCAST"]]
    assert tracking(track=["a", b"b"]).commands[0][3:] == [b"PREFIX", b"a", b"PREFIX", b"b", b"BCAST"]


def test_it_is_ready_when_the_server_has_agreed() -> None:
    broker = Broker(PubSub[Any](on_invalidate=told))
    assert not broker.engine.is_ready
    assert broker.serve().engine.is_ready
    assert broker.engine.has_handlers


def test_keys_that_changed_are_told_together() -> None:
    broker = tracking()
    broker.pair.server.push("invalidate", ["a"])
    broker.pair.server.push("invalidate", ["b", "a"])
    assert broker.engine.take_calls() == [Call(told, frozenset({b"a", b"b"}))]
    assert broker.engine.take_calls() == []
    assert broker.engine.take() == []


def test_flushed_all_keys_have_changed() -> None:
    broker = tracking()
    broker.pair.server.push("invalidate", ["a"])
    broker.pair.server.push("invalidate", None)
    assert broker.engine.take_calls() == [Call(told, None)]


def test_too_many_keys_are_all_keys() -> None:
    broker = tracking(queue_size=2)
    broker.pair.server.push("invalidate", ["a", "b"])
    broker.pair.server.push("invalidate", ["c"])
    assert broker.engine.take_calls() == [Call(told, None)]


def test_a_lost_link_voids_everything_at_once_and_when_it_is_back() -> None:
    broker = tracking()
    assert broker.engine.take_calls() == []
    broker.pair.server.close()
    assert broker.engine.take_calls() == [Call(told, None)]
    broker.pair.advance(1)
    assert broker.engine.take_calls() == []
    broker.serve()
    assert broker.engine.take_calls() == [Call(told, None)]


def test_a_link_that_is_lost_before_anything_was_promised() -> None:
    broker = Broker(PubSub[Any](on_invalidate=told))
    broker.pair.server.close()
    assert broker.engine.take_calls() == []


def test_a_refusal_ends_it() -> None:
    broker = Broker(PubSub[Any](on_invalidate=told))
    broker.pair.server.answer(ReplyError("NOPERM", "no"))
    with pytest.raises(ReplyError, match="in reply to CLIENT TRACKING"):
        broker.engine.take()


def test_a_failing_callback_is_told() -> None:
    broker = tracking()
    broker.pair.events()
    broker.engine.handler_failed(Call(told, None), error := ValueError("no"))
    assert broker.pair.events() == [HandlerFailed(b"", error)]


def test_the_channels_of_keys() -> None:
    assert keyspace_patterns(["user:*", b"\xff"], 3) == [b"__keyspace@3__:user:*", b"__keyspace@3__:\xff"]
    assert keyspace_patterns("*", 0) == [b"__keyspace@0__:*"]
    with pytest.raises(InvalidArgument, match="name at least one key"):
        keyspace_patterns([], 0)
    with pytest.raises(InvalidArgument, match="database"):
        keyspace_patterns("*", -1)


def test_what_happened_to_a_key() -> None:
    message = Message("pmessage", b"__keyspace@12__:a:b@c_", b"__keyspace@12__:*", b"expired")
    assert KeyEvent.of(message) == KeyEvent(b"a:b@c_", "expired", 12)
    text = Message("pmessage", "__keyspace@0__:ä", "__keyspace@0__:*", "set")
    assert KeyEvent.of(text) == KeyEvent("ä", "set", 0)


def test_tracking_that_is_refused_for_a_while_is_asked_for_again() -> None:
    broker = Broker(PubSub(on_invalidate=print))
    broker.pair.settle()
    broker.pair.server.commands.clear()
    broker.pair.server.reply(resp(BUSY))
    assert not broker.engine.closed
    broker.pair.advance(1.0)
    broker.serve()
    assert broker.engine.is_ready


def test_tracking_alone_is_a_success_of_the_link() -> None:
    broker = Broker(PubSub(on_invalidate=print)).serve()
    for _ in range(5):
        broker.lose()
        broker.pair.advance(10.0)
        broker.serve()
        assert the_link(broker).attempts == 0
