"""The hub of streams: joining, live, behind, and what happens to the history meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.channels import ChannelMessage, Naming, Settings, StreamHub
from streamcore.entries import StreamId
from streamcore.errors import (
    ClosedError,
    ConnectionLost,
    InvalidArgument,
    NoPermissionError,
    RequestTimeout,
    WrongTypeError,
    reply_error,
)
from streamcore.events import Connected, Degraded, Disconnected, Gap, Reconnected, StreamReset
from tests.core.hubs import GONE, NEVER, NO_KEY, QUEUED, Hub, joined, message
from tests.core.pair import HELLO, Pair, Simple
from tests.core.streams import info

WRONG = reply_error("WRONGTYPE Operation against a key")
BUSY = reply_error("BUSY a script runs")
FORBIDDEN = reply_error("NOPERM not for you")
ABORTED = reply_error("EXECABORT discarded")


class TestEntering:
    def test_opens_both_links_so_that_the_first_to_join_does_not_wait_for_one(self) -> None:
        hub = Hub()
        assert hub.engine.is_ready
        assert [link.name for link in hub.engine.links() if link.is_up] == ["main", "history"]

    def test_waits_for_both(self) -> None:
        engine = StreamHub(Settings(), Naming("", None))
        pair = Pair(engine, greets=False)
        assert not engine.is_ready
        for name in ("main", "history"):
            peer = pair.peer(name)
            while peer.commands:
                command = peer.commands.popleft()
                assert not engine.is_ready
                peer.answer(HELLO if command[0] == b"HELLO" else Simple("OK"))
        assert engine.is_ready


class TestJoining:
    def test_history_comes_first_and_what_is_live_follows_it(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, ["a", b"a"], history=2)
        hub.asked("XREVRANGE", "a", "+", "-", "COUNT", 2)
        assert not joining.poll()
        hub.tell(info("5-0", length=5, first="1-0"), [message("5-0", "5"), message("4-0", "4")])
        assert joining.poll()
        hub.engine.end(joining)
        hub.read("a", "5-0")
        hub.bring("a", message("6-0", "6"), message("7-0", "7"))
        assert hub.got() == ["4", "5", "6", "7"]

    def test_nothing_old_comes_to_who_asks_for_none(self) -> None:
        hub = joined()
        assert hub.got() == []
        hub.bring("a", message("6-0", "6"))
        assert hub.got() == ["6"]

    def test_one_that_is_in_a_channel_stays_as_it_is(self) -> None:
        hub = joined()
        assert hub.engine.join(hub.subscriber, "a", history=9).poll()
        hub.pair.settle()
        hub.pair.peer("history").expect_nothing()

    def test_a_second_call_waits_for_the_first_one(self) -> None:
        hub = Hub()
        first, other = hub.engine.join(hub.subscriber, "a"), hub.engine.join(hub.engine.subscribers.open(), "b")
        second = hub.engine.join(hub.subscriber, ["a", "c"])
        hub.asked("XREVRANGE", "a")
        hub.asked("XREVRANGE", "b")
        hub.asked("XREVRANGE", "c")
        for _ in range(2):
            assert not second.poll()
            hub.tell(NO_KEY, [], GONE)
        assert first.poll()
        assert other.poll()
        assert not second.poll()
        hub.tell(NO_KEY, [], GONE)
        assert second.poll()
        for joining in (first, second, other):
            hub.engine.end(joining)

    def test_who_joins_ahead_of_the_reader_gets_nothing_twice(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        hub.join(late, "a", at="7-0", added=7)
        hub.bring("a", *(message(f"{n}-0", str(n)) for n in (6, 7, 8)))
        assert hub.got() == ["6", "7", "8"]
        assert hub.got(late) == ["8"]

    def test_who_joins_where_the_reader_has_been_already_asks_for_the_rest(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        joining = hub.engine.join(late, "a")
        hub.asked("XREVRANGE", "a")
        hub.bring("a", message("6-0", "6"))
        hub.tell(info("5-0", length=5, first="1-0"), [message("5-0", "5")])  # overtaken on the way
        assert joining.poll()
        hub.asked("XRANGE", "a", "5-0", "+")
        hub.tell(info("6-0", length=6, first="1-0"), [message("6-0", "6")])
        assert hub.got(late) == ["6"]

    def test_a_refusal_leaves_no_trace(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, ["a", "b"])
        hub.asked("XREVRANGE", "a")
        hub.tell(NO_KEY, [], GONE)
        hub.asked("XREVRANGE", "b")
        hub.tell(WRONG, WRONG)
        with pytest.raises(WrongTypeError):
            joining.poll()
        assert isinstance(hub.engine.why_not(joining), WrongTypeError)
        hub.engine.end(joining)
        assert hub.engine.subscribers.channels(hub.subscriber) == frozenset()
        assert not hub.engine._channels._streams.changes

    def test_no_word_about_a_stream_is_a_refusal_too(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.tell(reply_error("NOPERM no XINFO for you"), [])
        with pytest.raises(NoPermissionError):
            joining.poll()

    def test_who_gives_up_gets_nothing_of_it(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a", history=1)
        hub.asked("XREVRANGE", "a")
        assert isinstance(hub.engine.why_not(joining), RequestTimeout)
        hub.engine.end(joining)
        hub.tell(info("5-0", length=5, first="1-0"), [message("5-0", "5")])
        assert hub.got() == []
        assert not hub.engine.links()[0].unanswered

    def test_a_question_is_asked_again_over_the_next_connection(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.pair.peer("history").close()
        hub.pair.advance(1)
        hub.asked("XREVRANGE", "a")
        hub.tell(NO_KEY, [], GONE)
        assert joining.poll()
        assert [type(event) for event in hub.seen()] == [Connected, Connected, Disconnected, Reconnected]

    def test_it_is_an_error_too_where_that_connection_never_comes(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.pair.refusal = OSError("refused")
        hub.pair.peer("history").close()
        hub.engine.close()
        with pytest.raises(ConnectionLost) as raised:
            joining.poll()
        assert raised.value.sent

    def test_no_answer_in_time_is_an_error(self) -> None:
        hub = Hub(timeout=1.0)
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        hub.pair.advance(1.5)
        with pytest.raises((RequestTimeout, ConnectionLost)):
            joining.poll()
        assert hub.engine.patience == 1.0

    def test_bad_arguments_are_refused_before_anything_is_asked(self) -> None:
        hub = Hub()
        refused: list[dict[str, Any]] = [{"history": -1}, {"after": "x"}, {"after": "1-1", "history": 1}]
        for arguments in refused:
            with pytest.raises(InvalidArgument):
                hub.engine.join(hub.subscriber, "a", **arguments)
        with pytest.raises(InvalidArgument, match="channels"):
            hub.engine.join(hub.subscriber, 7)  # type: ignore[arg-type]  # as callers without a type checker do
        assert hub.engine.subscribers.channels(hub.subscriber) == frozenset()

    def test_what_the_reader_may_not_follow_ends_the_hub(self) -> None:
        hub = Hub()
        hub.join(hub.subscriber)
        hub.pair.settle()
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer(WRONG, WRONG)
        with pytest.raises(WrongTypeError):
            hub.got()


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
        late.add([ChannelMessage("b", "x")] * 10_000)
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
        followed = hub.engine._channels.followed[b"a"]
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


class TestHistories:
    def test_a_gap_of_the_reader_is_told_to_those_who_were_to_get_it(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        hub.join(late, "a", at="9-0", added=9)
        hub.bring("a", message("9-0", "9"))
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.read("a", "9-0")
        hub.pair.server.answer([], None)
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer(info("9-0", length=1, added=9, first="9-0"))
        assert hub.seen() == ["9", Gap(b"a", StreamId(5, 0), StreamId(9, 0), 3)]
        assert hub.seen(late) == []

    def test_what_was_lost_on_the_way_to_a_subscriber_is_told_it_and_who_listens(self) -> None:
        hub = joined()
        gap = Gap(b"a", StreamId(5, 0), None, None, certain=False)
        assert hub.engine.subscribers.doubt({"a": StreamId(5, 0)}) == [gap]
        assert hub.pair.events()[-1] == gap

    def test_a_channel_that_was_deleted_before_its_time_is_told_and_goes_on(self) -> None:
        hub = joined()
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[]])
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer(NO_KEY)
        hub.read("a", "0-0")
        hub.bring("a", message("2-0", "2"))
        hub.engine.take_for(late := hub.engine.subscribers.open(), events=True)
        assert hub.seen() == ["6", "7", StreamReset(b"a", StreamId(7, 0), StreamId(0, 0)), "2"]
        assert hub.seen(late) == []

    def test_a_channel_whose_time_was_over_begins_anew_in_silence(self) -> None:
        hub = Hub(ttl=10)
        hub.join(hub.subscriber, ttl=4000)
        hub.read("a", "5-0")
        hub.seen()
        hub.pair.advance(4)
        hub.bring("a", message("20-0", "20"))
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.read("a", "20-0")
        hub.bring("a", message("21-0", "21"), proof=[[]])
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer(info("21-0", length=2, first="20-0"))
        assert hub.seen() == ["20", "21"]

    def test_it_is_not_told_either_when_nothing_comes_anew(self) -> None:
        hub = Hub(ttl=10)
        hub.join(hub.subscriber, ttl=10_000)
        hub.read("a", "5-0")
        hub.seen()
        hub.pair.advance(11)
        hub.pair.server.close()
        hub.pair.advance(1)
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer([], NO_KEY)
        hub.read("a", "0-0")
        assert {type(item) for item in hub.seen()} == {Disconnected, Reconnected}

    def test_after_so_long_without_a_connection_nobody_knows(self) -> None:
        hub = Hub(ttl=10)
        hub.join(hub.subscriber, ttl=10_000)
        hub.read("a", "5-0")
        hub.pair.refusal = OSError("refused")
        hub.pair.server.close()
        hub.pair.advance(12)
        hub.pair.refusal = None
        hub.pair.advance(5)
        hub.seen()
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer([], NO_KEY)
        assert hub.seen() == [StreamReset(b"a", StreamId(5, 0), StreamId(0, 0))]

    def test_the_reader_hears_from_a_page_that_a_channel_began_anew(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        joining = hub.engine.join(late, "a")
        hub.asked("XREVRANGE", "a")
        hub.tell(info("2-0", length=2, first="1-0"), [message("2-0", "2")])
        assert joining.poll()
        hub.asked("XRANGE", "a", "2-0")
        hub.tell(info("2-0", length=2, first="1-0"), [])
        assert hub.seen() == [StreamReset(b"a", StreamId(5, 0), StreamId(2, 0))]
        hub.pair.server.answer(None)
        hub.pair.server.commands.clear()
        followed = hub.engine._channels.followed[b"a"]
        assert followed.handed_over == StreamId(0, 0)
        assert followed.continuity is not None
        assert followed.continuity.added == 0, "what goes from now on is missed: seed 2022505"

    def test_what_is_lost_since_a_channel_began_anew_is_told(self) -> None:
        hub = joined()
        late = hub.engine.subscribers.open()
        hub.engine.join(late, "a")
        hub.asked("XREVRANGE", "a")
        hub.tell(info("2-0", length=2, first="1-0"), [message("2-0", "2")])  # before the reader has noticed
        hub.asked("XRANGE", "a", "2-0")
        hub.tell(info("2-0", length=2, first="1-0"), [])
        rewound = StreamReset(b"a", StreamId(5, 0), StreamId(2, 0))
        assert hub.seen() == [rewound]
        hub.pair.server.answer(None)
        hub.pair.settle()
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.read("a", "0-0")
        hub.bring("a", message("4-0", "4"), proof=[info("4-0", length=1, added=4, first="4-0")])
        assert hub.seen() == [Gap(b"a", StreamId(0, 0), StreamId(4, 0), 3), "4"]

    def test_so_is_what_is_lost_since_a_subscriber_was_told_so(self) -> None:
        hub = Hub()
        hub.engine.join(hub.subscriber, "a", after="7-0")
        hub.asked("XRANGE", "a", "7-0")
        hub.tell(info("2-0", length=2, added=3, first="1-0"), [])
        hub.asked("XRANGE", "a", "0-0")
        hub.tell(info("4-0", length=1, added=5, first="4-0"), [message("4-0", "4")])
        rewound = StreamReset(b"a", StreamId(7, 0), StreamId(2, 0))
        assert hub.seen()[-3:] == [rewound, Gap(b"a", StreamId(0, 0), StreamId(4, 0), 3), "4"]

    def test_a_page_that_was_overtaken_by_the_reader_proves_nothing(self) -> None:
        hub = joined(queue_size=1)
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[[message("5-0", "old")]])
        assert hub.got() == ["6"]
        hub.asked("XRANGE", "a", "6-0")
        hub.pair.server.expect("XRANGE")
        hub.read("a", "7-0")
        hub.bring("a", message("9-0", "9"), proof=[[message("6-0", "6")]])
        hub.tell(info("6-0", length=6, first="1-0"), [])  # which is older than what the reader knew
        hub.asked("XRANGE", "a", "6-0")
        assert hub.seen() == []

    def test_what_is_told_about_looking_at_histories_is_told_to_all(self) -> None:
        hub = joined()
        hub.bring("a", message("6-0", "6"))
        hub.pair.server.expect("XRANGE")
        hub.read("a", "6-0")
        hub.bring("a", message("7-0", "7"), proof=[reply_error("NOPERM no XRANGE")])
        assert [type(item) for item in hub.seen() if not isinstance(item, str)] == [Degraded]


class TestLeaving:
    def test_who_has_left_gets_nothing_more_and_the_others_all(self) -> None:
        hub = joined()
        other = hub.engine.subscribers.open()
        hub.join(other)
        hub.bring("a", message("6-0", "6"))
        hub.engine.leave(hub.subscriber, ["a", "unknown"])
        assert hub.got() == []
        assert hub.got(other) == ["6"]
        hub.engine.leave(other)
        assert hub.engine._channels.topics == {}
        assert hub.engine._channels.followed == {}

    def test_what_comes_for_a_channel_that_all_have_left_is_nobodys(self) -> None:
        hub = joined()
        hub.engine.leave(hub.subscriber)
        hub.bring("a", message("6-0", "6"))
        hub.join(hub.subscriber, "a", at="6-0", added=6)
        hub.read("a", "6-0")
        assert hub.got() == []

    def test_leaving_while_the_reader_has_not_met_the_channel(self) -> None:
        hub = Hub()
        hub.join(hub.subscriber)
        hub.engine.leave(hub.subscriber)
        hub.pair.settle()
        hub.pair.server.expect("XRANGE", "a", "5-0", "5-0")
        hub.pair.server.expect("XINFO", "STREAM", "a")
        hub.pair.server.answer([message("5-0", "old")], info("5-0", length=5, first="1-0"))
        assert hub.engine._channels.followed == {}

    def test_a_gap_of_a_channel_that_was_left_is_nobodys(self) -> None:
        hub = joined()
        hub.seen()
        hub.engine._channels.emit(Gap(b"gone", StreamId(1, 0), None, None))
        assert hub.seen() == []
        followed = hub.engine._channels.followed[b"a"]
        hub.engine.leave(hub.subscriber)
        hub.engine._channels.restart(followed)
        assert hub.engine._channels.topics == {}

    def test_a_closed_subscriber_says_so(self) -> None:
        hub = joined()
        hub.engine.close_subscriber(hub.subscriber)
        hub.engine.close_subscriber(hub.subscriber)
        with pytest.raises(ClosedError, match="subscriber is closed"):
            hub.engine.take_for(hub.subscriber)

    def test_what_has_arrived_before_the_end_is_handed_over(self) -> None:
        hub = joined()
        hub.bring("a", message("6-0", "6"))
        joining = hub.engine.join(hub.subscriber, "b")
        hub.engine.close()
        assert [item.data for item in hub.engine.take_for(hub.subscriber)] == ["6"]  # type: ignore[union-attr]  # messages
        with pytest.raises(ClosedError, match="Channels"):
            hub.engine.take_for(hub.subscriber)
        with pytest.raises(ConnectionLost):
            joining.poll()
        hub.engine.end(joining)
        hub.engine.leave(hub.subscriber)
        with pytest.raises(ClosedError):
            hub.engine.join(hub.subscriber, "c")

    def test_a_transaction_that_is_refused_as_a_whole_is_an_error_of_joining(self) -> None:
        hub = Hub()
        joining = hub.engine.join(hub.subscriber, "a")
        hub.asked("XREVRANGE", "a")
        no = reply_error("NOPERM no PTTL")
        hub.pair.peer("history").answer(Simple("OK"), QUEUED, no, QUEUED, reply_error("EXECABORT discarded"))
        with pytest.raises(Exception, match="NOPERM"):
            joining.poll()
        assert NEVER < 0
