from __future__ import annotations

from typing import Any, Final

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.entries import StreamId
from streamcore.errors import LoadingError, NoPermissionError, StreamResetError, WrongTypeError
from streamcore.events import Degraded, Gap, StreamReset
from streamcore.testing.pair import Pair
from streamcore.testing.resp import entry
from tests.core.support.followers import append, following, gaps, take_all
from tests.core.support.server import Server
from tests.core.support.streams import info

FORBIDDEN = NoPermissionError("NOPERM", "no permissions")


def started(streams: Any, *answers: Any, **options: Any) -> tuple[Consumer[Any], Pair]:
    """A consumer that has entered, with the server's word on each stream."""
    consumer = Consumer[Any](streams, **options)
    pair = Pair(consumer)
    for _ in answers:
        pair.server.expect("XINFO", "STREAM")
    pair.server.answer(*answers)
    return consumer, pair


def resumed(anchor: Any, said: Any, **options: Any) -> tuple[Consumer[Any], Pair]:
    """A consumer of ``s`` that goes on behind 3-0, with the server's word on that entry, and on the stream."""
    consumer = Consumer[Any]({"s": "3"}, **options)
    pair = Pair(consumer)
    pair.server.expect("XRANGE", "s", "3-0", "3-0")
    pair.server.expect("XINFO", "STREAM", "s")
    pair.server.answer(anchor, said)
    return consumer, pair


THERE: Final = [entry("3-0")]


def happened(pair: Pair) -> list[Any]:
    return [event for event in pair.events() if isinstance(event, (Gap, StreamReset, Degraded))]


def ids(consumer: Consumer[Any]) -> list[str]:
    return [str(one.id) for batch in iter(consumer.take, None) for one in batch]


def test_the_last_batch_is_proven_along_with_the_next_read() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.expect("XREAD")
    pair.server.answer({"s": [entry("4-0"), entry("5-0")]})
    pair.server.expect("XRANGE", "s", "3-0", "3-0")
    pair.server.expect("XREAD", "COUNT", 100, "BLOCK", 5000, "STREAMS", "s", "5-0")
    pair.server.answer([entry("3-0")], {"s": [entry("6-0")]})
    assert ids(consumer) == ["4-0", "5-0", "6-0"]
    assert happened(pair) == []


def test_a_gap_is_told_before_the_next_batch() -> None:
    consumer, pair = resumed(THERE, info("9-0", length=9, first="1-0"), count=2)
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("6-0"), entry("7-0")]})
    pair.server.expect("XRANGE", "s", "3-0", "3-0")
    pair.server.expect("XREAD")
    pair.server.answer([], {"s": [entry("8-0")]})
    pair.server.expect("XINFO", "STREAM", "s")
    assert ids(consumer) == ["6-0", "7-0"], "what is behind it waits for the server's word"
    pair.server.answer(info("9-0", length=4, added=9, first="6-0"))
    gap = Gap(b"s", StreamId(3), StreamId(6), None, certain=False)
    assert happened(pair) == [gap], "how many there were before 3 is not known"
    assert ids(consumer) == ["8-0"]


def test_the_count_is_exact_where_one_knows_where_one_is() -> None:
    consumer, pair = started({"s": "$"}, info("3-0", length=3, first="1-0"), count=2)
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("6-0"), entry("7-0")]})
    pair.server.answer([], {"s": [entry("8-0")]})
    pair.server.answer(info("8-0", length=3, added=8, first="6-0"))
    assert happened(pair) == [Gap(b"s", StreamId(3), StreamId(6), 2)]
    assert ids(consumer) == ["6-0", "7-0", "8-0"]


def test_what_has_arrived_is_handed_over_even_if_the_connection_breaks_before_the_servers_word() -> None:
    consumer, pair = started({"s": "$"}, info("3-0", length=3, first="1-0"))
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("6-0")]})
    pair.server.answer([], {"s": [entry("8-0")]})
    pair.server.close()
    pair.advance(1.0)
    pair.server.expect("XINFO", "STREAM", "s")
    pair.server.answer(info("8-0", length=2, added=8, first="6-0"))
    [gap] = happened(pair)
    assert gap.entries == 3
    assert ids(consumer) == ["6-0", "8-0"]
    pair.settle()
    pair.server.expect("XREAD", "COUNT", 100, "BLOCK", 5000, "STREAMS", "s", "8-0")


def test_a_reconnect_finds_what_was_trimmed_meanwhile() -> None:
    _, pair = started({"s": "$"}, info("3-0", length=3, first="1-0"))
    pair.server.expect("XREAD")
    pair.server.close()
    pair.advance(1.0)
    pair.server.expect("XRANGE", "s", "3-0", "3-0")
    pair.server.expect("XINFO", "STREAM", "s")
    pair.server.answer([], info("9-0", length=2, added=9, first="8-0"))
    assert happened(pair) == [Gap(b"s", StreamId(3), StreamId(8), 4)]
    pair.server.expect("XREAD", "COUNT", 100, "BLOCK", 5000, "STREAMS", "s", "3-0")


@pytest.mark.parametrize("word", [info("2-0", length=2, first="1-0"), WrongTypeError("ERR", "no such key")])
def test_a_history_that_is_another_one_is_raised(word: Any) -> None:
    consumer, pair = resumed([], word)
    [rewound] = happened(pair)
    assert isinstance(rewound, StreamReset)
    with pytest.raises(StreamResetError, match=r"stream 's' ends at [02]-0, before 3-0, up to where it was read"):
        consumer.take()


def test_or_read_from_its_beginning() -> None:
    consumer, pair = started({"s": "$"}, info("5-0", length=5, first="1-0"), on_rewind="restart")
    pair.server.commands.clear()
    pair.server.answer({"s": [entry("6-0")]})
    pair.server.close()
    pair.advance(1.0)
    pair.server.expect("XRANGE", "s", "5-0", "5-0")
    pair.server.expect("XINFO")
    pair.server.answer([], info("2-0", length=2, first="1-0"))
    assert happened(pair) == [StreamReset(b"s", StreamId(6), StreamId(2))]
    pair.server.expect("XREAD", "COUNT", 100, "BLOCK", 5000, "STREAMS", "s", "0-0")
    assert consumer.take() is None, "what was read ahead belongs to the other history"
    pair.server.answer({"s": [entry("1-0"), entry("2-0")]})
    assert ids(consumer) == ["1-0", "2-0"]
    assert happened(pair) == []


def test_an_idle_read_is_the_time_to_look_for_a_rewind() -> None:
    consumer, pair = started({"s": "$"}, info("5-0", length=5, first="1-0"))
    pair.server.expect("XREAD")
    pair.server.answer(None)
    pair.server.expect("XINFO", "STREAM", "s")
    pair.server.expect("XREAD")
    pair.server.answer(info("1-0", length=1, first="1-0"))
    with pytest.raises(StreamResetError):
        consumer.take()


def test_idle_reads_of_many_streams_look_at_a_few_of_them_each_time() -> None:
    names = [f"s{n}" for n in range(6)]
    _, pair = started(names, *[info() for _ in names])
    pair.server.expect("XREAD")
    seen: list[bytes] = []
    for _ in range(3):
        pair.server.answer(None)
        looks = [pair.server.expect("XINFO", "STREAM")[2] for _ in range(2)]
        pair.server.expect("XREAD")
        pair.server.answer(*(info() for _ in looks))
        seen += looks
    assert sorted(seen) == [name.encode() for name in names]


def test_without_a_permission_it_is_said_once_and_entries_are_read_all_the_same() -> None:
    consumer, pair = resumed(FORBIDDEN, FORBIDDEN)
    pair.server.expect("XREAD")
    pair.server.answer({"s": [entry("4-0")]})
    pair.server.expect("XREAD")
    pair.server.expect_nothing()
    assert happened(pair) == [Degraded("gap detection", "+xrange")]
    assert ids(consumer) == ["4-0"]


def test_on_the_next_connection_a_forbidden_look_is_tried_again() -> None:
    consumer, pair = resumed(FORBIDDEN, FORBIDDEN)
    pair.server.answer({"s": [entry("4-0")]})
    pair.server.close()
    pair.advance(1.0)
    pair.server.expect("XRANGE", "s", "4-0", "4-0")
    pair.server.expect("XINFO", "STREAM", "s")
    pair.server.answer(THERE, FORBIDDEN)
    pair.server.expect("XREAD")
    assert happened(pair) == [Degraded("gap detection", "+xrange"), Degraded("gap detection", "+xinfo|stream")]
    assert ids(consumer) == ["4-0"]


def test_the_end_cannot_be_found_without_it() -> None:
    consumer, _ = started("s", FORBIDDEN)
    with pytest.raises(NoPermissionError):
        consumer.take()


def test_a_proof_may_be_forbidden_by_itself() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.answer({"s": [entry("4-0")]})
    pair.server.answer(FORBIDDEN, {"s": [entry("5-0")]})
    assert happened(pair) == [Degraded("gap detection", "+xrange")]
    assert ids(consumer) == ["4-0", "5-0"]
    pair.settle()
    assert [command[0] for command in pair.server.commands] == [b"XREAD", b"XRANGE", b"XREAD", b"XREAD"]


def test_a_proof_that_fails_for_another_reason_is_left_to_the_read() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.answer({"s": [entry("4-0")]})
    wrong = WrongTypeError("WRONGTYPE", "no stream")
    pair.server.answer(wrong, wrong)
    assert ids_before_error(consumer) == ["4-0"]


def test_a_proof_that_the_server_cannot_give_now_is_asked_for_again_before_anything_is_handed_over() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.answer({"s": [entry("4-0")]})
    assert ids(consumer) == ["4-0"]
    pair.server.answer(LoadingError("LOADING", "wait"), {"s": [entry("6-0")]})
    assert ids(consumer) == []
    pair.server.answer(THERE, info("6-0", length=5, first="1-0"))
    assert ids(consumer) == ["6-0"]
    assert happened(pair) == []


def test_what_a_stream_has_lost_elsewhere_is_no_news_once_it_is_sought() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.answer({"s": [entry("4-0")]})
    consumer.seek("s", "9")
    pair.server.answer([], {"s": [entry("5-0")]})
    pair.server.answer([entry("9-0")], info("12-0", length=5, added=12, first="8-0"))
    pair.settle()
    assert (happened(pair), ids(consumer)) == ([], [])


def test_nor_is_what_a_look_has_found_when_it_was_sought_meanwhile() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"))
    pair.server.close()
    pair.advance(1.0)
    pair.server.expect("XRANGE", "s", "3-0", "3-0")
    pair.server.expect("XINFO", "STREAM", "s")
    consumer.seek("s", "9")
    pair.server.answer([], info("12-0", length=5, added=12, first="8-0"))
    pair.settle()
    assert happened(pair) == []


def ids_before_error(consumer: Consumer[Any]) -> list[str]:
    found: list[str] = []
    with pytest.raises(WrongTypeError):
        found.extend(str(one.id) for batch in iter(consumer.take, None) for one in batch)
    return found


def test_what_is_said_of_a_stream_that_is_not_watched_any_more_is_no_news() -> None:
    consumer, pair = resumed(THERE, info("5-0", length=5, first="1-0"), count=1, prefetch=3)
    pair.server.answer({"s": [entry("4-0")]})
    pair.server.answer([], {"s": [entry("5-0")]})
    pair.server.answer(FORBIDDEN)
    assert [type(event) for event in happened(pair)] == [Degraded]
    assert ids(consumer) == ["4-0", "5-0"]


@pytest.mark.parametrize("forbidden", [set[str](), {"XINFO STREAM"}])
def test_ids_that_will_never_be_proven_are_not_remembered(forbidden: set[str]) -> None:
    server = Server()
    server.faults.denied |= forbidden
    consumer, net = following(server, {"s": "0"}, detect_gaps=bool(forbidden))
    for number in range(100):
        append(server, "s", number + 1)
        net.serve()
        while consumer.take() is not None:
            net.serve()
    continuity = consumer._streams[b"s"].continuity  # what it holds is the question
    unproven = [] if continuity is None else continuity._ids
    assert len(unproven) < 10, "it grows by every entry for ever"


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
