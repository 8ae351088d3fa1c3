"""Messages that a handler gets: what it is told, and when."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.events import HandlerFailed, SubscriptionGap
from streamcore.pubsub import Kind, Message, PubSub
from tests.core.support.subscribers import is_over, pushed, subscribed


def test_messages_with_a_handler_are_not_handed_over() -> None:
    called: list[Any] = []
    broker = subscribed("plain", channel_handlers={"handled": called.append}, pattern_handlers={"p*": called.append})
    broker.pair.server.reply(
        pushed("message", "plain", "1"),
        pushed("message", "handled", "2"),
        pushed("pmessage", "p*", "p", "3"),
        pushed("message", "plain", "4"),
        pushed("message", "unheard-of", "5"),
    )
    assert broker.data() == [b"1", b"4", b"5"]
    for handler, message in broker.engine.take_calls():
        handler(message)
    assert [message.data for message in called] == [b"2", b"3"]
    assert broker.engine.take_calls() == []
    assert broker.engine.has_handlers


def test_without_handlers_nobody_need_call_them() -> None:
    broker = subscribed("a", "b")
    assert not broker.engine.has_handlers
    broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    assert not broker.engine.has_handlers


def test_a_handler_may_be_exchanged_and_given_up() -> None:
    broker = subscribed(channel_handlers={"a": print})
    broker.engine.subscribe(Kind.CHANNEL, {b"a": repr})
    broker.publish("a", "1")
    assert [call.handler for call in broker.engine.take_calls()] == [repr]
    broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.publish("a", "2")
    assert broker.data() == [b"2"]


def test_a_handler_that_fails_is_told() -> None:
    broker = subscribed(channel_handlers={"a": print})
    broker.publish("a", "1")
    [call] = broker.engine.take_calls()
    broker.engine.handler_failed(call, error := RuntimeError("no"))
    assert broker.pair.events() == [HandlerFailed(b"a", error)]


def test_text_for_handlers() -> None:
    broker = subscribed(channel_handlers={"a": print}, decode="utf-8")
    broker.publish("a", "ö", b"\xff", "ü")
    assert [call.argument.data for call in broker.engine.take_calls()] == ["ö", "ü"]
    [failed] = broker.pair.events()
    assert isinstance(failed, HandlerFailed)
    assert isinstance(failed.error, UnicodeDecodeError)


def test_a_handler_is_called_until_the_server_has_let_go() -> None:
    broker = subscribed(channel_handlers={"a": print})
    broker.engine.unsubscribe(Kind.CHANNEL, [b"a"])
    broker.publish("a", "1")
    assert not is_over(broker)
    broker.pair.settle()
    broker.serve()
    assert is_over(broker)
    assert [call.argument.data for call in broker.engine.take_calls()] == [b"1"]
    assert not broker.engine.has_handlers


def test_handlers_hear_of_a_gap_first_if_they_come_first() -> None:
    broker = subscribed("a", channel_handlers={"h": print})
    broker.lose()
    broker.serve().publish("h", "3")
    broker.pair.events()
    assert broker.engine.take_calls()
    assert [type(event) for event in broker.pair.events()] == [SubscriptionGap]
    assert broker.engine.take() == []
    assert broker.pair.events() == []


def test_names_and_handlers_may_overlap() -> None:
    engine = PubSub(["a", "a", "b"], channel_handlers={"b": print, "c": print})
    assert engine.subscriptions.desired == {b"a", b"b", b"c"}
    assert engine.has_handlers


@pytest.mark.parametrize(("decode", "told"), [(None, (b"ab", b"a*", b"1")), ("utf-8", ("ab", "a*", "1"))])
def test_a_handler_of_a_pattern_is_told_all_of_the_message(decode: str | None, told: tuple[Any, ...]) -> None:
    broker = subscribed(decode=decode)
    broker.engine.keep(broker.engine.subscribe(Kind.PATTERN, {b"a*": print}))
    broker.pair.settle()
    broker.serve().pair.server.reply(pushed("pmessage", "a*", "ab", "1"))
    [call] = broker.engine.take_calls()
    assert call.argument == Message("pmessage", *told)


def test_a_message_for_a_handler_that_is_no_text_names_its_channel() -> None:
    broker = subscribed(decode="utf-8")
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": print}))
    broker.pair.settle()
    broker.serve().publish("a", b"\xff")
    [failed] = [event for event in broker.pair.events() if isinstance(event, HandlerFailed)]
    assert failed.channel == b"a"
