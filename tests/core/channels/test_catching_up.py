"""Subscribers that resume behind an id, and subscribers that fall behind the reader."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.channels import ChannelMessage
from streamcore.entries import StreamId
from streamcore.errors import NoPermissionError, WrongTypeError
from streamcore.events import Gap, StreamReset
from streamcore.testing.resp import Simple
from tests.core.support.calls import Work
from tests.core.support.hubs import ABORTED, BUSY, FORBIDDEN, GONE, NO_KEY, QUEUED, WRONG, Hub, joined, message
from tests.core.support.streams import info


class TestResuming:
    def test_everything_behind_an_id_comes_page_by_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streamcore.channels.subscriber.PAGE", 2)
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a", after=b"2-0")
        hub.asked("XRANGE", "a", "2-0", "+", "COUNT", 3)
        hub.tell(info("5-0", length=5, first="1-0"), [message("3-0", "3"), message("4-0", "4")])
        assert joining.poll()
        hub.engine.end(joining)
        hub.asked("XRANGE", "a", "4-0", "+", "COUNT", 3)
        hub.tell(info("5-0", length=5, first="1-0"), [message("5-0", "5")])
        hub.read("a", "5-0")
        assert hub.got() == ["3", "4", "5"]

    def test_large_messages_come_in_small_pages(self) -> None:
        hub = Hub(queue_bytes=64 << 10)
        joining = hub.engine.join(hub.subscriber, "a", after=b"2-0")
        hub.asked("XRANGE", "a", "2-0", "+", "COUNT", 5)
        hub.tell(info("9-0", length=9, first="1-0"), [message(f"{n}-0", "x" * 4000) for n in range(3, 7)])
        assert joining.poll()
        hub.engine.end(joining)
        hub.asked("XRANGE", "a", "6-0", "+", "COUNT", 5)

    def test_what_is_trimmed_away_is_a_gap(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a", after=StreamId(2, 0))
        hub.asked("XRANGE", "a", "2-0")
        hub.tell(info("9-0", length=1, added=9, first="9-0"), [message("9-0", "9")])
        assert joining.poll()
        assert hub.seen()[-2:] == [Gap(b"a", StreamId(2, 0), StreamId(9, 0), None, certain=False), "9"]

    def test_what_the_id_belongs_to_is_gone_from_a_channel_that_has_lost_nothing(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a", after=StreamId(2, 0))
        hub.asked("XRANGE", "a", "2-0")
        hub.tell(info("9-0", length=1, first="9-0"), [message("9-0", "9")])
        assert joining.poll()
        assert hub.seen()[-2:] == [Gap(b"a", StreamId(2, 0), StreamId(9, 0), None, certain=False), "9"]

    def test_behind_the_last_id_of_all_nothing_is(self) -> None:
        hub = Hub()
        last = StreamId((1 << 64) - 1, (1 << 64) - 1)
        joining = hub.engine.join(hub.subscriber, "a", after=last)
        hub.asked("XRANGE", "a", str(last), "+")
        hub.tell(info("2-0", length=1, first="2-0"), [])
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(info("2-0", length=1, first="2-0"), [message("2-0", "2")])
        assert joining.poll()
        assert hub.seen()[-2:] == [StreamReset(b"a", last, StreamId(2, 0)), "2"]

    def test_a_channel_that_is_gone_is_a_gap_of_unknown_size(self) -> None:
        hub = Hub()
        hub.engine.join(hub.subscriber, "a", after=StreamId(2, 0))
        hub.asked("XRANGE", "a", "2-0")
        hub.tell(NO_KEY, [], GONE)
        assert hub.seen()[-1] == Gap(b"a", StreamId(2, 0), None, None)
        hub.read("a", "0-0")
        hub.bring("a", message("1-0", "1"))
        assert hub.got() == ["1"]

    def test_a_channel_that_ends_before_the_id_began_anew(self) -> None:
        hub = Hub()
        hub.engine.join(hub.subscriber, "a", after="7-0")
        hub.asked("XRANGE", "a", "7-0")
        hub.tell(info("2-0", length=2, first="1-0"), [])
        assert hub.seen()[-1] == StreamReset(b"a", StreamId(7, 0), StreamId(2, 0))
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(info("2-0", length=2, first="1-0"), [message("1-0", "1"), message("2-0", "2")])
        assert hub.got() == ["1", "2"]

    def test_and_what_it_had_when_that_was_noticed_is_missed(self) -> None:
        """Seed 2021434: not what was trimmed before."""
        hub = Hub()
        hub.engine.join(hub.subscriber, "a", after="7-0")
        hub.asked("XRANGE", "a", "7-0")
        hub.tell(info("5-0", length=2, added=5, first="4-0"), [])
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(info("6-0", length=1, added=6, first="6-0"), [message("6-0", "6")])
        rewound = StreamReset(b"a", StreamId(7, 0), StreamId(5, 0))
        assert hub.seen()[-3:] == [rewound, Gap(b"a", StreamId(0, 0), StreamId(6, 0), 2), "6"]

    def test_from_the_very_beginning_all_that_is_missing_counts(self) -> None:
        hub = Hub()
        hub.engine.join(hub.subscriber, "a", after="0-0")
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(info("9-0", length=1, added=9, first="9-0"), [message("9-0", "9")])
        assert hub.seen()[-2:] == [Gap(b"a", StreamId(0, 0), StreamId(9, 0), 8), "9"]

    def test_where_one_began_is_known_before_anything_was_handed_over(self) -> None:
        hub = joined()
        assert hub.engine.subscribers.beginnings(hub.subscriber) == {"a": StreamId(5, 0)}
        other = hub.engine.subscribers.open()
        hub.engine.join(other, "a", history=2)
        hub.asked("XREVRANGE", "a")
        hub.tell(info("5-0", length=5, first="1-0"), [message("5-0", "5"), message("4-1", "4")])
        assert hub.engine.subscribers.beginnings(other) == {"a": StreamId(4, 0)}


class TestFallingBehind:
    def test_a_full_subscriber_catches_up_from_its_cursor(self) -> None:
        hub = joined(queue_size=2)
        hub.bring("a", message("6-0", "6"), message("7-0", "7"))
        hub.pair.settle()
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.read("a", "7-0")
        hub.bring("a", message("8-0", "8"), proof=[[message("5-0", "old")]])
        hub.pair.peer("history").expect_nothing()  # it has no room yet
        assert hub.got() == ["6", "7"]
        hub.asked("XRANGE", "a", "7-0")
        hub.tell(info("8-0", length=8, first="1-0"), [message("8-0", "8")])
        assert hub.got() == ["8"]

    def test_what_was_trimmed_meanwhile_is_counted(self) -> None:
        hub = joined(queue_size=1)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        hub.tell(info("20-0", length=2, added=20, first="19-0"), [message("19-0", "19"), message("20-0", "20")])
        assert hub.seen() == [Gap(b"a", StreamId(6, 0), StreamId(19, 0), 12), "19", "20"]

    def test_who_is_ahead_of_the_reader_and_full_goes_on_from_where_it_is(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        hub.join(late, "a", at="7-0", added=7)
        late.extend([ChannelMessage("b", "x")] * 10_000)
        hub.bring("a", *(message(f"{n}-0", str(n)) for n in (6, 7, 8)))
        assert (late.positions[b"a"].cursor, late.positions[b"a"].added) == (StreamId(7, 0), 7)

    def test_what_the_reader_has_missed_is_no_business_of_who_is_behind(self) -> None:
        hub = joined()
        hub.subscriber.positions[b"a"].live = False
        hub.engine._channels.emit(Gap(b"a", StreamId(5, 0), StreamId(9, 0), 3))
        assert hub.seen() == hub.pair.events()[2:] == []

    def test_a_failed_question_is_asked_again_when_the_subscriber_looks(self) -> None:
        hub = joined(queue_size=1, timeout=1.0)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        hub.pair.advance(1.5)
        hub.pair.advance(1)
        assert hub.got() == []
        hub.asked("XRANGE", "a", "6-0")
        hub.tell(info("7-0", length=7, first="1-0"), [message("7-0", "7")])
        assert hub.got() == ["7"]

    def test_what_a_busy_server_refuses_is_asked_again_and_ends_nothing(self) -> None:
        hub = joined(queue_size=1)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        hub.pair.peer("history").answer(Simple("OK"), BUSY, BUSY, BUSY, ABORTED)
        hub.pair.advance(1)
        assert hub.got() == []
        hub.asked("XRANGE", "a", "6-0")
        hub.tell(info("7-0", length=7, first="1-0"), [message("7-0", "7")])
        assert hub.subscriber.has_news
        assert hub.got() == ["7"]

    def test_a_question_that_failed_is_worth_another_look(self) -> None:
        hub = joined(queue_size=1, timeout=1.0)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        assert hub.got() == []
        assert not hub.subscriber.has_news
        hub.pair.advance(1.5)
        assert hub.subscriber.has_news

    def test_what_the_server_forbids_is_raised_as_what_it_is(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.pair.peer("history").answer(Simple("OK"), FORBIDDEN, QUEUED, QUEUED, ABORTED)
        with pytest.raises(NoPermissionError, match="XINFO"):
            joining.poll()
        hub.engine.end(joining)

    def test_a_refused_question_ends_the_hub(self) -> None:
        hub = joined(queue_size=1)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        hub.tell(WRONG, WRONG)
        with pytest.raises(WrongTypeError):
            hub.got()

    def test_where_the_first_batch_cannot_be_counted_neither_can_a_gap(self) -> None:
        hub = joined(queue_size=1)
        followed = hub.engine._channels.cursor(b"a")
        assert followed is not None
        assert followed.continuity is not None
        followed.continuity._place = None
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.subscriber.positions[b"a"].added is None

    def test_what_comes_first_in_an_empty_channel_is_looked_at_with_the_counters(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.tell(NO_KEY, [], GONE)
        assert joining.poll()
        hub.read("a", "0-0")
        hub.bring("a", message("3-0", "3"))
        hub.seen()
        hub.asked("XRANGE", "a", "0-0")
        said = info("3-0", length=1, added=3, first="3-0")
        hub.tell(said, [message("3-0", "3")])
        assert hub.seen() == [Gap(b"a", StreamId(0, 0), StreamId(3, 0), 2), "3"]
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer(said, {"a": [message("4-0", "4")]})
        assert hub.seen() == ["4"], "a page has told already what the reader finds out by itself"

    @pytest.mark.parametrize(
        ("about", "told"),
        [
            (info("3-0", length=3, first="1-0"), []),
            (
                info("3-0", length=1, added=3, first="3-0", deleted="2-0"),
                [Gap(b"a", StreamId(0, 0), StreamId(3, 0), 2)],
            ),
            (
                info("4-0", length=1, added=4, first="3-0", deleted="4-0", newest="3-0"),
                [Gap(b"a", StreamId(0, 0), StreamId(4, 1), None)],
            ),
        ],
    )
    def test_its_gap_is_counted_unless_single_entries_behind_it_were_deleted(self, about: Any, told: list[Any]) -> None:
        hub = Hub()
        hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.tell(NO_KEY, [], GONE)
        hub.read("a", "0-0")
        hub.seen()
        hub.bring("a", message("3-0", "3"))
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(about, [message("3-0", "3")])
        assert hub.seen() == [*told, "3"]


def test_taking_a_message_costs_the_same_however_many_channels_are_joined() -> None:
    def cost(number: int) -> int:
        hub = joined()
        for at in range(number):
            hub.engine.subscribers.enter(hub.subscriber, b"%d" % at).live = True
        hub.engine.take_for(hub.subscriber)
        with Work() as counted:
            hub.engine.take_for(hub.subscriber)
        return counted.done

    assert cost(1000) <= cost(10) + 20


def test_channels_that_fell_behind_are_caught_up_in_the_order_of_joining() -> None:
    hub = joined()
    for key in (b"x", b"y", b"z"):
        hub.engine.subscribers.enter(hub.subscriber, key).live = True
    assert hub.subscriber.lagging() == []
    for key in (b"z", b"x", b"y"):
        hub.subscriber.fall_behind(key)
    hub.engine.subscribers.leave(hub.subscriber, b"y")
    assert [key for key, _ in hub.subscriber.lagging()] == [b"x", b"z"]
