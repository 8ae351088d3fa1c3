"""Streams that are added, sought and removed while a consumer reads; and its ways to stop and to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.consumer.options import Interruption
from streamcore.entries import StreamId
from streamcore.errors import (
    ClosedError,
    ConnectionLost,
    InvalidArgument,
    NoPermissionError,
    StreamResetError,
    WrongTypeError,
    reply_error,
)
from streamcore.events import Connected, Disconnected
from streamcore.options import Options
from streamcore.reading.portions import UNKNOWN
from tests.core.pair import Pair, entry
from tests.core.streams import info

unwatched = partial(Consumer[Any], detect_gaps=False)
NO_KEY = reply_error("ERR no such key")


def ids(consumer: Consumer[Any]) -> list[str]:
    return [str(one.id) for batch in iter(consumer.take, None) for one in batch]


def read(pair: Pair) -> tuple[list[bytes], list[bytes]]:
    """The streams and the ids of the read that the server gets now, and whatever was in front of it is dropped."""
    pair.settle()
    while pair.server.commands[0][0] != b"XREAD":
        pair.server.commands.popleft()
    command = pair.server.commands.popleft()
    rest = command[command.index(b"STREAMS") + 1 :]
    return rest[: len(rest) // 2], rest[len(rest) // 2 :]


def reading(streams: Any = "s", **options: Any) -> tuple[Consumer[Any], Pair]:
    """A consumer that waits in the server."""
    consumer = unwatched({streams: "0"} if isinstance(streams, str) else streams, **options)
    pair = Pair(consumer)
    read(pair)
    return consumer, pair


class TestWhereToStart:
    @pytest.mark.parametrize(
        ("place", "cursor"),
        [
            (5000, "4999-18446744073709551615"),
            (datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), "4999-18446744073709551615"),
            (0, "0-0"),
            (b"5-1", "5-1"),
        ],
    )
    def test_a_moment_is_included_and_an_id_is_not(self, place: Any, cursor: str) -> None:
        assert read(Pair(unwatched({"s": place}))) == ([b"s"], [cursor.encode()])

    @pytest.mark.parametrize(
        ("said", "cursor"),
        [
            (info("7-3", length=2, first="1-0"), "7-2"),
            (info("7-0", length=2, first="1-0", newest="5-0"), "4-18446744073709551615"),
            (info("7-0", added=4), "7-0"),
            (NO_KEY, "0-0"),
        ],
    )
    def test_the_last_entry_that_is_there(self, said: Any, cursor: str) -> None:
        pair = Pair(unwatched({"s": "+"}))
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(said)
        assert read(pair) == ([b"s"], [cursor.encode()])


class TestAdding:
    def test_a_read_that_blocks_is_ended_at_once(self) -> None:
        consumer, pair = reading()
        change = consumer.add_stream("t", "5")
        assert change is not None
        pair.settle()
        control = pair.peer("control")
        control.expect("CLIENT", "UNBLOCK", 7)
        assert not change.poll()
        pair.server.answer(None)
        control.answer(1)
        pair.server.expect("XINFO", "STREAM", "t")
        pair.server.answer(NO_KEY)
        assert change.poll()
        assert read(pair) == ([b"s", b"t"], [b"0-0", b"5-0"])
        assert not consumer.idle, "it was ended by us"
        assert consumer.cursor() == {b"s": StreamId(0), b"t": StreamId(5)}

    def test_the_server_may_come_to_it_before_it_has_come_to_the_read(self) -> None:
        consumer, pair = reading()
        consumer.add_stream("t")
        pair.settle()
        control = pair.peer("control")
        control.expect("CLIENT", "UNBLOCK", 7)
        control.answer(0)
        control.expect_nothing()
        pair.advance(0.02)
        control.expect("CLIENT", "UNBLOCK", 7)
        pair.server.answer(None)
        control.answer(1)
        pair.advance(1.0)
        control.expect_nothing()

    def test_another_read_is_ended_over_the_same_link(self) -> None:
        consumer, pair = reading()
        for number, stream in enumerate(("t", "u")):
            consumer.add_stream(stream, "0")
            pair.settle()
            pair.peer("control").expect("CLIENT", "UNBLOCK", 7)
            pair.server.answer(None)
            pair.peer("control").answer(1)
            pair.server.answer(NO_KEY)
            assert len(consumer.cursor()) == 2 + number
        assert len(consumer.links()) == 2

    def test_a_timer_that_comes_too_early_asks_nothing(self) -> None:
        consumer, pair = reading()
        consumer.add_stream("t")
        pair.settle()
        pair.peer("control").expect("CLIENT", "UNBLOCK", 7)
        consumer.handle_timeout(pair.now)
        pair.settle()
        pair.peer("control").expect_nothing()

    def test_a_control_link_that_is_deaf_is_found_within_the_request_timeout(self) -> None:
        consumer, pair = reading(options=Options(request_timeout=0.5))
        consumer.add_stream("t")
        pair.settle()
        pair.peer("control").expect("CLIENT", "UNBLOCK", 7)
        pair.advance(0.51)
        lost = [event for event in pair.events() if isinstance(event, Disconnected)]
        assert [event.link for event in lost] == ["control"]

    def test_where_that_is_forbidden_the_connection_is_dropped_instead(self) -> None:
        consumer, pair = reading()
        change = consumer.add_stream("t", "0")
        assert change is not None
        pair.settle()
        pair.peer("control").answer(NoPermissionError("NOPERM", "no"))
        pair.advance(1.0)
        pair.server.expect("XINFO", "STREAM", "t")
        pair.server.answer(NO_KEY)
        assert change.poll()
        assert read(pair) == ([b"s", b"t"], [b"0-0", b"0-0"])
        kinds = [type(event) for event in pair.events()]
        assert kinds.count(Disconnected) == 1
        assert kinds.count(Connected) == 2

    def test_while_nothing_blocks_it_waits_for_the_next_read(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.add_stream("t", "0")
        assert change is not None
        pair.settle()
        pair.server.expect("XINFO", "STREAM", "t")
        pair.server.answer(info("3-0", length=3, first="1-0"))
        assert change.poll()
        assert ids(consumer) == ["1-0"]
        assert read(pair) == ([b"s", b"t"], [b"1-0", b"0-0"])
        assert len(consumer.links()) == 1

    def test_a_stream_that_cannot_be_followed_leaves_no_trace(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.add_stream("t")
        assert change is not None
        pair.settle()
        pair.server.answer(WrongTypeError("WRONGTYPE", "no stream"))
        with pytest.raises(WrongTypeError):
            change.poll()
        assert ids(consumer) == ["1-0"]
        assert read(pair) == ([b"s"], [b"1-0"])
        assert consumer.add_stream("t") is not None, "one may try again"

    def test_what_the_server_says_of_it_matters_only_where_one_has_to_know(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.add_stream("t", "5")
        assert change is not None
        pair.settle()
        pair.server.answer(NoPermissionError("NOPERM", "no"))
        assert change.poll()
        assert consumer.cursor()[b"t"] == StreamId(5)

    @pytest.mark.parametrize("how", ["add", "seek"])
    def test_a_place_behind_the_streams_end_is_the_changes_error_and_not_the_consumers(self, how: str) -> None:
        consumer = Consumer[Any]({"s": "0"}, prefetch=1)
        pair = Pair(consumer)
        pair.server.answer(info("9-0", length=9, first="1-0"))
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.add_stream("t", "99") if how == "add" else consumer.seek("s", "99")
        assert change is not None
        pair.settle()
        pair.server.answer([], info("9-0", length=9, first="1-0"))
        with pytest.raises(StreamResetError, match="ends at 9-0, before 99-0"):
            change.poll()
        assert consumer.error is None
        assert list(consumer.cursor()) == [b"s"]
        consumer.take()
        assert read(pair)[0] == [b"s"]

    def test_one_that_nobody_waits_for_any_more_leaves_none_either(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        first, second = consumer.add_stream("t"), consumer.add_stream("u", "0")
        assert first is not None
        assert second is not None
        pair.settle()
        consumer.give_up(first)
        consumer.give_up(first)
        pair.server.answer(info("3-0"))
        pair.server.answer(info("3-0"))
        assert second.poll()
        consumer.take()
        assert read(pair) == ([b"s", b"u"], [b"1-0", b"0-0"])

    def test_one_that_is_followed_already(self) -> None:
        consumer, _ = reading()
        assert consumer.add_stream(b"s") is None
        with pytest.raises(InvalidArgument, match=r"followed already; seek\(\) goes to another place"):
            consumer.add_stream("s", "0")
        assert consumer.add_stream("t") is not None
        assert consumer.add_stream("t") is None, "it is being added"
        with pytest.raises(InvalidArgument, match="stream is empty"):
            consumer.add_stream("")
        consumer.close()
        for use in (
            lambda: consumer.add_stream("u"),
            lambda: consumer.remove_stream("s"),
            lambda: consumer.seek("s", 0),
        ):
            with pytest.raises(ClosedError):
                use()

    def test_it_waits_for_a_connection(self) -> None:
        consumer, pair = reading()
        pair.server.close()
        change = consumer.add_stream("t", "0")
        assert change is not None
        pair.advance(1.0)
        pair.server.expect("XINFO", "STREAM", "t")
        pair.server.answer(NO_KEY)
        assert change.poll()


class TestSeeking:
    def test_what_was_read_ahead_is_dropped_and_what_is_on_its_way_too(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, prefetch=9)
        pair.server.answer({"s": [entry("1-0")], "t": [entry("1-5")]})
        consumer.seek("s", "50")
        assert ids(consumer) == ["1-5"]
        pair.server.answer({"s": [entry("2-0")], "t": [entry("2-5")]})
        pair.server.answer(info("60-0", length=9, first="1-0"))
        pair.server.commands.clear()
        assert ids(consumer) == ["2-5"]
        assert consumer.cursor() == {b"s": StreamId(50), b"t": StreamId(2, 5)}

    def test_a_read_that_blocks_is_ended(self) -> None:
        consumer, pair = reading()
        consumer.seek("s", "0")
        pair.settle()
        pair.peer("control").expect("CLIENT", "UNBLOCK", 7)

    def test_one_may_seek_the_end(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.seek("s", "$")
        assert consumer.cursor() == {b"s": StreamId(0)}
        pair.settle()
        pair.server.answer(info("9-0", length=9, first="1-0"))
        assert change.poll()
        assert read(pair) == ([b"s"], [b"9-0"])

    @pytest.mark.parametrize("how", ["refused", "given up"])
    def test_where_that_cannot_be_it_goes_on_where_it_was(self, how: str) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0"), entry("2-0")]})
        change = consumer.seek("s", "$")
        pair.settle()
        if how == "given up":
            consumer.give_up(change)
        pair.server.answer(WrongTypeError("WRONGTYPE", "no stream"))
        pair.server.commands.clear()
        if how == "refused":
            with pytest.raises(WrongTypeError):
                change.poll()
        consumer.take()
        pair.settle()
        pair.server.close()
        pair.advance(1.0)
        assert read(pair) == ([b"s"], [b"0-0"])

    def test_the_last_of_several_wins(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        overtaken = consumer.seek("s", "$")
        consumer.seek("s", "50")
        assert overtaken.poll(), "its caller waits no more"
        pair.settle()
        pair.server.answer(info("60-0"))
        pair.server.answer(info("60-0"))
        pair.settle()
        assert consumer.cursor() == {b"s": StreamId(50)}

    def test_what_is_not_followed_cannot_be_sought(self) -> None:
        consumer, _ = reading()
        with pytest.raises(InvalidArgument, match=r"stream 't' is not followed; add_stream\(\) adds it"):
            consumer.seek("t", "0")


class TestRemoving:
    def test_it_is_not_read_any_more_and_what_was_read_ahead_is_dropped(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, prefetch=9)
        pair.server.answer({"s": [entry("1-0")], "t": [entry("1-5")]})
        read(pair)
        assert consumer.remove_stream("s")
        assert not consumer.remove_stream("s")
        pair.server.answer({"s": [entry("2-0")], "t": [entry("2-5")]})
        assert ids(consumer) == ["1-5", "2-5"]
        assert read(pair) == ([b"t"], [b"2-5"])

    def test_without_any_stream_nothing_is_read_until_there_is_one(self) -> None:
        consumer, pair = reading()
        consumer.remove_stream("s")
        pair.server.answer(None)
        pair.advance(12.0)
        assert {command[0] for command in pair.server.commands} == {b"PING"}
        pair.server.answer(b"PONG")
        pair.server.commands.clear()
        consumer.add_stream("t", "0")
        pair.settle()
        pair.server.answer(NO_KEY)
        assert read(pair) == ([b"t"], [b"0-0"])

    def test_one_that_is_being_sought(self) -> None:
        consumer, pair = reading(prefetch=1)
        pair.server.answer({"s": [entry("1-0")]})
        change = consumer.seek("s", "$")
        consumer.remove_stream("s")
        assert change.poll()
        pair.settle()
        pair.server.answer(info("3-0"))
        assert consumer.cursor() == {}


class TestTheCursor:
    def test_the_last_batch_does_not_count_if_it_was_kept_back(self) -> None:
        consumer, pair = reading(prefetch=5)
        pair.server.answer({"s": [entry("1-0"), entry("2-0")]})
        pair.server.answer({"s": [entry("3-0"), entry("4-0")]})
        consumer.take()
        kept = consumer.take()
        assert (consumer.cursor(), consumer.cursor(kept)) == ({b"s": StreamId(4)}, {b"s": StreamId(2)})
        consumer.remove_stream("s")
        assert consumer.cursor(kept) == {}


class TestPausing:
    def test_nothing_is_handed_over_and_nothing_more_is_read(self) -> None:
        consumer, pair = reading(prefetch=5)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.commands.clear()
        consumer.pause()
        assert (consumer.take(), consumer.has_batch) == (None, False)
        pair.server.answer({"s": [entry("2-0")]})
        pair.server.expect_nothing()
        consumer.resume()
        assert ids(consumer) == ["1-0", "2-0"]
        assert read(pair) == ([b"s"], [b"2-0"])

    def test_a_pause_is_no_end(self) -> None:
        consumer, pair = reading(stop_on_idle=True)
        consumer.pause()
        pair.server.answer(None)
        assert consumer.interruption() is None
        consumer.resume()
        assert consumer.interruption() is Interruption.ENDED

    def test_an_error_is_raised_all_the_same(self) -> None:
        consumer, _ = reading()
        consumer.pause()
        consumer.close()
        with pytest.raises(ClosedError):
            consumer.take()


class TestIdling:
    def test_an_empty_read_is_noticed(self) -> None:
        consumer, pair = reading()
        assert not consumer.idle
        pair.server.answer(None)
        assert (consumer.idle, consumer.ended) == (True, False)
        assert read(pair) == ([b"s"], [b"0-0"])

    def test_or_ends_the_reading_until_somebody_begins_again(self) -> None:
        consumer, pair = reading(stop_on_idle=True)
        pair.server.answer({"s": [entry("1-0")]})
        read(pair)
        pair.server.answer(None)
        pair.server.expect_nothing()
        assert consumer.ended
        assert ids(consumer) == ["1-0"]
        consumer.begin()
        assert (consumer.idle, consumer.ended) == (False, False)
        assert read(pair) == ([b"s"], [b"1-0"])
        consumer.begin()
        pair.server.expect_nothing()

    def test_without_waiting_in_the_server(self) -> None:
        consumer = unwatched({"s": "0"}, block=None, stop_on_idle=True)
        pair = Pair(consumer)
        pair.server.expect("XREAD", "COUNT", 100, "STREAMS", "s", "0-0")
        pair.server.answer(None)
        assert consumer.ended


class TestInterruptions:
    def test_an_idle_read_is_told_once_and_an_end_until_one_begins_again(self) -> None:
        consumer, pair = reading()
        assert consumer.interruption() is None
        pair.server.answer(None)
        assert [consumer.interruption(), consumer.interruption()] == [Interruption.IDLE, None]
        consumer, pair = reading(stop_on_idle=True)
        pair.server.answer(None)
        assert [consumer.interruption(), consumer.interruption()] == [Interruption.ENDED, Interruption.ENDED]
        consumer.begin()
        assert consumer.interruption() is None

    @pytest.mark.parametrize("how", ["raise", "yield"])
    def test_a_disconnection_is_told_if_asked_for(self, how: Any) -> None:
        consumer, pair = reading(on_disconnect=how)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.close(OSError("reset"))
        pair.advance(1.0)
        told = consumer.interruption()
        assert isinstance(told, ConnectionLost)
        assert "reset" in str(told)
        assert consumer.interruption() is None
        pair.greets = False
        pair.server.close()
        pair.advance(3.0)
        assert isinstance(consumer.interruption(), ConnectionLost)
        assert consumer.interruption() is None, "what was not up was not lost"

    def test_and_not_otherwise(self) -> None:
        consumer, pair = reading()
        pair.server.close()
        assert consumer.interruption() is None

    def test_the_control_link_is_nobodys_business(self) -> None:
        consumer, pair = reading(on_disconnect="raise")
        consumer.seek("s", "0")
        pair.settle()
        pair.peer("control").close()
        assert consumer.interruption() is None


class TestMerging:
    def test_entries_of_several_streams_come_in_the_order_of_their_ids(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, merge="id", count=2, prefetch=1)
        pair.server.answer({"s": [entry("1-0"), entry("4-0")], "t": [entry("2-0"), entry("9-0")]})
        assert ids(consumer) == ["1-0", "2-0", "4-0"]
        pair.settle()
        pair.server.expect("XREAD", "COUNT", 2, "STREAMS", "s", "4-0")
        pair.server.answer({"s": [entry("5-0")]})
        assert ids(consumer) == ["5-0", "9-0"]
        pair.settle()
        pair.server.expect("XREAD", "COUNT", 2, "STREAMS", "s", "t", "5-0", "9-0")

    def test_latecomers_are_waited_for(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, merge="id", merge_wait=2.0)
        pair.server.answer({"s": [entry("5-0")]})
        pair.server.expect("XREAD", "COUNT", 100, "BLOCK", 2000, "STREAMS", "t", "0-0")
        assert consumer.take() is None
        pair.advance(1.0)
        pair.server.answer({"t": [entry("4-0")]})
        assert ids(consumer) == ["4-0"]
        pair.advance(1.1)
        assert ids(consumer) == ["5-0"]

    def test_a_held_entry_is_not_idleness(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, merge="id", merge_wait=2.0, stop_on_idle=True)
        pair.server.answer({"s": [entry("5-0")]})
        pair.server.answer(None)
        assert not consumer.ended
        pair.advance(2.1)
        assert ids(consumer) == ["5-0"]

    def test_a_stream_that_is_removed_takes_along_what_it_holds(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, merge="id", count=1, prefetch=9)
        pair.server.answer({"s": [entry("1-0")], "t": [entry("9-0")]})
        assert ids(consumer) == ["1-0"]
        consumer.remove_stream("t")
        pair.server.answer(None)
        assert ids(consumer) == []
        assert read(pair) == ([b"s"], [b"1-0"])

    def test_a_stream_that_is_sought_drops_what_it_holds(self) -> None:
        consumer, pair = reading({"s": "0", "t": "0"}, merge="id", count=1, prefetch=9)
        pair.server.answer({"s": [entry("1-0")], "t": [entry("9-0")]})
        assert ids(consumer) == ["1-0"]
        consumer.seek("t", "20")
        assert read(pair) == ([b"s"], [b"1-0"])
        pair.server.answer(None)
        pair.server.expect("XINFO", "STREAM", "t")
        pair.server.answer(info("30-0"))
        assert ids(consumer) == []
        assert read(pair) == ([b"s", b"t"], [b"1-0", b"20-0"])

    def test_the_runs_of_one_read_count_as_one(self) -> None:
        _, pair = reading({"s": "0", "t": "0"}, merge="id", prefetch=2)
        pair.server.answer({"s": [entry("1-0"), entry("3-0")], "t": [entry("2-0"), entry("4-0")]})
        read(pair)
        pair.server.answer({"s": [entry("5-0")], "t": [entry("6-0")]})
        pair.server.expect_nothing()


def test_streams_are_asked_about_in_pages_whose_answers_fit() -> None:
    consumer: Consumer[Any] = Consumer(dict.fromkeys("abcde", "0"), prefetch_bytes=UNKNOWN * 8)
    pair = Pair(consumer)
    for page in (b"ab", b"cd", b"e"):
        assert [command[2] for command in pair.server.commands] == [bytes([name]) for name in page]
        for _ in page:
            pair.server.expect("XINFO", "STREAM")
        pair.server.answer(*(info("0-0") for _ in page))
        pair.settle()
    pair.server.expect("XREAD")
