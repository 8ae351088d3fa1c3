"""Channels that are trimmed, deleted, or begin anew while they are read."""

from __future__ import annotations

from streamcore.entries import StreamId
from streamcore.errors import reply_error
from streamcore.events import Degraded, Disconnected, Gap, Reconnected, StreamReset
from tests.core.support.hubs import NO_KEY, Hub, joined, message
from tests.core.support.streams import info


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
        followed = hub.engine._channels.cursor(b"a")
        assert followed is not None
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
