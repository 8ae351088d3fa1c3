"""What waits for a subscriber: bounded, and in order with what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.channels import ChannelMessage, Naming, Subscriber
from streamcore.channels.message import Unreadable
from streamcore.engine.event_queue import MAX_EVENTS
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument
from streamcore.events import Event, EventsDropped, Gap, MessagesDropped, StaleConnectionKilled, StreamReset


def messages(*data: Any, channel: str = "a") -> list[Any]:
    return [ChannelMessage(channel, str(one)) for one in data]


def take(subscriber: Subscriber, announced: list[Event] | None = None) -> list[Any]:
    """Everything, messages as their data."""
    found: list[Any] = []
    announce = (announced if announced is not None else []).append
    while items := subscriber.take(announce, events=True):
        found += [item.data if isinstance(item, ChannelMessage) else item for item in items]
    return found


def ignore(event: Event) -> None:
    """Nobody listens."""


class TestInbox:
    def test_events_stand_between_messages(self) -> None:
        subscriber = Subscriber(10, 1000)
        subscriber.extend(messages(1, 2))
        subscriber.tell(StaleConnectionKilled(1))
        subscriber.extend(messages(3))
        assert take(subscriber) == ["1", "2", StaleConnectionKilled(1), "3"]

    def test_who_wants_no_events_passes_over_them(self) -> None:
        subscriber = Subscriber(1000, 1000)
        for n in range(600):
            subscriber.tell(StaleConnectionKilled(n))
        subscriber.extend(messages(1))
        [one] = subscriber.take(ignore, events=False)
        assert one == ChannelMessage("a", "1")

    def test_what_an_interrupted_take_has_left_is_counted_again(self) -> None:
        subscriber, announced = Subscriber(4, 1000), list[Event]()
        subscriber.add_or_drop(messages(*range(1, 8)), "drop_oldest")

        def interrupt(event: Event) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            subscriber.take(interrupt, events=False)
        subscriber.add_or_drop(messages(8), "drop_newest")
        assert take(subscriber, announced) == [MessagesDropped(3), "4", "5", "6", "7", MessagesDropped(1)]
        assert announced == [MessagesDropped(1)], "the other has been announced"
        subscriber.extend(messages(9))
        assert take(subscriber) == ["9"]

    @pytest.mark.parametrize(
        "come",
        [
            lambda subscriber: subscriber.extend(messages(1)),
            lambda subscriber: subscriber.add_or_drop(messages(1), "drop_newest"),
            lambda subscriber: subscriber.tell(StaleConnectionKilled(1)),
            lambda subscriber: subscriber.clear(),
        ],
    )
    def test_it_has_news_until_somebody_looks(self, come: Callable[[Subscriber], None]) -> None:
        subscriber = Subscriber(10, 1000)
        seen = [subscriber.has_news]
        come(subscriber)
        seen.append(subscriber.has_news)
        take(subscriber)
        seen.append(subscriber.has_news)
        assert seen == [False, True, False]

    def test_it_is_full_by_number_or_by_bytes(self) -> None:
        subscriber = Subscriber(4, 10)
        assert subscriber.wants_more
        subscriber.extend(messages(1, 2))
        assert (subscriber.wants_more, subscriber.is_full) == (False, False)
        subscriber.extend(messages("x" * 8))
        assert subscriber.is_full
        take(subscriber)
        subscriber.extend(messages(*range(4)))
        assert subscriber.is_full

    def test_a_page_is_as_large_as_its_messages_allow(self) -> None:
        assert (Subscriber(10, 1).page, Subscriber(10, 1 << 20).page, Subscriber(10, 1 << 30).page) == (1, 64, 500)
        subscriber = Subscriber(1000, 4000)
        subscriber.add_page(messages("x" * 100, "y" * 300))
        assert subscriber.page == 5
        subscriber.add_page([])
        assert subscriber.page == 5
        subscriber.add_page(messages("x" * 3000))
        assert subscriber.page == 1
        subscriber.add_page(messages("", ""))
        assert subscriber.page == 500
        assert len(take(subscriber)) == 5

    def test_the_oldest_are_dropped_and_counted_before_what_follows(self) -> None:
        subscriber, announced = Subscriber(2, 1000), list[Event]()
        subscriber.add_or_drop(messages(1), "drop_oldest")
        subscriber.tell(StaleConnectionKilled(1))
        subscriber.add_or_drop(messages(2, 3, 4), "drop_oldest")
        assert take(subscriber, announced) == [StaleConnectionKilled(1), MessagesDropped(2), "3", "4"]
        assert announced == [MessagesDropped(2)]
        assert subscriber.dropped == 2

    def test_a_message_that_is_larger_than_the_bound_is_kept_alone(self) -> None:
        subscriber = Subscriber(10, 5)
        subscriber.add_or_drop(messages("x" * 3, "y" * 9), "drop_oldest")
        assert take(subscriber) == [MessagesDropped(1), "y" * 9]

    def test_the_newest_are_dropped_and_counted_behind_what_waits(self) -> None:
        subscriber, announced = Subscriber(2, 1000), list[Event]()
        subscriber.add_or_drop(messages(1), "drop_newest")
        subscriber.add_or_drop(messages(2, 3), "drop_newest")
        subscriber.add_or_drop(messages(4, 5), "drop_newest")
        assert subscriber.take(announced.append, events=False)[-1] == ChannelMessage("a", "2")
        subscriber.add_or_drop(messages(6), "drop_newest")
        assert take(subscriber) == ["6"]
        assert announced == [MessagesDropped(3)]
        assert subscriber.dropped == 3

    def test_events_are_bounded(self) -> None:
        subscriber = Subscriber(2, 1000)
        for n in range(MAX_EVENTS + 3):
            subscriber.tell(StaleConnectionKilled(n))
        found = take(subscriber)
        assert found[0] == EventsDropped(3)
        assert len(found) == MAX_EVENTS + 1

    def test_the_error_of_a_message_that_is_no_text_is_raised_in_its_place(self) -> None:
        subscriber = Subscriber(10, 1000)
        error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")
        subscriber.extend([*messages(1), Unreadable(error, None), *messages(2)])
        assert [one.data for one in subscriber.take(ignore, events=False)] == ["1"]  # type: ignore[union-attr]  # messages
        with pytest.raises(UnicodeDecodeError):
            subscriber.take(ignore, events=False)
        assert take(subscriber) == ["2"]
        subscriber.add_or_drop([Unreadable(error, None)] * 12, "drop_oldest")
        assert subscriber.dropped == 2

    def test_with_a_channel_what_became_of_others_in_its_stream_is_forgotten(self) -> None:
        subscriber = Subscriber(3, 1000)
        gaps = {key: Gap(key, StreamId(0), None, 1) for key in (b"a", b"b")}
        for gap in gaps.values():
            subscriber.tell(gap)
        subscriber.tell(StreamReset(b"a", StreamId(2), StreamId(1)))
        subscriber.drop_channel("a", b"a")
        assert take(subscriber) == [gaps[b"b"]]

    def test_a_channel_is_forgotten_and_the_rest_stays_in_order(self) -> None:
        subscriber = Subscriber(3, 1000)
        subscriber.extend([*messages(1), *messages(2, channel="b")])
        subscriber.tell(StaleConnectionKilled(1))
        subscriber.extend([*messages(3), Unreadable(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), None)])
        before = subscriber.is_full
        subscriber.drop_channel("a", b"a")
        assert (before, subscriber.is_full) == (True, False)
        assert [
            one.data if isinstance(one, ChannelMessage) else one for one in subscriber.take(ignore, events=True)
        ] == [
            "2",
            StaleConnectionKilled(1),
        ]


class TestMessages:
    def test_it_unpacks_to_channel_and_data(self) -> None:
        channel, data = ChannelMessage("a", "x", StreamId(1, 2))
        assert (channel, data) == ("a", "x")

    def test_it_equals_what_says_the_same(self) -> None:
        one, other = ChannelMessage("a", "x", b"1-2"), ChannelMessage("a", "x", StreamId(1, 2))
        assert one == other
        assert len({one, other}) == 1
        assert one != ChannelMessage("a", "x")
        assert one != ("a", "x")
        assert ChannelMessage[Any](b"a", b"x") != ChannelMessage("a", "x")
        assert repr(other) == "ChannelMessage(channel='a', data='x', id=StreamId(ms=1, seq=2))"
        match other:
            case ChannelMessage(channel, data, id_):
                assert (channel, data, id_) == ("a", "x", StreamId(1, 2))

    def test_names_keep_their_case_and_are_bytes_or_text(self) -> None:
        naming = Naming("p", None)
        assert naming.keys(["a", b"A", "a"]) == [b"p_a", b"p_A"]
        assert naming.keys("ab") == naming.keys(bytearray(b"ab")) == [b"p_ab"]
        assert naming.channel(b"p_a") == b"a"
        assert naming.message(b"a", b"x") == ChannelMessage(b"a", b"x")
        assert Naming("", "utf-8").channel("ä".encode()) == "ä"

    @pytest.mark.parametrize("channels", [7, [""], ["a", 7]])
    def test_bad_names_are_refused(self, channels: Any) -> None:
        with pytest.raises(InvalidArgument, match="channel"):
            Naming("p", None).keys(channels)

    def test_data_is_found_wherever_it_stands(self) -> None:
        entries: list[Any] = [
            [b"1-0", [b"x", b"y", b"n", b"m", b"data", b"1"]],
            [b"2-0", [b"x", b"y"]],
            [b"3-0", [b"data", b"\xff"]],
        ]
        assert Naming("", None).messages(b"a", entries) == [
            ChannelMessage(b"a", b"1", StreamId(1)),
            ChannelMessage(b"a", b"\xff", StreamId(3)),
        ]
        text = Naming("", "utf-8").messages("a", entries)
        assert text[0] == ChannelMessage("a", "1", StreamId(1))
        assert isinstance(text[1], Unreadable)

    def test_what_is_no_text_stands_where_it_stood(self) -> None:
        naming = Naming("", "utf-8")
        found = [*naming.messages("a", [[b"1-2", [b"data", b"\xff"]]]), naming.message("a", b"\xff")]
        assert [(one.id, type(one)) for one in found] == [(StreamId(1, 2), Unreadable), (None, Unreadable)]

    def test_the_pattern_of_a_prefix_fits_nothing_else(self) -> None:
        assert Naming("a*[b]?^\\", None).pattern == b"a\\*\\[b\\]\\?\\^\\\\_*"
