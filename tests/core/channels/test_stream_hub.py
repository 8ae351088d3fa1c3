"""The hub of streams: joining, live, behind, and what happens to the history meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.channels import Naming, Settings, StreamHub
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
from streamcore.events import Connected, Disconnected, Gap, Reconnected
from streamcore.testing.pair import Pair
from streamcore.testing.resp import HELLO, Simple
from tests.core.support.hubs import GONE, NEVER, NO_KEY, QUEUED, WRONG, Hub, joined, message
from tests.core.support.streams import info


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
        assert not hub.engine._channels._readers.of(b"a").changes

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
        assert hub.engine._channels.cursor(b"a") is None

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
        assert hub.engine._channels.cursor(b"a") is None

    def test_a_gap_of_a_channel_that_was_left_is_nobodys(self) -> None:
        hub = joined()
        hub.seen()
        hub.engine._channels.emit(Gap(b"gone", StreamId(1, 0), None, None))
        assert hub.seen() == []
        followed = hub.engine._channels.cursor(b"a")
        assert followed is not None
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
