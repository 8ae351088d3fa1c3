"""What an adversary found in the consumer, so that it stays found."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.events import Event, Gap, StreamReset
from tests.core.model import Server
from tests.core.net import Fate, Net
from tests.core.pair import Pair, entry


def following(server: Server, streams: dict[str, str], **options: Any) -> tuple[Consumer[Any], Net]:
    consumer: Consumer[Any] = Consumer(streams, block=1.0, random=lambda: 0.5, **options)
    return consumer, Net(server, consumer)


def take_all(consumer: Consumer[Any], net: Net, *, rounds: int = 8) -> list[tuple[bytes, int]]:
    taken: list[tuple[bytes, int]] = []
    for _ in range(rounds):
        while (batch := consumer.take()) is not None:
            taken += [(batch.key, one.id.ms) for one in batch]
            net.serve()
        net.advance(1.1)
    return taken


def append(server: Server, stream: str, *ids: int, **fields: str) -> None:
    for number in ids:
        server.add(stream, f"{number}-0", **fields)


def gaps(events: list[Event]) -> list[Gap]:
    return [event for event in events if isinstance(event, Gap)]


@pytest.mark.parametrize("forbidden", [set[bytes](), {b"XINFO STREAM"}])
def test_ids_that_will_never_be_proven_are_not_remembered(forbidden: set[bytes]) -> None:
    server = Server()
    server.forbidden |= forbidden
    consumer, net = following(server, {"s": "0"}, detect_gaps=bool(forbidden))
    for number in range(100):
        append(server, "s", number + 1)
        net.serve()
        while consumer.take() is not None:
            net.serve()
    continuity = consumer._streams[b"s"].continuity  # what it holds is the question
    unproven = [] if continuity is None else continuity._ids
    assert len(unproven) < 10, "it grows by every entry for ever"


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


@pytest.mark.parametrize("refused", [True, False])
def test_a_seek_that_was_refused_or_given_up_does_not_silence_the_stream(refused: bool) -> None:
    server = Server()
    append(server, "s", 1)
    consumer, net = following(server, {"s": "0"})
    assert take_all(consumer, net) == [(b"s", 1)]
    if refused:
        server.forbidden.add(b"XINFO STREAM")
    change = consumer.seek("s", "$")
    if refused:
        net.serve()
        net.advance(1.0)
        server.forbidden.clear()
    consumer.give_up(change)
    net.serve()
    append(server, "s", 2)
    net.serve()
    assert take_all(consumer, net) == [(b"s", 2)]
    assert b"s" in consumer.cursor()


def test_an_interruption_ends_with_the_read_even_if_that_was_lost_with_its_connection() -> None:
    server = Server()
    consumer, net = following(server, {"s": "0"})
    consumer.pause()
    consumer.add_stream("t", "0")
    net.cut("main", Fate.REQUESTS_LOST)
    net.serve()
    net.advance(1.0)
    server.seen.clear()
    net.advance(5.0)
    unblocks = [command for command in server.seen if command[:2] == [b"CLIENT", b"UNBLOCK"]]
    assert len(unblocks) < 5, "a command each 10 ms for as long as the consumer is paused"


def test_an_interruption_does_not_keep_the_timer_busy_while_the_server_is_away() -> None:
    server = Server()
    consumer, net = following(server, {"s": "0"})
    change = consumer.add_stream("t", "0")
    assert change is not None
    net.pair.refusal = OSError("refused")
    net.cut("main", Fate.REQUESTS_LOST)
    consumer.give_up(change)
    told = 0
    while net.pair.now < 1030.0 and told < 1000:
        net.pair.advance(0.01)
        told += (consumer.next_timeout() or 2000.0) - net.pair.now <= 0.011
    assert told < 200, "it wakes a hundred times a second"


def test_one_loss_is_one_gap() -> None:
    server = Server()
    append(server, "s", *range(1, 11))
    server.do("XTRIM", "s", "MAXLEN", 4)
    consumer, net = following(server, {"s": "3-0"}, count=2)
    assert [id_ for _, id_ in take_all(consumer, net)] == [7, 8, 9, 10]
    assert len(gaps(net.pair.events())) == 1


def test_entries_of_a_stream_that_began_anew_with_higher_ids_come_once() -> None:
    server = Server()
    append(server, "s", *range(1, 11))
    consumer, net = following(server, {"s": "0"}, on_rewind="restart")
    taken = take_all(consumer, net)
    server.do("DEL", "s")
    append(server, "s", 11)
    net.serve()
    taken += take_all(consumer, net)
    append(server, "s", 12)
    net.serve()
    taken += take_all(consumer, net)
    assert [id_ for _, id_ in taken] == list(range(1, 13))
    rewound = [event for event in net.pair.events() if isinstance(event, StreamReset)]
    assert all(event.last < event.cursor for event in rewound), "it is told to end before a cursor at which it ends"
