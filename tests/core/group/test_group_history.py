from __future__ import annotations

import pytest

from streamcore.entries import StreamId
from streamcore.events import Gap
from streamcore.group.group_history import GroupHistory, Reached
from streamcore.reading.stream_history import History
from tests.core.support.group_stream import S, Stream, both, gap, joining, look, possible, reading


class TestTwoReplies:
    """The history of a stream, and its group, that were asked for one behind the other: nothing but growth comes between them."""

    BOTH = History(5, 9, StreamId(5), StreamId(9), StreamId(9))

    @pytest.mark.parametrize(
        "group",
        [
            Reached(StreamId(6), 6, lag=3),
            Reached(StreamId(6), 6, lag=4),
            Reached(StreamId(6), 6),
            Reached(StreamId(6), lag=1),
            Reached(StreamId(2), 2, lag=5),
        ],
        ids=["together", "one was added", "no lag", "no place", "trimmed ahead, and not counted as read"],
    )
    def test_they_agree(self, group: Reached) -> None:
        assert not group.refutes(self.BOTH)

    def test_fewer_were_added_than_were_there(self) -> None:
        assert Reached(StreamId(6), 6, lag=2).refutes(self.BOTH)

    def test_a_lag_is_known_though_something_was_deleted_ahead(self) -> None:
        deleted = self.BOTH._replace(length=4, deleted=StreamId(7))
        assert Reached(StreamId(6), 6, lag=3).refutes(deleted)
        assert not Reached(StreamId(7), 7, lag=2).refutes(deleted)

    def test_an_empty_stream_refutes_nothing(self) -> None:
        assert not Reached(StreamId(6), 6, lag=0).refutes(History(0, 9, None, None, StreamId(9), StreamId(8)))


class TestWhileAReadWaits:
    """The look before it knows nothing of what is appended, and trimmed, in one transaction."""

    @staticmethod
    def passing(*, forgetful: bool, alone: bool) -> tuple[Stream, GroupHistory]:
        stream, watch = Stream(forgetful=forgetful), GroupHistory(S, forgetful=forgetful)
        stream.add(4)
        assert watch.judge(stream.history, stream.group._replace(alone=alone)) == []
        stream.read(4)
        watch.identity.received([[b"%d-0" % n, []] for n in range(1, 5)])
        return stream, watch

    @both
    @pytest.mark.parametrize(("alone", "told"), [(True, [possible(4, 7)]), (False, [])])
    def test_a_group_of_ours_alone_has_come_further_than_we_were_given(
        self, forgetful: bool, alone: bool, told: list[Gap]
    ) -> None:
        stream, watch = self.passing(forgetful=forgetful, alone=alone)
        group = stream.group._replace(alone=alone)
        assert watch.judge(stream.history, group) == []
        stream.add(2)
        stream.trim(0)
        stream.add(1)
        stream.read(1)
        watch.identity.received([[b"7-0", []]])
        found = watch.judge(stream.history, stream.group._replace(alone=alone))
        assert found == ([gap(4, 7, 2)] if forgetful else told), "a server that counts deliveries shows how many it was"
        assert watch.judge(stream.history, stream.group._replace(alone=alone)) == []

    @both
    def test_what_we_were_given_is_no_loss(self, forgetful: bool) -> None:
        stream, watch = self.passing(forgetful=forgetful, alone=True)
        for length in (4, 0):
            stream.trim(length)
            assert watch.judge(stream.history, stream.group._replace(alone=True)) == []
            stream.add(1)
            stream.read(1)
            watch.identity.received([[b"%d-0" % stream.added, []]])
            stream.trim(0)

    def test_nobody_knows_what_we_were_given_where_a_reply_is_lost(self) -> None:
        stream, watch = self.passing(forgetful=False, alone=True)
        watch.judge(stream.history, stream.group._replace(alone=True))
        stream.add(1)
        stream.read(1)
        stream.trim(0)
        watch.connected(forgetful=False)
        found = watch.judge(stream.history, stream.group._replace(alone=True), ours=True)
        assert found == [], "the audit may overlook it"


class TestTrimming:
    @both
    def test_of_what_was_delivered_is_no_gap(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful)
        for length in (8, 6):
            stream.trim(length)
            assert look(stream, watch) is None

    @both
    def test_ahead_of_the_group_is_told_once_and_exactly(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful)
        stream.trim(3)
        assert look(stream, watch) == gap(4, 8, 3)
        assert look(stream, watch) is None
        stream.read(1)
        assert look(stream, watch) is None
        stream.read(2)
        assert look(stream, watch) is None

    @both
    def test_a_gap_that_grows_is_told_by_what_it_has_grown(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful)
        stream.trim(4)
        assert look(stream, watch) == gap(4, 7, 2)
        stream.trim(1)
        assert look(stream, watch) == gap(4, 10, 3)

    @both
    def test_of_everything(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful)
        stream.trim(0)
        assert look(stream, watch) == gap(4, None, 6)
        stream.add(2)
        assert look(stream, watch) is None

    @both
    def test_again_and_again_ahead_of_a_group_that_never_catches_up(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, added=100)
        told = 0
        for _ in range(20):
            stream.read(3)
            assert look(stream, watch) is None
            stream.add(10)
            stream.trim(20)
            found = look(stream, watch)
            told += 0 if found is None or found.entries is None else found.entries
        assert told == len(stream.lost) > 100

    @both
    def test_of_what_was_delivered_and_what_was_not(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful)
        stream.read(2)
        stream.trim(2)
        found = look(stream, watch)
        assert found == gap(4 if forgetful else 6, 9, 2), "a server that counts deliveries leaves open where it was"

    def test_that_others_have_passed_between_two_looks_escapes(self) -> None:
        stream, watch = reading()
        stream.trim(3)
        stream.read(9)
        assert look(stream, watch) is None

    def test_a_server_that_counts_deliveries_tells_even_that(self) -> None:
        stream, watch = reading(forgetful=True)
        stream.trim(3)
        stream.read(1)
        assert look(stream, watch) is None
        stream.read(9)
        assert look(stream, watch) == gap(4, 10, 3)
        stream.add(5)
        stream.trim(2)
        assert look(stream, watch) == gap(10, 14, 3)

    def test_while_members_read_between_the_two_questions_looks_smaller(self) -> None:
        stream, watch = reading()
        before = stream.history
        stream.read(6)
        stream.trim(0)
        assert watch.judge(before, stream.group) == []
        assert look(stream, watch) is None


class TestDeleting:
    def test_of_what_was_delivered_is_no_gap(self) -> None:
        stream, watch = reading()
        stream.delete(1, 2, 3, 4)
        assert look(stream, watch) is None

    @both
    @pytest.mark.parametrize("deleted", [5, 6, 10])
    def test_one_entry_ahead_of_the_group_is_told(self, forgetful: bool, deleted: int) -> None:
        stream, watch = reading(forgetful=forgetful)
        stream.delete(deleted)
        assert look(stream, watch) == gap(4, StreamId(deleted, 1), 1)
        for _ in range(6):
            assert look(stream, watch) is None
            stream.read(1)
        stream.add(1)
        stream.read(1)
        assert look(stream, watch) is None

    def test_several_are_of_unknown_number(self) -> None:
        stream, watch = reading()
        stream.delete(2, 6, 7)
        assert look(stream, watch) == gap(4, StreamId(7, 1), None)
        stream.delete(6, 9)
        assert look(stream, watch) == gap(4, StreamId(9, 1), 1)

    def test_and_trimming_past_it(self) -> None:
        stream, watch = reading()
        stream.delete(6)
        stream.trim(3)
        assert look(stream, watch) == gap(4, 8, 3)

    def test_and_trimming_up_to_it(self) -> None:
        stream, watch = reading()
        stream.delete(9)
        stream.trim(3)
        assert look(stream, watch) == gap(4, StreamId(9, 1), 3)

    def test_what_was_told_is_not_told_again_when_it_is_trimmed_over(self) -> None:
        stream, watch = reading()
        stream.delete(6)
        assert look(stream, watch) == gap(4, StreamId(6, 1), 1)
        stream.trim(8)
        assert look(stream, watch) is None
        stream.trim(3)
        assert look(stream, watch) == gap(4, 8, 2)

    def test_another_one_below_it_is_possible_as_soon_as_more_than_the_oldest_is_gone(self) -> None:
        """Seeds 9161 and 13889: the server tells the highest id that XDEL took, and no other."""
        stream, watch = reading()
        stream.delete(9)
        assert look(stream, watch) == gap(4, StreamId(9, 1), 1)
        stream.delete(7)
        assert look(stream, watch) == possible(4, StreamId(9, 1))
        assert look(stream, watch) is None
        stream.trim(7)
        assert look(stream, watch) is None, "that was the oldest one"
        stream.trim(5)
        assert look(stream, watch) == possible(4, StreamId(9, 1))

    def test_and_where_its_number_was_unknown_so_is_that_of_what_comes_after(self) -> None:
        stream, watch = reading()
        stream.delete(2, 6)
        assert look(stream, watch) == gap(4, StreamId(6, 1), None)
        stream.trim(2)
        assert look(stream, watch) == gap(4, 9, None)
        stream.trim(1)
        assert look(stream, watch) == gap(4, 10, 1)

    def test_a_server_that_has_lost_count_is_believed_again_at_the_end(self) -> None:
        stream, watch = reading()
        stream.delete(6)
        look(stream, watch)
        stream.read(2)
        assert stream.place is None
        stream.trim(1)  # 8 and 9 are lost, and nobody can tell
        assert look(stream, watch) == possible(7, 10)
        stream.read(1)
        assert look(stream, watch) is None
        stream.add(5)
        stream.trim(3)
        assert look(stream, watch) == gap(10, 13, 2)

    def test_a_server_that_counts_deliveries_is_not_believed_meanwhile(self) -> None:
        stream, watch = reading(forgetful=True)
        stream.delete(5, 6)
        assert look(stream, watch) == gap(4, StreamId(6, 1), None)
        stream.read(1)
        stream.trim(2)
        assert look(stream, watch) == possible(4, 9)
        stream.read(2)
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)

    def test_the_newest_ones_leave_the_group_at_the_end_of_what_is_there(self) -> None:
        """Seeds 1389, 1402, 10015, 11706, 12683 and 503398: the server has lost count, and the last id is never delivered."""
        stream, watch = reading()
        stream.delete(10)
        assert look(stream, watch) == gap(4, StreamId(10, 1), 1)
        stream.read(5)
        assert (stream.place, look(stream, watch)) == (None, None)
        stream.add(1)
        stream.trim(0)
        assert look(stream, watch) == gap(9, None, 1)


class TestJoining:
    def test_tells_what_is_missing_already(self) -> None:
        stream, _ = reading()
        stream.trim(3)
        assert look(stream, watch := joining(stream)) == gap(4, 8, 3)
        assert look(stream, watch) is None

    def test_as_possible_where_a_server_counts_deliveries(self) -> None:
        stream, _ = reading(forgetful=True)
        stream.trim(3)
        assert look(stream, watch := joining(stream)) == possible(4, 8)
        stream.read(3)
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)

    @both
    def test_tells_of_deleted_entries(self, forgetful: bool) -> None:
        stream, _ = reading(forgetful=forgetful)
        stream.delete(6)
        assert look(stream, watch := joining(stream)) == gap(4, StreamId(6, 1), None)
        assert look(stream, watch) is None
        stream.trim(4)
        assert look(stream, watch) == (possible(4, 7) if forgetful else gap(4, 7, 1))

    def test_a_group_that_was_created_below_deleted_entries_may_have_lost_them(self) -> None:
        stream, _ = reading()
        stream.delete(6)
        stream.create(4)
        assert look(stream, joining(stream)) == possible(4, StreamId(6, 1))

    def test_a_group_at_the_beginning_takes_what_is_there(self) -> None:
        stream = Stream()
        stream.add(10)
        stream.delete(9)
        stream.trim(3)
        assert look(stream, watch := joining(stream)) is None
        stream.trim(1)
        assert look(stream, watch) == gap(0, 10, 2)

    def test_a_group_at_the_end_is_at_a_known_place(self) -> None:
        stream = Stream()
        stream.add(10)
        stream.create(10)
        assert look(stream, watch := joining(stream)) is None
        stream.add(5)
        stream.trim(2)
        assert look(stream, watch) == gap(10, 14, 3)

    def test_a_group_in_the_middle_is_not_until_it_comes_to_the_end(self) -> None:
        stream = Stream()
        stream.add(10)
        stream.create(4)
        assert look(stream, watch := joining(stream)) is None
        stream.trim(3)
        assert look(stream, watch) == possible(4, 8)
        stream.trim(2)
        assert look(stream, watch) == gap(4, 9, 1)
        stream.read(3)
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)

    def test_a_group_that_was_created_below_what_was_trimmed_may_miss_it(self) -> None:
        stream = Stream()
        stream.add(10)
        stream.trim(3)
        stream.create(4)
        assert look(stream, joining(stream)) == possible(4, 8)

    def test_a_stream_that_is_empty(self) -> None:
        assert look(Stream(), joining(Stream())) is None


class TestGaps:
    def test_a_single_entry_that_a_forgetful_server_has_passed_over_is_told(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        two, four = StreamId(2), StreamId(4)
        assert watch.judge(History(2, 2, StreamId(1), two, two), Reached(two, 2)) == []
        assert watch.judge(History(1, 4, four, four, four), Reached(four, 3)) == [Gap(b"s", two, four, 1)]

    def test_a_forgetful_server_that_has_lost_nothing(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        for last in (2, 4, 6, 8):
            end = StreamId(last)
            assert watch.judge(History(last, last, StreamId(1), end, end), Reached(StreamId(last - 1), last - 1)) == []

    def test_what_is_missing_at_the_first_look_is_told_by_a_forgetful_server_too(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        one, four = StreamId(1), StreamId(4)
        [gap] = watch.judge(History(1, 4, four, four, four, StreamId(3)), Reached(one, 1))
        assert (gap.after, gap.before) == (one, four)
