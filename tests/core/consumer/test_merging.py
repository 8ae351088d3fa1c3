"""Entries of several streams in the order of their ids."""

from __future__ import annotations

from streamcore.consumer.consumer import Consumer
from streamcore.testing.pair import Pair
from streamcore.testing.resp import entry
from tests.core.support.consumers import ids, read, reading
from tests.core.support.followers import append, following, take_all
from tests.core.support.server import Server
from tests.core.support.streams import info


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


def test_what_was_held_for_a_stream_is_released_when_that_stream_is_removed() -> None:
    server = Server()
    append(server, "a", 1, 2, 3, 4)
    append(server, "b", 9)
    consumer, net = following(server, {"a": "0", "b": "0"}, merge="id", count=2, prefetch=1, detect_gaps=False)
    consumer.remove_stream("a")
    net.serve()
    append(server, "b", 10)
    assert take_all(consumer, net) == [(b"b", 9), (b"b", 10)]


def test_time_for_latecomers_is_not_spent_in_a_busy_loop() -> None:
    pair = Pair(Consumer({"a": "0", "b": "0"}, merge="id", merge_wait=1.0, count=2, block=5.0, detect_gaps=False))
    pair.server.expect("XREAD")
    pair.server.answer({"a": [entry("1-0"), entry("2-0")]})
    for _ in range(3):  # at the same moment
        if not pair.server.commands:
            return
        command = pair.server.expect("XREAD")
        if b"BLOCK" in command:
            return
        pair.server.answer(None)
    raise AssertionError("an empty stream is read again and again, without BLOCK")


def test_merged_entries_are_in_order_with_what_the_server_had_at_the_time_of_the_read() -> None:
    server = Server()
    append(server, "a", 1, 2)
    append(server, "b", 5)
    consumer, net = following(server, {"a": "0", "b": "0"}, merge="id", count=2, prefetch=1, detect_gaps=False)
    first = consumer.take()
    assert first is not None
    append(server, "a", 3)
    append(server, "b", 6)
    append(server, "a", 7)  # the read that brings 7 comes when 6 is there
    net.serve()
    assert [id_ for _, id_ in take_all(consumer, net)] == [3, 5, 6, 7]


def test_a_merging_consumer_keeps_to_prefetch_bytes() -> None:
    server = Server()
    append(server, "a", *range(1, 50), f="x" * 1000)
    consumer, _ = following(
        server, {"a": "0"}, merge="id", count=1, prefetch=40, prefetch_bytes=3000, detect_gaps=False
    )
    assert len(consumer.readers[0].prefetch) < 10


def test_merged_entries_are_decoded() -> None:
    consumer = Consumer({"s": "0"}, merge="id", decode="utf-8", detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("1-0")]})
    batch = consumer.take()
    assert batch is not None
    assert (batch.stream, batch[0].fields) == ("s", {"f": "v"})
