"""The history of a group that was set back or created again, of another stream, and of a server that forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamcore.entries import StreamId
from streamcore.events import Gap
from streamcore.group.group_history import Reached
from streamcore.reading.stream_history import History
from tests.core.support.group_stream import both, gap, look, possible, reading


class TestAnotherPast:
    @both
    def test_what_a_group_had_before_it_was_set_back_may_be_lost_before_it_comes_again(self, forgetful: bool) -> None:
        """Seeds 13889 and 500249: it was given to somebody once, and perhaps not processed."""
        stream, watch = reading(forgetful=forgetful, read=8)
        stream.create(3)
        assert look(stream, watch) is None
        stream.trim(9)
        assert look(stream, watch) is None
        stream.trim(4)
        assert look(stream, watch) == possible(3, 7)
        stream.delete(8)
        assert look(stream, watch) == possible(3, StreamId(8, 1))
        stream.read(3)
        assert look(stream, watch) is None

    @both
    def test_and_what_is_lost_beyond_is_told_as_ever(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, read=10)
        stream.create(3)
        stream.read(2)
        assert look(stream, watch) is None
        stream.add(5)
        stream.trim(2)
        assert watch.judge(stream.history, stream.group) == [gap(10, 14, 3), possible(5, 14)]
        stream.read(9)
        assert look(stream, watch) is None

    @both
    def test_a_group_that_is_set_back_while_it_was_at_the_end(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, read=10)
        stream.create(3)
        assert look(stream, watch) is None
        stream.trim(2)
        assert look(stream, watch) == possible(3, 9)
        stream.read(9)
        assert look(stream, watch) is None

    @both
    def test_a_group_that_was_set_back_to_where_it_was_at_the_last_look_has_lost_its_place(
        self, forgetful: bool
    ) -> None:
        """Seeds 406, 417 and 750: somebody was given what is gone; a deletion by itself takes no place away."""
        stream, watch = reading(forgetful=forgetful)
        stream.read(3)
        stream.delete(6)
        stream.create(4)
        assert look(stream, watch) == possible(4, StreamId(6, 1))

    def test_or_has_been_given_another_one(self) -> None:
        stream, watch = reading()
        stream.read(3)
        stream.delete(6)
        stream.create(4)
        stream.place = 7
        assert look(stream, watch) == possible(4, StreamId(6, 1))

    def test_and_where_it_had_none_what_we_were_given_shows_that(self) -> None:
        stream, watch = reading()
        stream.create(4)
        assert look(stream, watch) is None
        watch.identity.received([[b"5-0", []], [b"6-0", []]])
        stream.delete(6)
        assert look(stream, watch) == possible(4, StreamId(6, 1))

    def test_or_that_it_may_be_one_that_was_created_while_it_was_out_of_sight(self) -> None:
        stream, watch = reading()
        stream.create(4)
        assert look(stream, watch) is None
        watch.connected(forgetful=False)
        stream.delete(6)
        assert watch.judge(stream.history, stream.group, anchored=True) == [possible(4, StreamId(6, 1))]

    def test_and_not_one_with_our_name_in_it(self) -> None:
        stream, watch = reading()
        stream.create(4)
        assert look(stream, watch) is None
        watch.connected(forgetful=False)
        stream.delete(6)
        assert watch.judge(stream.history, stream.group, ours=True) == [gap(4, StreamId(6, 1), 1)]

    @pytest.mark.parametrize("given", [[b"3-0", b"5-0"], [b"5-0", b"4-0"]])
    def test_but_one_that_has_given_us_once_more_what_it_had_been_given(self, given: list[bytes]) -> None:
        """Seed 2002081: it was created again further back, came to where it was, and had been further ahead in between."""
        stream, watch = reading()
        stream.create(4)
        assert look(stream, watch) is None
        for id_ in given:
            watch.identity.received([[id_, []]])
        watch.connected(forgetful=False)
        stream.delete(6)
        assert watch.judge(stream.history, stream.group, ours=True) == [possible(4, StreamId(6, 1))]

    @pytest.mark.parametrize("place", [None, 3])
    def test_what_a_forgetful_server_has_not_counted_of_the_former_group_is_not_lacking_in_its_place(
        self, place: int | None
    ) -> None:
        """Seed 2011931: the loss of 15 was taken for one that had been passed over long ago."""
        stream, watch = reading(forgetful=True)
        stream.trim(2)
        look(stream, watch)
        stream.read(2)
        assert look(stream, watch) is None
        stream.create(10)
        stream.place = place
        stream.add(4)
        watch.judge(stream.history, stream.group, another=True)
        stream.read(4)
        stream.place = 14
        stream.add(1)
        stream.trim(0)
        [told] = watch.judge(stream.history, stream.group)
        assert told == possible(10, None)

    @pytest.mark.parametrize("another", [True, False], ids=["created again", "set back"])
    def test_a_failover_that_brings_the_former_group_back_proves_no_loss(self, another: bool) -> None:
        """Seed 2021154: what had been passed over long ago was taken for a new loss, in the same connection."""
        stream, watch = reading(forgetful=True)
        stream.trim(2)
        look(stream, watch)
        stream.read(2)
        assert look(stream, watch) is None
        former = stream.place
        stream.create(4)
        assert watch.judge(stream.history, stream.group, another=another) == []
        stream.at, stream.place = 10, former
        assert look(stream, watch) == possible(10, 10)
        stream.add(1)
        stream.trim(0)
        assert look(stream, watch) == gap(10, None, 1), "it was seen at the end"

    def test_nor_does_it_where_it_had_not_come_to_the_end(self) -> None:
        stream, watch = reading(forgetful=True, added=12)
        stream.trim(4)
        assert look(stream, watch) == gap(4, 9, 4)
        stream.create(4)
        assert watch.judge(stream.history, stream.group, another=True) == []
        stream.at, stream.place = 10, 6
        assert look(stream, watch) is None
        stream.trim(2)
        assert look(stream, watch) == possible(4, 11)

    def test_of_a_group_that_somebody_else_has_created_again_further_ahead_nobody_knows(self) -> None:
        stream, watch = reading()
        stream.create(10)
        assert watch.judge(stream.history, stream.group, above=StreamId(4)) == [possible(4, None)]
        stream.create(4)
        assert watch.judge(stream.history, stream.group, above=StreamId(4)) == []

    @pytest.mark.parametrize(
        ("pending", "found"),
        [(5, []), (4, [possible(3, StreamId(4, 1))]), (3, [possible(2, StreamId(4, 1))]), (None, [])],
    )
    def test_what_was_pending_in_a_group_that_is_gone_may_be_gone_as_well(
        self, pending: int | None, found: list[Gap]
    ) -> None:
        stream, watch = reading(read=6)
        stream.delete(4)
        look(stream, watch)
        stream.create(6 if pending is None else pending - 1)
        lowest = None if pending is None else StreamId(pending)
        assert watch.judge(stream.history, stream.group, pending=lowest) == found

    def test_or_trimmed(self) -> None:
        stream, watch = reading(read=6)
        stream.trim(6)
        look(stream, watch)
        for pending, found in ((5, []), (4, [possible(3, 5)])):
            stream.create(pending - 1)
            assert watch.judge(stream.history, stream.group, pending=StreamId(pending)) == found


class TestAnotherStream:
    """Under the same name."""

    EMPTY = History()
    YOUNG = History(3, 3, StreamId(90), StreamId(99), StreamId(99), StreamId(0))
    TRIMMED = History(1, 20, StreamId(99), StreamId(99), StreamId(99), StreamId(0))

    @pytest.mark.parametrize(("other", "before"), [(EMPTY, None), (YOUNG, 90), (TRIMMED, 99)])
    @pytest.mark.parametrize("looks", [[False], [True], [False, True], [True, True]])
    def test_has_taken_what_the_former_one_had_not_delivered(
        self, other: History, before: int | None, looks: list[bool]
    ) -> None:
        stream, watch = reading()
        for alone in looks:
            watch.judge(stream.history, stream.group._replace(alone=alone))
        watch.identity.received([[b"5-0", []], [b"6-0", []]])
        watch.identity.vanish()
        watch.identity.received([[b"1-0", []]])
        [former, *own] = watch.judge(other, Reached(StreamId(0)))
        assert former == replace(gap(4, before, 4), certain=looks == [True, True])
        assert own == ([possible(0, 99, 19)] if other is self.TRIMMED else [])
        assert watch.judge(other, Reached(StreamId(0))) == []

    @pytest.mark.parametrize(("first", "is_certain"), [(11, True), (5, False), (1, True)])
    def test_may_be_an_earlier_state_of_the_former_one(self, first: int, is_certain: bool) -> None:
        """Seeds 2008642 and 2018736: some of what had not been delivered is there still; nor does it end where that begins (2004005)."""
        begins, ends = StreamId(first, 1), StreamId(first, 2)
        other, before = History(2, 2, begins, ends, ends, StreamId(0)), begins if first == 11 else None
        for is_back in (False, True):
            stream, watch = reading()
            for _ in range(2):
                watch.judge(stream.history, stream.group._replace(alone=True))
            watch.identity.doubt()
            if is_back:
                watch.connected(forgetful=False)
            [former] = watch.judge(other, Reached(StreamId(0)), anchored=False)
            assert former == replace(gap(4, before, 6), certain=is_certain)

    def test_may_have_had_more_than_what_was_delivered(self) -> None:
        _, watch = reading(read=10)
        watch.identity.vanish()
        assert watch.judge(self.YOUNG, Reached(StreamId(0), alone=True)) == [possible(10, 90)]

    def test_has_taken_nobody_knows_how_much_where_the_place_was_unknown_or_the_group_was_set_back(self) -> None:
        """Seed 2010945: nor whether we had come as far again as before."""
        for place in (None, 2):
            stream, watch = reading()
            stream.create(3)
            stream.place = place
            look(stream, watch)
            watch.identity.vanish()
            assert watch.judge(self.YOUNG, Reached(StreamId(0), alone=True)) == [possible(3, 90)]

    def test_that_goes_on_where_the_former_one_ended_is_known_by_its_counters(self) -> None:
        _, watch = reading()
        assert watch.judge(self.YOUNG, Reached(StreamId(0))) == [possible(4, 90)]

    def test_whose_counters_explain_everything_is_possible_once_the_group_was_out_of_sight(self) -> None:
        stream, watch = reading()
        look(stream, watch)
        watch.identity.doubt()
        assert watch.judge(self.TRIMMED, Reached(StreamId(98), 19), anchored=False) == [possible(4, 99)]

    def test_is_told_of_together_with_what_its_own_group_has_lost(self) -> None:
        _, watch = reading()
        gaps = watch.judge(
            History(2, 8, StreamId(98), StreamId(99), StreamId(99), StreamId(0)), Reached(StreamId(90), 4)
        )
        assert gaps == [possible(4, 98), gap(90, 98, 2)]

    def test_is_none_where_a_failover_has_lost_the_end_of_the_former_one(self) -> None:
        _, watch = reading()
        older = History(8, 8, StreamId(1), StreamId(8), StreamId(8), StreamId(0))
        watch.connected(forgetful=False)
        assert watch.judge(older, Reached(StreamId(2), 2), anchored=False) == []
        assert watch.judge(older, Reached(StreamId(8), 8)) == []


class TestAfterAReconnect:
    """Seeds 6478, 503644, 503810 and 15418."""

    @both
    def test_whoever_looks_before_each_read_may_have_passed_unseen_what_was_removed_meanwhile(
        self, forgetful: bool
    ) -> None:
        for strict in (False, True):
            stream, watch = reading(forgetful=forgetful)
            stream.trim(4)
            stream.read(4)
            watch.connected(forgetful=forgetful, strict=strict)
            assert watch.judge(stream.history, stream.group, ours=True) == ([possible(4, 7)] if strict else [])
            assert watch.judge(stream.history, stream.group) == []

    def test_and_not_what_had_been_delivered(self) -> None:
        stream, watch = reading()
        stream.trim(7)
        stream.read(6)
        watch.connected(forgetful=False, strict=True)
        assert watch.judge(stream.history, stream.group, ours=True) == []

    def test_what_is_trimmed_ahead_of_a_place_that_is_unknown_is_possible(self) -> None:
        stream, watch = reading(forgetful=True)
        watch.connected(forgetful=True)
        stream.read(2)
        stream.place = 3
        stream.trim(3)
        assert watch.judge(stream.history, stream.group, ours=True) == [possible(4, 8)]

    def test_what_everybody_has_read_is_not_lost_however_little_the_server_knows(self) -> None:
        stream, watch = reading(forgetful=True)
        watch.connected(forgetful=True)
        stream.read(6)
        stream.place = 3
        stream.trim(0)
        assert watch.judge(stream.history, stream.group, ours=True) == []


class TestForgetfulness:
    def test_a_forgetful_server_is_not_believed_over_a_new_connection(self) -> None:
        """After a failover its count may be any lower one."""
        stream, watch = reading(forgetful=True)
        watch.connected(forgetful=True)
        stream.read(1)
        stream.place = 2
        stream.trim(5)
        assert watch.judge(stream.history, stream.group, ours=True) == [possible(4, 6)]
        stream.read(5)
        assert look(stream, watch) is None
        stream.add(3)
        stream.read(1)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 1)

    def test_it_may_have_forgotten_everything(self) -> None:
        stream, watch = reading(forgetful=True, read=9)
        stream.read(1)
        stream.place = None
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)
        stream.read(1)
        assert look(stream, watch) is None
