"""Pub/sub and consumers: what a mutation tester could change without any other test noticing; see docs/mutants.md."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.errors import ConnectionLost, ReplyError, WrongTypeError
from streamcore.events import Connected, Disconnected, HandlerFailed, SubscriptionGap
from streamcore.options import Options
from streamcore.pubsub import Kind, Message, PubSub
from streamcore.pubsub.buffer import ConfirmationMarker, GapMarker, MessageBuffer
from tests.core.pair import Pair, entry
from tests.core.subscribers import NOPERM, Broker, pushed, subscribed


@pytest.mark.parametrize(("decode", "told"), [(None, (b"ab", b"a*", b"1")), ("utf-8", ("ab", "a*", "1"))])
def test_a_handler_of_a_pattern_is_told_all_of_the_message(decode: str | None, told: tuple[Any, ...]) -> None:
    broker = subscribed(decode=decode)
    broker.engine.keep(broker.engine.subscribe(Kind.PATTERN, {b"a*": print}))
    broker.pair.settle()
    broker.serve().pair.server.reply(pushed("pmessage", "a*", "ab", "1"))
    [call] = broker.engine.take_calls()
    assert call.argument == Message("pmessage", *told)


def pauses(broker: Broker, rounds: int) -> list[float]:
    """Seconds between two attempts to subscribe to what is refused."""
    found: list[float] = []
    for _ in range(rounds):
        broker.pair.settle()
        broker.serve()
        due = broker.engine._subscriptions.retry.at
        found.append(round(due - broker.pair.now, 3))
        broker.pair.advance(found[-1])
    return found


def test_a_refused_channel_is_asked_for_less_and_less_often_until_all_are_granted() -> None:
    broker = subscribed()
    broker.refused[b"b"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"b": None}))
    assert pauses(broker, 9) == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    broker.refused.clear()
    broker.serve()
    broker.refused[b"c"] = NOPERM
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"c": None}))
    assert pauses(broker, 2) == [0.05, 0.1]


def size(messages: Any) -> int:
    return sum(map(len, messages))


def test_a_gap_that_was_told_takes_no_more_room() -> None:
    box: MessageBuffer[str] = MessageBuffer(2, 1000, "block", size)
    told: list[Any] = []
    box.add_marker(GapMarker(SubscriptionGap("main", None, ConnectionLost("lost"))))
    assert box.take(told.append) == []
    assert len(told) == 1
    box.add(["a"])
    assert not box.is_full
    box.add(["b"])
    assert box.is_full


def test_the_servers_word_that_was_taken_takes_no_more_room() -> None:
    box: MessageBuffer[str] = MessageBuffer(2, 1000, "block", size)
    box.add_marker(ConfirmationMarker("subscribed"))
    assert box.take(print) == ["subscribed"]
    box.add(["a"])
    assert not box.is_full


def test_bytes_are_counted_down_by_what_is_dropped_or_taken() -> None:
    box: MessageBuffer[str] = MessageBuffer(30, 4, "drop_oldest", size)
    box.add(["ab", "cd", "ef"])
    box.add(["gh"])
    assert box.take(print) == ["ef", "gh"]
    box = MessageBuffer(1000, 250, "block", size)
    box.add(["x"] * 260)
    assert box.is_full
    assert len(box.take(print)) == 250
    assert not box.is_full


def test_two_gaps_with_a_message_between_them_are_told_in_their_places() -> None:
    broker = subscribed("a")
    broker.lose()
    broker.serve().publish("a", "1")
    broker.lose()
    broker.serve().publish("a", "2")
    told: list[Any] = []
    broker.engine.on_event = told.append
    for data in (b"1", b"2"):
        [message] = broker.engine.take()
        assert message.data == data
        [gap] = told
        assert isinstance(gap, SubscriptionGap)
        told.clear()


def test_a_gap_that_meets_another_one_tells_the_last_reason() -> None:
    broker = subscribed("a")
    for _ in range(2):
        broker.lose()
        broker.serve()
    broker.publish("a", "1")
    broker.pair.events()
    broker.engine.take()
    [gap] = broker.pair.events()
    assert isinstance(gap, SubscriptionGap)
    assert isinstance(gap.error, ConnectionLost)


def test_a_message_for_a_handler_that_is_no_text_names_its_channel() -> None:
    broker = subscribed(decode="utf-8")
    broker.engine.keep(broker.engine.subscribe(Kind.CHANNEL, {b"a": print}))
    broker.pair.settle()
    broker.serve().publish("a", b"\xff")
    [failed] = [event for event in broker.pair.events() if isinstance(event, HandlerFailed)]
    assert failed.channel == b"a"


def test_merged_entries_are_decoded() -> None:
    consumer = Consumer({"s": "0"}, merge="id", decode="utf-8", detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("1-0")]})
    batch = consumer.take()
    assert batch is not None
    assert (batch.stream, batch[0].fields) == ("s", {"f": "v"})


def test_a_read_that_was_ended_for_a_change_that_was_given_up_is_no_idle_one() -> None:
    consumer = Consumer({"s": "0"}, stop_on_idle=True, detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    change = consumer.add_stream("t")
    assert change is not None
    consumer.give_up(change)
    pair.settle()
    pair.server.answer(None)
    assert not consumer.ended


def test_the_error_of_a_read_names_its_command() -> None:
    consumer = Consumer({"s": "0"}, detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer(WrongTypeError("WRONGTYPE", "Operation against a key"))
    with pytest.raises(ReplyError) as caught:
        consumer.take()
    assert caught.value.command == "XREAD"


@pytest.mark.parametrize("options", [{}, {"on_invalidate": print}])
def test_a_server_that_does_not_answer_a_subscriber_is_given_up_after_the_request_timeout(options: Any) -> None:
    engine: PubSub[bytes] = PubSub(() if options else "a", options=Options(request_timeout=0.5), **options)
    pair = Pair(engine)
    pair.advance(0.51)
    assert [type(event) for event in pair.events()] == [Connected, Disconnected]
