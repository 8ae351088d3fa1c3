"""A subscriber's life: subscribing, messages, handlers, and what is told when it was interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import AuthenticationError, ClosedError, InvalidArgument, RemoteProtocolError
from streamcore.events import Connected, Disconnected, Reconnected, SubscriptionGap
from streamcore.options import Options
from streamcore.pubsub import Kind, Message, MessageKind, PubSub
from streamcore.testing.pair import Pair
from tests.core.support.strategies import byte_by_byte
from tests.core.support.subscribers import Broker, pushed, subscribed


def word(kind: MessageKind, name: bytes, count: Any) -> Message[Any]:
    """The server's word on a subscription."""
    return Message(kind, name, None, count)


def test_it_subscribes_and_gets_messages() -> None:
    broker = Broker(PubSub(["news", b"\xff\x00"], "user:*", shard_channels=["s"]))
    assert not broker.engine.take()
    assert list(broker.pair.server.commands) == [
        [b"SUBSCRIBE", b"news", b"\xff\x00"],
        [b"PSUBSCRIBE", b"user:*"],
        [b"SSUBSCRIBE", b"s"],
    ]
    broker.serve()
    broker.pair.server.reply(
        pushed("message", "news", "one"),
        pushed("pmessage", "user:*", "user:1", "two"),
        pushed("smessage", "s", "three"),
        pushed("message", b"\xff\x00", b"\x00"),
    )
    assert broker.engine.has_messages
    assert broker.engine.take() == [
        Message("message", b"news", None, b"one"),
        Message("pmessage", b"user:1", b"user:*", b"two"),
        Message("smessage", b"s", None, b"three"),
        Message("message", b"\xff\x00", None, b"\x00"),
    ]
    assert broker.engine.take() == []
    assert not broker.engine.has_messages


def test_a_run_of_messages_of_channels() -> None:
    broker = subscribed("a", "b")
    broker.pair.server.reply(pushed("message", "a", "1"), pushed("smessage", "b", "2"), pushed("message", "a", "3"))
    assert [(message.kind, message.data) for message in broker.engine.take()] == [
        ("message", b"1"),
        ("smessage", b"2"),
        ("message", b"3"),
    ]


@pytest.mark.parametrize("decode", [None, "utf-8"])
def test_a_run_of_messages_of_patterns(decode: str | None) -> None:
    broker = subscribed(patterns=["p*"], decode=decode)
    broker.pair.server.reply(*(pushed("pmessage", "p*", f"p{n}", str(n)) for n in range(3)))
    found = [(message.kind, message.channel, message.pattern, message.data) for message in broker.engine.take()]
    assert found == [
        ("pmessage", *(text if decode else text.encode() for text in (f"p{n}", "p*", str(n)))) for n in range(3)
    ]


def test_however_the_bytes_are_cut() -> None:
    broker = Broker(PubSub(["a"], ignore_subscribe_messages=False))
    broker.pair.cut = byte_by_byte
    broker.serve().publish("a", "1", "2")
    assert [message.kind for message in broker.engine.take()] == ["subscribe", "message", "message"]


def test_text() -> None:
    broker = Broker(PubSub(["ä"], ["p*"], decode="utf-8")).serve()
    broker.publish("ä", "ö")
    broker.pair.server.push("pmessage", "p*", "pü", "ü")
    assert broker.engine.take() == [Message("message", "ä", None, "ö"), Message("pmessage", "pü", "p*", "ü")]
    assert broker.engine.subscriptions.confirmed == {"ä", "p*"}


def test_a_message_that_is_no_text_is_an_error_in_its_place() -> None:
    broker = subscribed("a", decode="utf-8")
    broker.publish("a", "1", b"\xff", "2")
    assert broker.engine.take() == [Message("message", "a", None, "1")]
    with pytest.raises(UnicodeDecodeError):
        broker.engine.take()
    assert broker.engine.take() == [Message("message", "a", None, "2")]


def test_the_servers_word_on_subscriptions_for_those_who_want_it() -> None:
    broker = Broker(PubSub(["a", "b"], ["p*"], ignore_subscribe_messages=False)).serve()
    assert broker.engine.take() == [
        word("subscribe", b"a", 1),
        word("subscribe", b"b", 2),
        word("psubscribe", b"p*", 3),
    ]
    broker.engine.keep(broker.engine.unsubscribe(Kind.CHANNEL, [b"a"]))
    broker.pair.settle()
    broker.serve()
    assert broker.engine.take() == [word("unsubscribe", b"a", 2)]


def test_later_subscriptions() -> None:
    broker = subscribed()
    change = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    broker.pair.settle()
    assert not change.poll()
    broker.serve()
    assert change.poll()
    broker.engine.give_up(change)
    assert broker.commands == [[b"SUBSCRIBE", b"a"]]
    again = broker.engine.subscribe(Kind.CHANNEL, {b"a": None})
    assert again.poll()
    broker.engine.give_up(again)
    broker.serve()
    assert len(broker.commands) == 1
    assert not broker.engine.is_over


def test_unsubscribing_names_its_channels() -> None:
    broker = subscribed("a", "b", "c")
    one = broker.engine.unsubscribe(Kind.CHANNEL, [b"b", b"unknown"])
    broker.publish("b", "published before the server knew")
    broker.pair.settle()
    broker.serve()
    assert one.poll()
    assert broker.data() == [b"published before the server knew"]
    everything = broker.engine.unsubscribe(Kind.CHANNEL)
    broker.pair.settle()
    assert not everything.poll()
    broker.serve()
    assert everything.poll()
    assert broker.commands == [[b"UNSUBSCRIBE", b"b"], [b"UNSUBSCRIBE", b"a", b"c"]]
    assert broker.engine.take() == []
    assert broker.engine.is_over


def test_what_has_arrived_is_handed_over_when_the_last_channel_goes() -> None:
    broker = subscribed("a")
    broker.publish("a", "1")
    broker.engine.unsubscribe(Kind.CHANNEL)
    broker.pair.settle()
    broker.serve()
    assert not broker.engine.is_over
    assert broker.data() == [b"1"]
    assert broker.engine.is_over


def test_many_channels_take_several_commands() -> None:
    names = [f"channel:{n}" for n in range(1201)]
    broker = Broker(PubSub(names)).serve()
    assert [len(command) - 1 for command in broker.commands] == [500, 500, 201]
    assert len(broker.engine.subscriptions.confirmed) == 1201


# -- gaps ----------------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_a_gap_before_the_next_message() -> None:
    broker = subscribed("a", channel_handlers={"h": print})
    broker.publish("a", "1")
    broker.lose()
    broker.serve().publish("a", "2")
    broker.publish("h", "3")
    down, up = broker.pair.events()
    assert isinstance(down, Disconnected)
    assert isinstance(up, Reconnected)
    assert [message.data for message in broker.engine.take()] == [b"1"]
    assert broker.pair.events() == []
    assert [message.data for message in broker.engine.take()] == [b"2"]
    assert broker.pair.events() == [SubscriptionGap("main", None, down.error)]
    assert [call.argument.data for call in broker.engine.take_calls()] == [b"3"]
    assert broker.pair.events() == []
    assert broker.commands == [[b"SUBSCRIBE", b"a", b"h"]]


def test_a_connection_that_never_was_is_no_gap() -> None:
    broker = Broker(PubSub(["a"]))
    broker.lose()
    broker.serve()
    assert broker.engine.take() == []
    assert [type(event) for event in broker.pair.events()] == [Connected, Disconnected, Reconnected]


def test_closing_is_no_gap() -> None:
    broker = subscribed("a", channel_handlers={"h": print})
    broker.publish("a", "1")
    broker.engine.close()
    assert broker.engine.take_waiting_calls() == []
    assert broker.data_until_closed() == [b"1"]
    assert broker.pair.events() == []


def test_after_the_end() -> None:
    broker = subscribed("a")
    change = broker.engine.subscribe(Kind.CHANNEL, {b"b": None})
    broker.engine.close()
    broker.engine.give_up(change)
    for use in (broker.engine.take, broker.engine.take_calls):
        with pytest.raises(ClosedError, match="this PubSub is closed"):
            use()
    with pytest.raises(ClosedError):
        broker.engine.subscribe(Kind.CHANNEL, {b"c": None})
    with pytest.raises(ClosedError):
        broker.engine.unsubscribe(Kind.CHANNEL)


def test_a_wrong_password_ends_it() -> None:
    pair = Pair(engine := PubSub(["a"]), greets=False)
    pair.server.expect("HELLO")
    pair.server.answer(AuthenticationError("WRONGPASS", "invalid"))
    with pytest.raises(AuthenticationError):
        engine.take()


def test_whoever_hears_that_it_is_connected_may_close_it() -> None:
    engine = PubSub(["a"], on_invalidate=print)
    engine.on_event = lambda event: engine.close()
    pair = Pair(engine)
    assert not pair.server.commands


@pytest.mark.parametrize(
    "push",
    [
        pushed([], "a", "1"),
        pushed("message"),
        pushed("message", "a"),
        pushed("message", "a", "b", "c", "d"),
        pushed("message", "a", 5),
        pushed("sunsubscribe"),
        pushed("sunsubscribe", [], 1),
    ],
)
@pytest.mark.parametrize("decode", [None, "utf-8"])
def test_a_push_that_makes_no_sense_costs_the_connection(push: bytes, decode: str | None) -> None:
    broker = subscribed("a", decode=decode)
    broker.pair.server.reply(push)
    [down, *_] = broker.pair.events()
    assert isinstance(down, Disconnected)
    assert isinstance(down.error, RemoteProtocolError)
    assert broker.engine.take() == []


def test_other_pushes_are_none_of_its_business() -> None:
    broker = subscribed("a")
    broker.pair.server.push("tracking-redir-broken", 5)
    broker.publish("a", "1")
    assert broker.data() == [b"1"]
    assert broker.pair.events() == []


# -- the link ------------------------------------------------------------------------------------------------------------


def test_a_dead_link_is_found_within_max_idle_seconds() -> None:
    broker = subscribed("a", max_idle_seconds=3, options=Options(keepalive_idle=60, keepalive_answer=60))
    broker.pair.advance(1.9)
    assert not broker.pair.server.commands
    broker.pair.advance(0.2)
    broker.pair.server.expect("PING")
    broker.pair.advance(1)
    [down, *_] = broker.pair.events()
    assert isinstance(down, Disconnected)


def test_messages_keep_it_alive() -> None:
    broker = subscribed("a", max_idle_seconds=3)
    for _ in range(10):
        broker.pair.advance(1.5)
        broker.publish("a", "1")
    assert not broker.pair.server.commands
    assert broker.pair.events() == []


def test_it_is_ready_when_the_server_is_reached_or_need_not_be() -> None:
    engine = PubSub(["a"])
    assert not engine.is_ready
    assert PubSub(["a"], lazy=True).is_ready
    Pair(engine)
    assert engine.is_ready


# -- arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 5}, "channel must be one name or several, not 5"),
        ({"channels": [""]}, "channel is empty"),
        ({"channel_handlers": {"a": 5}}, "the handler of channel 'a' must be something to call, not 5"),
        ({"pattern_handlers": {"a": "f"}}, "the handler of pattern 'a'"),
        ({"retry_policy": object()}, "retry_policy cannot be chosen"),
        ({"max_idle_seconds": 0}, "max_idle_seconds must be more than 0"),
        ({"subscription_timeout": 0}, "subscription_timeout"),
        ({"unsubscription_timeout": -1}, "unsubscription_timeout"),
        ({"queue_size": 0}, "queue_size"),
        ({"queue_bytes": 0}, "queue_bytes"),
        ({"when_full": "wait"}, "when_full must be 'block' or 'drop_oldest' or 'drop_newest'"),
        ({"decode": "no-such"}, "no-such"),
        ({"track": "user:"}, "give on_invalidate"),
    ],
)
def test_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        PubSub(**options)
