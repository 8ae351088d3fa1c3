"""Messages that wait: bounds, policies, and what is told between them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.engine.message_buffer import CHUNK
from streamcore.errors import ConnectionLost
from streamcore.events import Event, MessagesDropped, SubscriptionGap
from streamcore.pubsub import Kind
from streamcore.pubsub.buffer import ConfirmationMarker, ErrorMarker, GapMarker, PushBuffer, WhenFull
from tests.core.support.subscribers import Broker, pushed, subscribed, the_link

LOST = ConnectionError("lost")


def nothing_is_told(event: Event) -> None:
    raise AssertionError(event)


def buffer(limit: int = 5, nbytes: int = 1000, when_full: WhenFull = "block") -> PushBuffer[str]:
    return PushBuffer(limit, nbytes, when_full, lambda items: sum(map(len, items)))


def gap(*names: bytes, link: str = "main") -> GapMarker:
    return GapMarker(SubscriptionGap(link, names or None, LOST))


def is_full(box: PushBuffer[str]) -> bool:
    return box.is_full


def is_read(broker: Broker) -> bool:
    """Whether the socket is read."""
    return broker.engine.links()[0].wants_data


def drain(box: PushBuffer[Any]) -> list[Any]:
    """Everything, with the events in their places."""
    found: list[Any] = []
    events: list[Event] = []
    while True:
        taken = box.take(events.append)
        found += [*events, *taken]
        events.clear()
        if not taken:
            return found


def test_messages_in_order_some_at_a_time() -> None:
    box = buffer(10_000)
    box.add(words := [str(n) for n in range(CHUNK + 10)])
    assert box.take(nothing_is_told) == words[:CHUNK]
    assert len(box) == 10
    assert box.take(nothing_is_told) == words[CHUNK:]
    assert box.take(nothing_is_told) == []


def test_a_small_inbox_hands_over_a_few() -> None:
    box = buffer(2)
    box.add(["a", "b", "c"])
    assert box.take(nothing_is_told) == ["a", "b"]


def test_it_is_full_by_number_or_by_bytes() -> None:
    box = buffer(limit=3, nbytes=10)
    box.add(["a", "b"])
    assert not is_full(box)
    box.add(["c"])
    assert is_full(box)
    assert drain(box) == ["a", "b", "c"]
    assert not is_full(box)
    box.add(["0123456789"])
    assert is_full(box)
    assert box.dropped == 0


def test_a_gap_stands_between_the_messages_before_and_behind_it() -> None:
    box = buffer()
    box.add(["a"])
    box.add_marker(mark := gap())
    box.add(["b"])
    assert box.take(nothing_is_told) == ["a"]
    assert drain(box) == [mark.event, "b"]


def test_the_servers_word_stands_among_messages() -> None:
    box = buffer()
    box.add(["a"])
    box.add_marker(ConfirmationMarker("subscribed"))
    box.add(["b"])
    assert box.take(nothing_is_told) == ["a", "subscribed", "b"]


def test_what_cannot_be_handed_over_is_raised_in_its_place() -> None:
    box = buffer()
    box.add(["a"])
    box.add_marker(ErrorMarker(ValueError("no text")))
    box.add(["b"])
    assert box.take(nothing_is_told) == ["a"]
    with pytest.raises(ValueError, match="no text"):
        box.take(nothing_is_told)
    assert box.take(nothing_is_told) == ["b"]


def test_gaps_that_meet_are_one() -> None:
    box = buffer()
    for mark in (gap(b"a"), gap(b"b"), gap(b"a", b"c")):
        box.add_marker(mark)
    assert drain(box) == [SubscriptionGap("main", (b"a", b"b", b"c"), LOST)]
    box.add_marker(gap(b"a"))
    box.add_marker(gap())
    box.add_marker(gap(b"b"))
    assert drain(box) == [SubscriptionGap("main", None, LOST)]


def test_a_gap_is_told_by_whichever_inbox_comes_to_it_first() -> None:
    one, other = buffer(), buffer()
    mark = gap()
    for box in (one, other):
        box.add_marker(mark)
        box.add(["a"])
    assert drain(one) == [mark.event, "a"]
    assert drain(other) == ["a"]


def test_one_that_was_told_there_is_not_told_again_with_one_that_meets_it_here() -> None:
    one, other = buffer(), buffer()
    first, second = gap(b"a"), gap(b"b")
    for mark in (first, second):
        for box in (one, other):
            box.add_marker(mark)
        assert drain(one) == [SubscriptionGap("main", mark.event.names, LOST)]
    assert drain(other) == []


def test_one_that_met_another_here_stands_for_it_there() -> None:
    one, other = buffer(), buffer()
    first, second = gap(b"a"), gap(b"b")
    for box in (one, other):
        box.add_marker(first)
    other.add(["x"])
    for box in (one, other):
        box.add_marker(second)
    assert drain(one) == [SubscriptionGap("main", (b"a", b"b"), LOST)]
    assert drain(other) == ["x"]


@pytest.mark.parametrize("waiting", [[], ["longer than the bound"]])
def test_a_gap_that_comes_while_an_earlier_gap_is_told_is_told_next(waiting: list[str]) -> None:
    """The earlier gap is the first item, or stands before a message that was dropped."""
    box = buffer(nbytes=5, when_full="drop_oldest")
    first, second, events = gap(b"a"), gap(b"b"), list[Event]()

    def listen(event: Event) -> None:
        events.append(event)
        if event == first.event:
            box.add_marker(second)

    box.add_marker(first)
    box.add(waiting)
    assert box.take(listen) == []
    assert [event for event in events if isinstance(event, SubscriptionGap)] == [first.event, second.event]
    assert (len(box), box._markers, box._beside, first.held, second.held) == (0, 0, 0, 0, 0)


def test_nothing_is_kept_of_gaps_that_nobody_holds() -> None:
    one, other = buffer(), buffer()
    mark = gap()
    for _ in range(1100):
        mark = gap(b"a")
        one.add_marker(mark)
        other.add_marker(mark)
    assert len(one) == len(other) == 1
    assert len(mark._absorbed) <= 1
    assert drain(one) == [mark.event]


def test_drop_newest() -> None:
    box = buffer(3, when_full="drop_newest")
    box.add(["a", "b"])
    box.add(["c", "d", "e"])
    box.add(["f"])
    assert box.dropped == 3
    assert box.take(nothing_is_told) == ["a", "b", "c"]
    box.add(["g"])
    assert drain(box) == [MessagesDropped(3), "g"]


def test_drop_newest_when_it_is_full_of_bytes() -> None:
    box = buffer(30, 4, when_full="drop_newest")
    box.add(["abcd"])
    box.add(["e", "f"])
    assert drain(box) == ["abcd", MessagesDropped(2)]


def test_a_gap_takes_no_messages_room() -> None:
    box = buffer(1, when_full="drop_newest")
    box.add_marker(mark := gap())
    assert not is_full(box)
    box.add(["a", "b"])
    assert drain(box) == [mark.event, "a", MessagesDropped(1)]


def test_drop_oldest() -> None:
    box = buffer(3, when_full="drop_oldest")
    box.add(["a", "b", "c", "d"])
    box.add(["e"])
    assert box.dropped == 2
    assert drain(box) == [MessagesDropped(2), "c", "d", "e"]
    box.add(["f"])
    assert drain(box) == ["f"]


def test_drop_oldest_by_bytes() -> None:
    box = buffer(30, 4, when_full="drop_oldest")
    box.add(["ab", "cd", "ef"])
    assert drain(box) == [MessagesDropped(1), "cd", "ef"]
    box.add(["longer than all"])
    assert drain(box) == [MessagesDropped(1)]


def test_gaps_are_not_dropped_with_the_messages_around_them() -> None:
    box = buffer(3, when_full="drop_oldest")
    box.add(["a"])
    box.add_marker(gap(b"a"))
    box.add(["b"])
    box.add_marker(gap(b"b"))
    box.add(["c", "d", "e"])
    assert drain(box) == [MessagesDropped(2), SubscriptionGap("main", (b"a", b"b"), LOST), "c", "d", "e"]


def test_a_gap_makes_room_for_a_message() -> None:
    box = buffer(2, when_full="drop_oldest")
    box.add_marker(mark := gap())
    box.add(["a", "b"])
    assert drain(box) == [mark.event, "a", "b"]


def test_gaps_of_an_inbox_from_which_all_was_dropped() -> None:
    box = buffer(3, 4, when_full="drop_oldest")
    box.add_marker(gap(b"a"))
    box.add(["too long"])
    box.add_marker(gap(b"b"))
    assert len(box) == 0
    assert drain(box) == [MessagesDropped(1), SubscriptionGap("main", (b"a", b"b"), LOST)]


def test_the_servers_word_counts_as_dropped_too() -> None:
    box = buffer(1, when_full="drop_oldest")
    box.add_marker(ConfirmationMarker("subscribed"))
    box.add(["a"])
    assert drain(box) == [MessagesDropped(1), "a"]


@given(st.data(), st.sampled_from(["block", "drop_oldest", "drop_newest"]))
def test_every_message_is_handed_over_or_counted(data: st.DataObject, when_full: WhenFull) -> None:
    box = buffer(5, 40, when_full)
    sent = got = told = 0
    events: list[Event] = []
    last = -1
    for step in [*data.draw(st.lists(st.sampled_from(["add", "add", "mark", "take"]))), "take", "take", "take"]:
        if step == "add" and not (when_full == "block" and box.is_full):
            count = data.draw(st.integers(0, 4))
            box.add([f"{n:05}" for n in range(sent, sent + count)])
            sent += count
        elif step == "mark":
            box.add_marker(gap())
        elif step == "take":
            taken = [int(word) for word in box.take(events.append)]
            assert taken == sorted(taken)
            assert not taken or taken[0] > last
            last = taken[-1] if taken else last
            got += len(taken)
        assert len(box) <= 12
        assert box._nbytes <= 60
    while taken_last := box.take(events.append):
        got += len(taken_last)
    told = sum(event.messages for event in events if isinstance(event, MessagesDropped))
    assert got + told == sent
    assert told == box.dropped
    assert (len(box), box._nbytes, box._markers) == (0, 0, 0)


def test_block_stops_reading_and_goes_on() -> None:
    broker = subscribed("a", queue_size=3)
    broker.publish("a", "1", "2")
    assert is_read(broker)
    broker.publish("a", "3")
    assert not is_read(broker)
    broker.pair.advance(100)  # nobody is blamed for silence meanwhile
    assert broker.pair.events() == []
    assert broker.engine.take()
    assert is_read(broker)
    assert broker.engine.dropped == 0


def test_what_waits_for_handlers_counts_too() -> None:
    broker = subscribed(channel_handlers={"h": print}, queue_bytes=3)
    broker.publish("h", "1", "22")
    assert not is_read(broker)
    broker.engine.take_calls()
    assert is_read(broker)


def test_a_subscription_is_confirmed_while_the_inbox_is_full() -> None:
    broker = subscribed("a", queue_size=1)
    broker.publish("a", "1")
    assert not is_read(broker)
    change = broker.engine.subscribe(Kind.CHANNEL, {b"b": None})
    assert is_read(broker)
    broker.pair.settle()
    broker.serve()
    assert change.poll()
    assert not is_read(broker)


def test_a_new_connection_is_read_until_everything_is_restored() -> None:
    broker = subscribed("a", queue_size=1)
    broker.publish("a", "1")
    broker.lose()
    assert is_read(broker)
    broker.serve()
    assert not is_read(broker)
    assert broker.data() == [b"1"]


@pytest.mark.parametrize(("when_full", "kept"), [("drop_oldest", [b"3", b"4"]), ("drop_newest", [b"1", b"2"])])
def test_dropping_reads_on_and_counts(when_full: str, kept: list[bytes]) -> None:
    broker = subscribed("a", channel_handlers={"h": print}, queue_size=2, when_full=when_full)
    broker.publish("a", "1", "2", "3", "4")
    broker.pair.server.reply(*(pushed("message", "h", n) for n in "567"))
    assert is_read(broker)
    assert broker.engine.dropped == 3
    assert broker.data() == kept
    assert broker.pair.events() == [MessagesDropped(2)]


def test_a_gap_that_no_handler_comes_to_does_not_stop_the_reading() -> None:
    broker = subscribed("a", queue_size=1)
    broker.lose()
    broker.serve()
    broker.publish("a", "1")
    assert broker.data() == [b"1"]
    assert the_link(broker).wants_data


def test_gaps_and_drops_do_not_pile_up() -> None:
    box: PushBuffer[str] = PushBuffer(1, 100, "drop_newest", len)
    box.add(["a"])
    for _ in range(1_000):
        box.add(["b"])
        box.add_marker(gap())
    assert len(box) == 3
    assert drain(box) == ["a", MessagesDropped(1_000), gap().event]


def test_drops_behind_a_gap_behind_a_message_are_told_in_their_place() -> None:
    box: PushBuffer[str] = PushBuffer(1, 100, "drop_newest", len)
    box.add(["a"])
    box.add_marker(gap())
    box.add(["b", "c"])
    assert drain(box) == ["a", gap().event, MessagesDropped(2)]


def test_messages_that_are_no_text_are_dropped_as_others_are() -> None:
    box: PushBuffer[str] = PushBuffer(2, 100, "drop_newest", len)
    for _ in range(1_000):
        box.add_marker(ErrorMarker(ValueError("no text")))
    assert len(box) == 3
    assert box.dropped == 998


@pytest.mark.parametrize("when_full", ["block", "drop_newest"])
def test_the_servers_words_are_bounded(when_full: WhenFull) -> None:
    box: PushBuffer[str] = PushBuffer(3, 100, when_full, len)
    for _ in range(1_000):
        box.add_marker(ConfirmationMarker("subscribed"))
    assert not is_full(box)
    assert drain(box) == ["subscribed"] * 4 + [MessagesDropped(996)]


def size(messages: Any) -> int:
    return sum(map(len, messages))


def test_a_gap_that_was_told_takes_no_more_room() -> None:
    box: PushBuffer[str] = PushBuffer(2, 1000, "block", size)
    told: list[Any] = []
    box.add_marker(GapMarker(SubscriptionGap("main", None, ConnectionLost("lost"))))
    assert box.take(told.append) == []
    assert len(told) == 1
    box.add(["a"])
    assert not box.is_full
    box.add(["b"])
    assert box.is_full


def test_the_servers_word_that_was_taken_takes_no_more_room() -> None:
    box: PushBuffer[str] = PushBuffer(2, 1000, "block", size)
    box.add_marker(ConfirmationMarker("subscribed"))
    assert box.take(print) == ["subscribed"]
    box.add(["a"])
    assert not box.is_full


def test_bytes_are_counted_down_by_what_is_dropped_or_taken() -> None:
    box: PushBuffer[str] = PushBuffer(30, 4, "drop_oldest", size)
    box.add(["ab", "cd", "ef"])
    box.add(["gh"])
    assert box.take(print) == ["ef", "gh"]
    box = PushBuffer(1000, 250, "block", size)
    box.add(["x"] * 260)
    assert box.is_full
    assert len(box.take(print)) == 250
    assert not box.is_full
