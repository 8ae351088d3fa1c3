from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.entries import Batch, StreamId
from streamcore.errors import InvalidArgument, LoadingError, ReplyError, ReplyTooLarge, UnblockedError, WrongTypeError
from streamcore.events import ConnectAttemptFailed, Disconnected, Reconnected
from streamcore.options import Login, Options
from streamcore.testing.pair import Pair
from streamcore.testing.resp import entry
from tests.core.support.followers import append, following
from tests.core.support.server import Server
from tests.core.support.streams import info

unwatched = partial(Consumer[Any], detect_gaps=False)
READ = ("XREAD", "COUNT", 100, "BLOCK", 5000, "STREAMS")
NO_KEY = ReplyError("ERR", "no such key")


def ids(batch: Batch[Any] | None) -> list[str]:
    return [] if batch is None else [str(entry.id) for entry in batch]


def take_all(consumer: Consumer[Any]) -> list[str]:
    """The ids of everything that has arrived."""
    taken: list[str] = []
    while batch := consumer.take():
        taken += ids(batch)
    return taken


def test_an_entry_that_is_too_large_by_itself_ends_the_consumer() -> None:
    consumer = unwatched({"s": "0"}, count=1, options=Options(max_reply=1000))
    pair = Pair(consumer)
    pair.server.expect("XREAD", "COUNT", 1)
    pair.server.reply(b"$2000\r\n" + b"x" * 1500)
    with pytest.raises(ReplyTooLarge, match="limit of 1000 bytes"):
        consumer.take()


class TestStarting:
    def test_at_an_id_or_at_the_beginning(self) -> None:
        consumer = unwatched({"a": "5-1", "b": "0", b"c": StreamId(7)})
        Pair(consumer).server.expect(*READ, "a", "b", "c", "5-1", "0-0", "7-0")
        assert consumer.is_ready
        assert consumer.cursor() == {b"a": StreamId(5, 1), b"b": StreamId(0), b"c": StreamId(7)}

    @pytest.mark.parametrize("streams", ["s", b"s", ["s"], {"s": "$"}])
    def test_at_the_end_which_is_looked_up(self, streams: Any) -> None:
        consumer = unwatched(streams)
        pair = Pair(consumer)
        assert (consumer.is_ready, consumer.cursor()) == (False, {})
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(info("9-2", length=3))
        pair.server.expect(*READ, "s", "9-2")
        assert (consumer.is_ready, consumer.cursor()) == (True, {b"s": StreamId(9, 2)})

    def test_a_stream_that_does_not_exist_yet_starts_at_its_beginning(self) -> None:
        consumer = unwatched("s")
        pair = Pair(consumer)
        pair.server.answer(NO_KEY)
        pair.server.expect("XINFO")
        pair.server.expect(*READ, "s", "0-0")
        assert consumer.cursor() == {b"s": StreamId(0)}

    def test_the_end_is_looked_up_once_and_never_again(self) -> None:
        consumer = unwatched({"a": "$", "b": "$", "c": "3"})
        pair = Pair(consumer)
        for _ in range(2):
            pair.server.expect("XINFO", "STREAM", "a")
            pair.server.expect("XINFO", "STREAM", "b")
            pair.server.answer(info("5-0"))
            pair.server.close()
            pair.advance(1.0)
        assert not consumer.is_ready
        pair.server.expect("XINFO", "STREAM", "a")
        pair.server.expect("XINFO", "STREAM", "b")
        pair.server.answer(info("5-0"), info("6-0"))
        for _ in range(3):
            pair.server.expect(*READ, "a", "b", "c", "5-0", "6-0", "3-0")
            pair.server.expect_nothing()
            pair.server.close()
            pair.advance(3.5)

    @pytest.mark.parametrize(
        ("streams", "options", "why"),
        [
            ("", {}, "stream is empty"),
            ([], {}, "no stream was given"),
            ({}, {}, "no stream was given"),
            (["s", b"s"], {}, "stream 's' is named twice"),
            ({"s": "x"}, {}, "'x' is not a stream id"),
            ({"s": ""}, {}, "'' is not a stream id"),
            ({"s": ">"}, {}, "'>' is not a stream id"),
            ({"s": -5}, {}, "start must be at least 0, not -5"),
            ({"s": datetime(2026, 1, 1)}, {}, "start is a datetime without a timezone"),  # noqa: DTZ001
            ({"s": None}, {}, "start: None is not a stream id"),
            ({"s": 1.5}, {}, "start: 1.5 is not a stream id"),
            ("s", {"merge": "time"}, "merge must be None or 'id', not 'time'"),
            ("s", {"merge_wait": 1}, "merge_wait is for merge='id'"),
            ("s", {"merge": "id", "merge_wait": -1}, "merge_wait must be at least 0 seconds"),
            ("s", {"on_rewind": "ignore"}, "on_rewind must be 'raise' or 'restart', not 'ignore'"),
            ("s", {"block": None}, "block=None would ask for entries all the time"),
            (5, {}, "streams must be one name or several, not 5"),
            ("s", {"count": 0}, "count must be at least 1"),
            ("s", {"block": -1}, "block must be more than 0 seconds"),
            ("s", {"decode": "utf-9"}, "not a text encoding"),
        ],
    )
    def test_bad_arguments(self, streams: Any, options: dict[str, Any], why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            unwatched(streams, **options)


class TestReading:
    def test_the_next_read_leaves_as_soon_as_a_reply_is_in(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer)
        pair.server.expect(*READ, "s", "0-0")
        pair.server.answer({"s": [entry("1-0"), entry("2-0")]})
        pair.server.expect(*READ, "s", "2-0")
        assert ids(consumer.take()) == ["1-0", "2-0"]
        assert consumer.take() is None

    def test_nothing_in_time_is_asked_again(self) -> None:
        pair = Pair(unwatched({"s": "0"}))
        for _ in range(3):
            pair.server.expect(*READ, "s", "0-0")
            pair.server.answer(None)

    def test_an_empty_list_is_no_batch(self) -> None:
        """Redis 7.0 answers so when XADD and XTRIM ran in one transaction."""
        consumer = unwatched({"s": "0", "t": "0"})
        pair = Pair(consumer)
        pair.server.answer({"s": [], "t": [entry("1-0")]})
        pair.server.expect(*READ, "s", "t", "0-0", "0-0")
        pair.server.expect(*READ, "s", "t", "0-0", "1-0")
        assert [batch.stream for batch in iter(consumer.take, None)] == [b"t"]

    def test_entries_are_decoded_as_asked(self) -> None:
        consumer = Consumer({"s": "0"}, decode="utf-8", detect_gaps=False)
        Pair(consumer).server.answer({"s": [entry("1-0", name="größe")]})
        batch = consumer.take()
        assert batch is not None
        assert (batch.stream, batch[0]["name"]) == ("s", "größe")

    def test_count_and_block_are_sent(self) -> None:
        Pair(unwatched({"s": "0"}, count=7, block=0.25)).server.expect("XREAD", "COUNT", 7, "BLOCK", 250, "STREAMS")

    def test_the_cursor_is_what_was_handed_over_and_not_what_was_received(self) -> None:
        consumer = unwatched({"s": "0", "t": "5"})
        pair = Pair(consumer)
        pair.server.answer({"s": [entry("1-0"), entry("2-0")]})
        pair.server.answer({"s": [entry("3-0")], "t": [entry("6-0")]})
        assert consumer.cursor() == {b"s": StreamId(0), b"t": StreamId(5)}
        consumer.take()
        assert consumer.cursor() == {b"s": StreamId(2), b"t": StreamId(5)}
        consumer.take()
        assert consumer.cursor() == {b"s": StreamId(3), b"t": StreamId(5)}
        consumer.take()
        assert consumer.cursor() == {b"s": StreamId(3), b"t": StreamId(6)}

    def test_a_cursor_is_a_place_to_start_from(self) -> None:
        consumer = unwatched({"s": "0", "t": "$"})
        pair = Pair(consumer)
        pair.server.answer(NO_KEY)
        pair.server.answer({"s": [entry("4-2")]})
        consumer.take()
        Pair(unwatched(consumer.cursor())).server.expect(*READ, "s", "t", "4-2", "0-0")

    def test_the_rest_of_a_batch(self) -> None:
        consumer = Consumer({"s": "0"}, decode="utf-8", detect_gaps=False)
        Pair(consumer).server.answer({"s": [entry("1-0"), entry("2-0"), entry("3-0")]})
        batch = consumer.take()
        assert batch is not None
        rest = consumer.split(batch, 1)
        assert (ids(rest), rest.stream) == (["2-0", "3-0"], "s")
        assert rest[0]["f"] == "v"


class TestPrefetching:
    def test_no_more_reads_than_asked_for(self) -> None:
        consumer = unwatched({"s": "0"}, prefetch=2)
        pair = Pair(consumer)
        for n in (1, 2):
            pair.server.expect("XREAD")
            pair.server.answer({"s": [entry(f"{n}-0")]})
        pair.advance(5)
        pair.server.expect_nothing()
        consumer.take()
        pair.settle()
        pair.server.expect(*READ, "s", "2-0")

    def test_no_more_bytes_than_asked_for(self) -> None:
        consumer = unwatched({"s": "0"}, prefetch=100, prefetch_bytes=1000)
        pair = Pair(consumer)
        pair.server.expect("XREAD")
        pair.server.answer({"s": [entry("1-0", f="x" * 600)]})
        pair.server.expect("XREAD")
        pair.server.answer({"s": [entry("2-0", f="x" * 600)]})
        pair.server.expect_nothing()
        consumer.take()
        pair.settle()
        pair.server.expect("XREAD", "COUNT", 1, "BLOCK", 5000, "STREAMS", "s", "2-0")

    def test_the_bytes_of_a_reply_are_shared_by_its_batches(self) -> None:
        consumer = unwatched({"s": "0", "t": "0"})
        Pair(consumer).server.answer({"s": [entry("1-0", f="x" * 1000)], "t": [entry("1-0")]})
        batches = [consumer.take(), consumer.take()]
        assert [batch is not None and 500 < batch.size < 600 for batch in batches] == [True, True]


class TestLosing:
    def test_goes_on_behind_what_was_received_without_loss_or_duplicate(self) -> None:
        consumer = unwatched({"s": "0"}, prefetch=5)
        pair = Pair(consumer)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.answer({"s": [entry("2-0")]})
        assert ids(consumer.take()) == ["1-0"]
        pair.server.close(OSError("reset"))
        pair.advance(0.05)
        pair.server.expect(*READ, "s", "2-0")
        pair.server.answer({"s": [entry("3-0")]})
        assert take_all(consumer) == ["2-0", "3-0"]
        assert [type(event) for event in pair.events()[1:]] == [Disconnected, Reconnected]

    def test_a_half_read_reply_is_read_again(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer)
        pair.server.reply(b"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1")
        pair.server.close()
        pair.advance(0.05)
        pair.server.expect(*READ, "s", "0-0")
        pair.server.answer({"s": [entry("1-0")]})
        assert take_all(consumer) == ["1-0"]

    def test_what_has_arrived_can_be_taken_while_disconnected(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.close()
        assert take_all(consumer) == ["1-0"]

    def test_a_server_that_is_still_loading_is_dialled_again(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer)
        pair.server.answer(LoadingError("LOADING", "Redis is loading the dataset in memory"))
        assert [type(event) for event in pair.events()[1:]] == [Disconnected]
        pair.advance(0.05)
        pair.server.expect(*READ, "s", "0-0")

    def test_unblocked_by_a_change_of_role_or_an_operator_it_reads_again(self) -> None:
        consumer = unwatched({"s": "4"})
        pair = Pair(consumer)
        pair.server.expect("XREAD")
        pair.server.answer(UnblockedError("UNBLOCKED", "force unblock from blocking operation"))
        pair.server.expect(*READ, "s", "4-0")
        pair.server.close()
        pair.advance(0.05)
        pair.server.expect(*READ, "s", "4-0")

    def test_a_read_that_is_not_answered_in_time_drops_the_connection(self) -> None:
        pair = Pair(unwatched({"s": "0"}, options=Options(request_timeout=2.0)))
        pair.advance(6.9)
        assert len(pair.events()) == 1
        pair.advance(0.1)
        assert [type(event) for event in pair.events()] == [Disconnected]

    @pytest.mark.parametrize("start", ["$", "0"])
    def test_the_back_off_grows_until_a_read_is_answered(self, start: str) -> None:
        pair = Pair(unwatched({"s": start}))
        for attempt in range(1, 4):
            pair.server.answer(LoadingError("LOADING", "Redis is loading"))
            assert pair.server.link.attempts == attempt
            pair.advance(1.0)
        if start == "$":
            pair.server.answer(info())
        assert pair.server.link.attempts == 4
        pair.server.answer(None)
        assert pair.server.link.attempts == 0

    def test_a_server_that_is_not_there_is_reported(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer, dials=False)
        pair.refusal, pair.dials = OSError("refused"), True
        pair.settle()
        assert [type(event) for event in pair.events()] == [ConnectAttemptFailed]
        assert not consumer.is_ready


class TestEnding:
    @pytest.mark.parametrize("start", ["0", "$"])
    def test_a_key_of_another_type_ends_it(self, start: str) -> None:
        consumer = unwatched({"s": start})
        pair = Pair(consumer)
        pair.server.answer(WrongTypeError("WRONGTYPE", "Operation against a key holding the wrong kind of value"))
        with pytest.raises(WrongTypeError, match="in reply to X"):
            consumer.take()
        assert consumer.closed

    def test_what_arrived_before_the_error_is_handed_over_first(self) -> None:
        consumer = unwatched({"s": "0"})
        pair = Pair(consumer)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.answer(WrongTypeError("WRONGTYPE", "Operation against a key"))
        assert ids(consumer.take()) == ["1-0"]
        with pytest.raises(WrongTypeError):
            consumer.take()

    def test_a_wrong_password_ends_it(self) -> None:
        consumer = unwatched({"s": "0"}, login=Login(password="guess"))
        pair = Pair(consumer, greets=False)
        pair.server.expect("HELLO")
        pair.server.answer(ReplyError("WRONGPASS", "invalid username-password pair"))
        with pytest.raises(ReplyError, match="WRONGPASS"):
            consumer.take()


def test_the_error_of_a_read_names_its_command() -> None:
    consumer = Consumer({"s": "0"}, detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer(WrongTypeError("WRONGTYPE", "Operation against a key"))
    with pytest.raises(ReplyError) as caught:
        consumer.take()
    assert caught.value.command == "XREAD"


def test_a_batch_that_is_put_back_was_not_handed_over() -> None:
    server = Server()
    append(server, "s", 1, 2, 3, 4, 5)
    consumer, net = following(server, {"s": "0"}, count=3)
    net.serve()
    first = consumer.take()
    assert first is not None
    consumer.put_back(first)
    assert consumer.cursor()[b"s"] < first[0].id, "who saves it now and dies shall read the batch again"
    taken = consumer.take()
    assert taken is first
    consumer.put_back(consumer.split(first, 1))
    assert first[0].id <= consumer.cursor()[b"s"] < first[1].id
    assert consumer.take() is not None
    assert consumer.cursor()[b"s"] == first[2].id
    net.serve()
    second = consumer.take()
    assert second is not None
    consumer.put_back(first)
    assert consumer.cursor()[b"s"] == second[-1].id, "that was not the last one"
    consumer.remove_stream("s")
    consumer.put_back(first)
    assert consumer.cursor() == {}
