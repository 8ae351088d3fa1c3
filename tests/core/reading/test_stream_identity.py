from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.reading.stream_history import History
from streamcore.reading.stream_identity import Sameness, StreamIdentity

SAME, BACK, OTHER, UNPROVEN = Sameness


def history(
    last: int,
    *,
    length: int,
    added: int | None = None,
    first: int | None = None,
    newest: int | None = None,
    deleted: int = 0,
) -> History:
    """Of a stream; unless told otherwise its last entries are there, with ids that follow one another."""
    oldest = last - length + 1 if first is None else first
    first_entry = StreamId(oldest) if length else None
    last_entry = StreamId(last if newest is None else newest) if length else None
    return History(length, last if added is None else added, first_entry, last_entry, StreamId(last), StreamId(deleted))


def known(seen: History) -> StreamIdentity:
    identity = StreamIdentity(b"s")
    identity.settle(seen)
    return identity


def doubted(seen: History, *received: int) -> StreamIdentity:
    identity = known(seen)
    if received:
        identity.received(entries(*received))
    identity.doubt()
    return identity


def entries(*numbers: int) -> list[Any]:
    return [[b"%d-0" % number, []] for number in numbers]


BEFORE = history(10, length=5)


class TestAnchors:
    @pytest.mark.parametrize(
        "now",
        [
            history(20, length=15),
            history(20, length=1, first=10),
            history(20, length=2, first=6),
            history(10, length=1, added=20, first=6, newest=6),
        ],
    )
    def test_an_end_of_the_stream_that_was_seen_is_there(self, now: History) -> None:
        assert doubted(BEFORE).judge(now) is SAME

    def test_the_newest_is_asked_for_and_is_there(self) -> None:
        identity = doubted(BEFORE)
        assert identity.question() == ("XRANGE", b"s", "10-0", "10-0")
        now = history(20, length=12)
        assert [identity.judge(now, anchored=found) for found in (True, None, False)] == [SAME, UNPROVEN, UNPROVEN]

    def test_or_what_was_delivered_since_where_that_is_newer(self) -> None:
        assert doubted(BEFORE, 8).question() == ("XRANGE", b"s", "10-0", "10-0")
        assert doubted(BEFORE, 8, 12).question() == ("XRANGE", b"s", "12-0", "12-0")
        assert doubted(history(10, length=0), 12).question() == ("XRANGE", b"s", "12-0", "12-0")

    def test_there_is_none_in_a_stream_that_was_empty(self) -> None:
        assert known(history(10, length=0)).question() is None
        assert StreamIdentity(b"s").question() is None

    def test_what_comes_while_the_stream_is_doubted_is_none(self) -> None:
        identity = doubted(BEFORE, 12)
        identity.received(entries(20))
        assert (identity.question(), identity.own) == (("XRANGE", b"s", "12-0", "12-0"), 1)

    def test_what_comes_before_the_first_look_neither(self) -> None:
        identity = StreamIdentity(b"s")
        identity.received(entries(20))
        assert (identity.question(), identity.own) == (None, 0)

    def test_the_present_is_known_from_the_next_look_on(self) -> None:
        identity = doubted(BEFORE, 12)
        identity.settle(history(20, length=1))
        assert (identity.question(), identity.own, identity.doubted) == (("XRANGE", b"s", "20-0", "20-0"), 0, False)


class TestNone:
    def test_what_comes_where_there_was_no_stream_is_another_one(self) -> None:
        identity = known(BEFORE)
        identity.miss()
        assert identity.is_absent
        assert identity.judge(BEFORE) is identity.judge(history(20, length=1)) is OTHER

    def test_until_it_is_seen(self) -> None:
        identity = known(BEFORE)
        identity.miss()
        identity.settle(BEFORE)
        assert not identity.is_absent
        assert identity.judge(history(20, length=12)) is SAME

    def test_the_newest_that_was_delivered_is_known_until_then(self) -> None:
        identity = doubted(BEFORE, 8, 12)
        assert identity.delivered == StreamId(12)
        identity.settle(BEFORE)
        assert identity.delivered == StreamId(0)


class TestOtherProofs:
    def test_nothing_was_added(self) -> None:
        assert doubted(BEFORE).judge(history(10, length=0)) is SAME

    def test_the_same_entry_was_the_last_one_to_be_deleted(self) -> None:
        before = history(10, length=0, deleted=10)
        assert doubted(before).judge(history(15, length=2, deleted=10)) is SAME
        assert doubted(before).judge(history(15, length=2, deleted=11)) is UNPROVEN

    def test_its_group_is_the_one_that_was_known(self) -> None:
        assert doubted(BEFORE).judge(history(20, length=1), anchored=False, ours=True) is SAME

    def test_it_was_in_sight_and_the_counters_explain_what_is_gone(self) -> None:
        assert known(BEFORE).judge(history(20, length=1)) is SAME
        assert doubted(BEFORE).judge(history(20, length=1)) is UNPROVEN


class TestCounters:
    @pytest.mark.parametrize(
        "now",
        [
            history(9, length=3, added=20, first=7),
            history(20, length=3, added=9),
            history(20, length=9, added=13, first=12),
            history(20, length=3, first=5),
        ],
    )
    def test_never_fall(self, now: History) -> None:
        assert known(BEFORE).judge(now) is OTHER

    def test_the_highest_deleted_id_neither(self) -> None:
        assert known(history(10, length=5, deleted=4)).judge(history(20, length=3)) is OTHER

    def test_where_all_is_gone_as_much_was_removed(self) -> None:
        assert known(BEFORE).judge(history(30, length=11, added=20, first=20)) is OTHER
        assert known(BEFORE).judge(history(30, length=10, added=20, first=21)) is SAME
        assert known(BEFORE).judge(history(30, length=0, added=20)) is SAME

    def test_what_was_deleted_behind_the_first_is_no_part_of_that(self) -> None:
        assert known(BEFORE).judge(history(30, length=10, added=20, first=20, deleted=25)) is OTHER
        assert known(BEFORE).judge(history(30, length=9, added=20, first=21, deleted=25)) is SAME

    def test_what_was_deleted_is_removed(self) -> None:
        assert known(BEFORE).judge(history(20, length=15, first=6, deleted=8)) is OTHER
        assert known(BEFORE).judge(history(20, length=14, first=6, deleted=8)) is SAME

    def test_what_was_delivered_since_was_added(self) -> None:
        identity = known(BEFORE)
        identity.received(entries(9, 10))
        assert identity.judge(history(12, length=1)) is SAME
        identity.received(entries(11, 12, 13))
        assert identity.judge(history(14, length=1, added=12)) is OTHER
        assert identity.judge(history(14, length=1, added=13)) is SAME


class TestGone:
    def test_another_one_has_come_unless_an_anchor_is_found_in_it(self) -> None:
        identity = known(BEFORE)
        identity.vanish()
        assert identity.judge(history(20, length=1)) is OTHER
        assert identity.judge(history(20, length=12), anchored=True) is SAME


class TestFailover:
    """Its replica may lack the end of the stream."""

    SHORTER = history(9, length=4)

    def test_an_older_entry_is_there(self) -> None:
        identity = known(BEFORE)
        identity.reconnected()
        assert identity.judge(self.SHORTER, anchored=False) is BACK
        assert known(BEFORE).judge(self.SHORTER) is OTHER, "there was none"

    def test_what_was_lost_is_a_deletion(self) -> None:
        identity = known(history(10, length=2, deleted=9))
        identity.reconnected()
        assert identity.judge(history(10, length=3, first=5), anchored=True) is BACK

    def test_what_was_delivered_since_proves_none(self) -> None:
        """Seed 545: another stream had taken the name, together with its group, and had delivered an entry."""
        identity = known(history(10, length=0))
        identity.received(entries(50, 51))
        identity.reconnected()
        assert identity.judge(history(60, length=20, added=21), anchored=True) is OTHER

    def test_none_is(self) -> None:
        identity = known(BEFORE)
        identity.reconnected()
        assert identity.judge(history(9, length=2)) is OTHER
        identity.vanish()
        assert identity.judge(self.SHORTER) is OTHER

    def test_the_newest_is_gone_and_was_not_removed(self) -> None:
        """The counters have risen again since."""
        identity = known(BEFORE)
        identity.reconnected()
        assert identity.judge(history(20, length=15), anchored=False) is BACK
        assert identity.judge(history(20, length=14, first=6, deleted=10), anchored=False) is SAME
        assert identity.judge(history(20, length=12), anchored=False) is OTHER
        assert identity.judge(history(20, length=1), anchored=False) is UNPROVEN


class TestWhereNobodyLooks:
    def test_the_place_of_the_group_is_an_anchor(self) -> None:
        identity = StreamIdentity(b"s")
        assert identity.judge(BEFORE) is UNPROVEN
        identity.settle_at(StreamId(8))
        assert (identity.question(), identity.doubted) == (("XRANGE", b"s", "8-0", "8-0"), False)
        assert [identity.judge(BEFORE, anchored=found) for found in (True, False)] == [SAME, UNPROVEN]
        identity.settle_at(StreamId(0))
        assert identity.question() is None
