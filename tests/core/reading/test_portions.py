"""How much a read asks for."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.reading.portions import FRAME, UNKNOWN, Portion, Portions


def came(streams: dict[str, int], size: int = 1000) -> dict[bytes, list[Any]]:
    """A reply: so many entries of each stream, of so many bytes each."""
    return {name.encode(): [[b"1-0", [b"f", b"x" * (size - FRAME - 1)]]] * count for name, count in streams.items()}


def named(number: int) -> list[bytes]:
    return [b"%d" % at for at in range(number)]


def hear(
    portions: Portions, portion: Portion, reply: dict[bytes, list[Any]], count: int = 100, nbytes: int = 0
) -> None:
    portions.heard(portion, reply, nbytes, count)


def test_as_long_as_nothing_is_known_entries_may_be_large() -> None:
    portions = Portions(UNKNOWN * 8)
    assert portions.next([b"s"], 100) == Portion([b"s"], 8)
    assert portions.next([b"s", b"t"], 100) == Portion([b"s", b"t"], 4)
    assert portions.next([b"s"], 5).each == 5


def test_then_it_is_known_how_large_they_are() -> None:
    portions = Portions(100_000)
    hear(portions, portions.next([b"s"], 1), came({"s": 1}), count=1)
    assert portions.affordable == 100
    assert portions.next([b"s", b"t"], 100) == Portion([b"s", b"t"], 50)
    hear(portions, portions.next([b"s"], 100), came({"s": 1}), nbytes=5000)
    assert portions.affordable == 20
    hear(portions, portions.next([b"s"], 100), {})
    assert portions.affordable == 20


def test_answers_about_streams_have_two_entries_of_each() -> None:
    portions = Portions(UNKNOWN * 8)
    assert portions.looks == 4
    hear(portions, portions.next([b"s"], 1), came({"s": 1}, UNKNOWN * 100), count=1)
    assert portions.looks == 1


def test_larger_ones_are_forgotten_little_by_little() -> None:
    portions = Portions(1_000_000)
    hear(portions, portions.next([b"s"], 100), came({"s": 1}, 10_000))
    seen: list[int] = []
    for _ in range(30):
        hear(portions, portions.next([b"s"], 100), came({"s": 1}))
        seen.append(portions.affordable)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (111, 1000)


def test_where_there_is_room_in_any_case_nothing_is_measured() -> None:
    portions = Portions(UNKNOWN * 8)
    hear(portions, portions.next([b"s"], 4), came({"s": 1}), count=4)
    known = portions.affordable
    small = portions.next([b"s", b"t"], 4)
    assert small == Portion([b"s", b"t"], 4, is_small=True)
    hear(portions, small, came({"s": 4, "t": 4}, 10_000), count=4, nbytes=UNKNOWN - 1)
    assert (portions.affordable, portions.is_through) == (known, True), "full, and not known to have more"
    assert not portions.next([b"s", b"t"], 5).is_small


def test_but_a_reply_that_is_larger_than_was_thought() -> None:
    portions = Portions(UNKNOWN * 8)
    hear(portions, portions.next([b"s"], 8), came({"s": 1}), count=8)
    small = portions.next([b"s"], 8)
    assert small.is_small
    hear(portions, small, came({"s": 2}, UNKNOWN * 2), count=8, nbytes=UNKNOWN * 4)
    assert portions.affordable == 4
    assert not portions.next([b"s"], 8).is_small


def test_no_reply_is_larger_than_what_there_is_room_for() -> None:
    portions = Portions(60_000)
    hear(portions, portions.next([b"0"], 1), came({"0": 1}), count=1)
    for _ in range(20):
        portion = portions.next(named(200), 100)
        if not portion.whole:
            assert portion.most * 1000 <= 60_000
        hear(portions, portion, came({name.decode(): portion.each for name in portion.streams}))


def test_parts_of_the_streams_have_their_turns_before_all_are_waited_for() -> None:
    portions = Portions(UNKNOWN * 4)
    streams = named(10)
    parts = [portions.next(streams, 100) for _ in range(3)]
    assert [part.streams for part in parts] == [streams[:4], streams[4:8], streams[8:]]
    assert [(part.each, part.whole) for part in parts] == [(1, False)] * 3
    assert portions.next(streams, 100) == Portion(streams, 1)
    assert portions.next(streams, 100) == Portion(streams, 1)


def test_when_a_read_of_all_was_answered_the_parts_have_their_turns_again() -> None:
    portions = Portions(4000)
    streams = named(10)
    hear(portions, portions.next([b"0"], 1), came({"0": 1}), count=1)
    parts = [portions.next(streams, 1) for _ in range(3)]
    assert [part.whole for part in parts] == [False] * 3
    whole = portions.next(streams, 1)
    hear(portions, whole, {})
    assert whole.whole
    whole = portions.next(streams, 1)
    assert whole.whole
    hear(portions, whole, came({"3": 1}), count=1)
    assert portions.next(streams, 1) == Portion(streams[:4], 1, whole=False)


def test_and_none_waits_while_a_stream_is_known_to_have_more() -> None:
    portions = Portions(4000)
    streams = named(6)
    hear(portions, portions.next([b"0"], 1), came({"0": 1}), count=1)
    assert portions.next(streams, 1).streams == streams[:4]
    part = portions.next(streams, 1)
    assert part.streams == streams[4:]
    hear(portions, part, came({"4": 1}), count=1)
    assert portions.next(streams, 1) == Portion([b"4"], 1, whole=False)
    assert portions.next(streams, 1) == Portion(streams[:4], 1, whole=False)


def test_streams_that_have_more_are_read_by_themselves_in_every_second_read() -> None:
    portions = Portions(100_000)
    streams = named(50)
    hear(portions, portions.next(streams, 1), came({"7": 1}), count=1)
    hear(portions, portions.next(streams, 100), {})
    first = portions.next(streams, 100)
    assert first == Portion(streams, 2)
    hear(portions, first, came({"7": 2, "8": 1}))
    assert not portions.is_through
    busy = portions.next(streams, 100)
    assert busy == Portion([b"7"], 100, whole=False)
    hear(portions, busy, came({"7": 100}))
    assert portions.next(streams, 100) == Portion(streams, 2)
    busy = portions.next(streams, 100)
    assert busy == Portion([b"7"], 100, whole=False)
    hear(portions, busy, came({"7": 99}))
    assert portions.is_through


def test_a_busy_stream_that_is_read_no_more_is_forgotten() -> None:
    portions = Portions(100_000)
    hear(portions, portions.next([b"s", b"t"], 100), came({"s": 1}))
    hear(portions, Portion([b"s", b"t"], 1), came({"s": 1}))
    assert not portions.is_through
    assert portions.next([b"t"], 100) == Portion([b"t"], 100)
    assert portions.is_through, "a read of the others may wait"


def test_nor_do_the_parts_of_others_go_on_for_ever_because_of_it() -> None:
    portions = Portions(100_000)
    streams = named(200)
    hear(portions, portions.next(streams, 1), came({"7": 1}), count=1)
    hear(portions, Portion([b"7"], 1, whole=False), came({"7": 1}))
    del streams[7]
    assert [portions.next(streams, 1).whole for _ in range(3)] == [False, False, True]


def test_a_busy_stream_may_be_the_only_one() -> None:
    portions = Portions(10_000)
    hear(portions, portions.next([b"s"], 100), came({"s": 1}))
    hear(portions, portions.next([b"s"], 100), came({"s": 10}))
    assert portions.next([b"s"], 100) == Portion([b"s"], 10)


def test_no_more_than_may_be_in_hand() -> None:
    portions = Portions(1 << 30)
    assert portions.next([b"s", b"t"], 100, 30).each == 15
    assert portions.next([b"s", b"t"], 100, 1) == Portion([b"s"], 1, whole=False)
    assert portions.next([b"s"], 100, 0) == Portion([b"s"], 1)


def test_what_cannot_be_split_is_about_all_streams() -> None:
    portions = Portions(UNKNOWN)
    assert portions.next(named(5), 100, split=False) == Portion(named(5), 1)


@pytest.mark.parametrize(("portion", "less"), [(Portion([b"s", b"t"], 5), 5), (Portion(named(5), 1), 2)])
def test_a_reply_that_was_too_large_halves_what_is_asked_for(portion: Portion, less: int) -> None:
    portions = Portions(1 << 30)
    assert portions.too_much(portion)
    assert portions.affordable == less


def test_less_than_a_single_entry_cannot_be_asked_for() -> None:
    assert not Portions(1 << 30).too_much(Portion([b"s"], 1))
