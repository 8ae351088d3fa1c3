from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import RemoteProtocolError
from streamcore.events import Gap, StreamReset
from streamcore.reading.continuity import Continuity
from streamcore.reading.stream_history import History
from streamcore.stream_id import ZERO
from tests.core.support.streams import info

S = b"s"


def at(ms: int) -> StreamId:
    return StreamId(ms)


def entries(*ids: int) -> list[Any]:
    return [[b"%d-0" % ms, [b"f", b"v"]] for ms in ids]


def history(first: int | None, last: int, *, added: int, length: int, deleted: int = 0) -> History:
    """A stream whose entries have the ids 1, 2, 3 and so on, in the order in which they were added."""
    return History(
        length, added, None if first is None else at(first), at(last) if length else None, at(last), at(deleted)
    )


def reading(cursor: int, added: int | None, *batch: int) -> Continuity:
    """Somebody who has read up to ``cursor``, and then a batch."""
    continuity = Continuity(S, at(cursor), added)
    if batch:
        continuity.received(entries(*batch))
    return continuity


def unanchored(cursor: int, added: int | None, *batch: int) -> Continuity:
    """The same, and the entry at ``cursor`` was looked for in vain."""
    continuity = reading(cursor, added, *batch)
    assert not continuity.is_proven([])
    return continuity


def beyond(ms: int) -> StreamId:
    return StreamId(ms, 1)


def possible(after: int, before: int | None) -> Gap:
    return Gap(S, at(after), None if before is None else at(before), None, certain=False)


def test_a_history_is_what_the_server_says() -> None:
    told = info("9-2", length=3, added=8, first="5-0", deleted="4-0")
    said = {key.encode(): value.encode() if isinstance(value, str) else value for key, value in told.items()}
    said[b"first-entry"], said[b"last-entry"] = [b"5-0", []], [b"9-2", []]
    assert History.of(said) == History(3, 8, at(5), StreamId(9, 2), StreamId(9, 2), at(4))
    assert History.of(said).removed == 5
    empty = {**said, b"first-entry": None, b"last-entry": None}
    assert (History.of(empty).first, History.of(empty).newest) == (None, None)


@pytest.mark.parametrize(
    "change", [{b"length": b"3"}, {b"entries-added": None}, {b"last-generated-id": b"x"}, {b"first-entry": [3]}]
)
def test_counters_that_make_no_sense_are_the_servers_fault(change: dict[bytes, Any]) -> None:
    told = info("9-2", length=3, added=8, first="5-0", deleted="4-0")
    said = {key.encode(): value.encode() if isinstance(value, str) else value for key, value in told.items()}
    said[b"first-entry"] = said[b"last-entry"] = None
    with pytest.raises(RemoteProtocolError):
        History.of(said | change)


# -- proving a batch ---------------------------------------------------------------------------------------------------


def test_a_batch_is_proven_by_the_entry_that_it_was_read_behind() -> None:
    continuity = reading(3, 3, 4, 5)
    assert continuity.question() == ("XRANGE", S, "3-0", "3-0")
    assert continuity.is_proven(entries(3))
    assert continuity.question() is None
    continuity.received(entries(6))
    assert continuity.question() == ("XRANGE", S, "5-0", "5-0")
    assert not continuity.is_proven([])
    assert (continuity.cursor, continuity.added) == (at(6), 6)


def test_where_no_entry_was_the_counters_prove_the_first_batch() -> None:
    continuity = reading(0, 0, 1, 2)
    assert continuity.question() == ("XINFO", "STREAM", S)
    assert continuity.judge(history(1, 2, added=2, length=2)) is None
    assert continuity.question() is None
    continuity.received(entries(3))
    assert continuity.question() == ("XRANGE", S, "2-0", "2-0")


def test_another_entry_with_the_same_id_proves_nothing() -> None:
    continuity = reading(3, 3, 4)
    assert continuity.is_proven(entries(3)), "it was not seen, so any is taken"
    continuity.received(entries(5))
    assert not continuity.is_proven([[b"4-0", [b"f", b"another value"]]])
    assert continuity.judge(history(4, 6, added=6, length=3)) == Gap(S, at(4).before(), None, None, certain=False)


def test_batches_that_come_before_the_proof_are_proven_together() -> None:
    continuity = reading(3, 3, 4)
    continuity.received(entries(8))
    assert continuity.question() == ("XRANGE", S, "3-0", "3-0")
    assert continuity.judge(history(8, 9, added=9, length=2)) == Gap(S, at(3), at(8), 3)


# -- judging by the counters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("continuity", "said", "gap"),
    [
        (reading(5, 5), history(1, 9, added=9, length=9), None),
        (reading(5, 5), history(6, 9, added=9, length=4), None),
        (reading(5, 5), history(8, 9, added=9, length=2), Gap(S, at(5), at(8), 2)),
        (reading(5, 5), history(None, 9, added=9, length=0), Gap(S, at(5), None, 4)),
        (reading(5, 5), history(None, 5, added=5, length=0), None),
        (reading(5, 5), history(8, 9, added=9, length=1, deleted=9), Gap(S, at(5), StreamId(9, 1), None)),
        (reading(5, None), history(8, 9, added=9, length=2), possible(5, 8)),
        (reading(5, None), history(6, 9, added=4, length=4), possible(5, 6)),
        (reading(5, None), history(None, 9, added=9, length=0), possible(5, None)),
        (reading(5, None), history(None, 5, added=5, length=0), None),
        (reading(0, None), history(8, 9, added=9, length=2), None),
        # behind 3 came 4 and 5
        (reading(3, 3, 4, 5), history(4, 9, added=9, length=6), None),
        (reading(3, 3, 4, 5), history(5, 9, added=9, length=5), None),
        (reading(3, 3, 4, 5), history(6, 9, added=9, length=4), None),
        (reading(3, 3, 4, 5), history(8, 9, added=9, length=2), Gap(S, at(3), at(8), 2)),
        (reading(3, 3, 4, 5), history(None, 9, added=9, length=0), Gap(S, at(3), None, 4)),
        (reading(3, 3, 4, 5), history(2, 9, added=9, length=8), None),
        # behind 3 came 6 and 7: 4 and 5 were trimmed before
        (reading(3, 3, 6, 7), history(6, 9, added=9, length=4), Gap(S, at(3), at(6), 2)),
        (reading(3, 3, 6, 7), history(7, 9, added=9, length=3), Gap(S, at(3), at(7), 2)),
        (reading(3, 3, 6, 7), history(9, 9, added=9, length=1), Gap(S, at(3), at(9), 3)),
        (reading(3, None, 6, 7), history(6, 9, added=9, length=4), possible(3, 6)),
    ],
)
def test_more_removed_than_read_is_a_gap(continuity: Continuity, said: History, gap: Gap | None) -> None:
    assert continuity.judge(said) == gap
    assert (
        continuity.judge(said) in {None, gap}
        if gap is not None and gap.entries is None
        else continuity.judge(said) is None
    )


def test_at_the_end_one_knows_how_many_there_were() -> None:
    continuity = reading(5, None)
    assert continuity.judge(history(1, 5, added=20, length=5)) is None
    assert continuity.added == 20


def test_at_the_beginning_one_takes_what_is_there() -> None:
    continuity = reading(0, None)
    assert continuity.judge(history(8, 9, added=9, length=2)) is None
    assert continuity.added == 7
    assert Continuity(S, ZERO).judge(history(8, 9, added=9, length=2, deleted=8)) is None


@pytest.mark.parametrize(
    ("continuity", "said"),
    [
        (reading(5, 5), history(1, 4, added=9, length=4)),
        (reading(5, 5), History()),
        (reading(5, None), history(None, 0, added=0, length=0)),
    ],
)
def test_a_history_that_ends_before_the_cursor_is_another_one(continuity: Continuity, said: History) -> None:
    assert continuity.judge(said) == StreamReset(S, at(5), said.last)


@pytest.mark.parametrize(
    ("said", "gap", "added"),
    [
        (history(6, 9, added=4, length=4), possible(5, 6), 0),
        (history(1, 9, added=4, length=4), Gap(S, at(1).before(), None, None, certain=False), None),
        (history(None, 9, added=4, length=0), possible(5, None), 4),
        (history(1, 5, added=2, length=2), Gap(S, at(1).before(), None, None, certain=False), 2),
    ],
)
def test_one_that_has_fewer_entries_than_were_read_goes_on_above_them(
    said: History, gap: Gap, added: int | None
) -> None:
    continuity = unanchored(5, 5)
    assert continuity.judge(said) == gap
    assert continuity.added == added
    assert continuity.judge(said) is None, "once is enough"


@pytest.mark.parametrize(
    ("seen", "said", "gap"),
    [
        (history(1, 5, added=5, length=5), history(7, 9, added=6, length=3), Gap(S, at(3), at(7), None)),
        (history(3, 3, added=3, length=1), history(7, 9, added=5, length=3), possible(3, 7)),
        (history(3, 3, added=3, length=1), history(None, 4, added=3, length=0), possible(3, None)),
        (history(1, 5, added=5, length=5), history(7, 9, added=8, length=3, deleted=8), Gap(S, at(3), beyond(8), None)),
        (history(4, 5, added=5, length=2), history(7, 9, added=8, length=5, deleted=8), Gap(S, at(3), beyond(8), None)),
    ],
    ids=[
        "fewer have gone than were there",
        "more are there than were added",
        "an id was given, and nothing added",
        "one of those that have gone was not there",
        "one was deleted, and none removed",
    ],
)
def test_counters_explain_nothing_that_what_was_seen_before_refutes(seen: History, said: History, gap: Gap) -> None:
    continuity = unanchored(3, 3)
    continuity.begin(seen)
    assert continuity.judge(said) == gap


def test_a_batch_of_another_stream_came_behind_the_gap() -> None:
    continuity = unanchored(5, 5, 8)
    assert continuity.judge(history(7, 8, added=4, length=2)) == possible(5, 7)


def test_a_gap_of_unknown_size_is_told_once() -> None:
    continuity = reading(5, None)
    said = history(8, 9, added=9, length=2)
    assert continuity.judge(said) == possible(5, 8)
    continuity.received(entries(8))
    assert continuity.judge(said) is None


def test_what_is_trimmed_between_the_first_look_and_the_first_read_is_told() -> None:
    continuity = Continuity(S, at(5), is_entry=False)  # a place that was chosen
    assert continuity.judge(history(None, 9, added=0, length=0)) is None, "nothing was removed so far"
    continuity.received(entries(11))
    said = history(11, 11, added=2, length=1)
    assert continuity.judge(said) == Gap(S, at(5), at(11), 1)

    continuity = reading(5, None)
    assert continuity.judge(history(8, 9, added=9, length=2)) == possible(5, 8)
    continuity.received(entries(9))
    assert continuity.judge(history(9, 9, added=9, length=1)) == Gap(S, at(5), at(9), 1), "one more has gone"


def test_an_entry_that_was_read_and_deleted_hides_nothing_that_is_trimmed_later() -> None:
    continuity = reading(5, 5, 6, 7, 8)
    assert continuity.judge(history(6, 9, added=9, length=3, deleted=7)) is None, "one has gone, and was read"
    continuity.received(entries(10))
    said = history(10, 10, added=10, length=1, deleted=7)
    assert continuity.judge(said) == Gap(S, at(5), at(10), 1), "9 is lost, or one that was not there when 8 was read"
    assert continuity.added == 10, "at the end one can count again"


def test_of_an_entry_that_was_deleted_the_counters_tell_whether_its_stream_is_the_same() -> None:
    assert unanchored(5, None).judge(history(1, 9, added=9, length=8, deleted=5)) is None
    said = history(1, 9, added=9, length=8, deleted=6)
    assert unanchored(5, None).judge(said) == Gap(S, at(1).before(), None, None, certain=False), "it may be another one"


def test_an_entry_that_was_deleted_behind_the_first_is_none_of_those_before_it() -> None:
    assert unanchored(4, 4, 5, 6, 7).judge(history(5, 9, added=9, length=4, deleted=6)) is None
    said = history(5, 9, added=8, length=4, deleted=6)
    assert unanchored(4, 4, 5, 6, 7).judge(said) == possible(4, 5), "four were before it, or there was another stream"


class TestTheEndThatWasTold:
    """Counters explain what is gone by as many removals; how many entries come up to the end then may refute that."""

    def told(self) -> Continuity:
        """The entries up to 4 were read and are gone, and four were removed; the stream ends at 9, and has added 9."""
        continuity = unanchored(4, 4, 5, 6)
        assert continuity.judge(history(5, 9, added=9, length=5)) is None
        assert continuity.added == 6
        return continuity

    def test_as_many_come(self) -> None:
        continuity = self.told()
        continuity.received(entries(7, 8, 9, 10))
        assert continuity.question() == ("XRANGE", S, "6-0", "6-0")
        assert continuity.is_proven(entries(6))
        assert continuity.added == 10

    def test_fewer_come_where_some_were_deleted(self) -> None:
        continuity = self.told()
        continuity.received(entries(8, 10))
        assert continuity.is_proven(entries(6))

    def test_more_come_so_it_was_another_stream(self) -> None:
        continuity = self.told()
        continuity.received([*entries(7, 8), [b"8-1", [b"f", b"v"]], *entries(9, 10)])
        assert continuity.question() == ("XINFO", "STREAM", S), "the entry at 6 proves nothing of what was before it"
        said = history(5, 10, added=10, length=6)
        assert continuity.judge(said) == possible(4, 5)
        assert (continuity.question(), continuity.judge(said)) == (None, None), "once is enough"

    def test_and_again_another_one_by_now(self) -> None:
        continuity = self.told()
        continuity.received([*entries(7, 8), [b"8-1", [b"f", b"v"]], *entries(9, 10)])
        assert continuity.judge(history(20, 30, added=40, length=11)) == possible(4, 20)

    def test_nothing_is_known_where_it_is_passed_at_once(self) -> None:
        continuity = unanchored(4, 4, 5, 6)
        assert continuity.judge(history(5, 7, added=7, length=3)) is None
        continuity.received(entries(9, 10, 11, 12))
        assert continuity.is_proven(entries(6)), "7 was deleted, and others have come"

    def test_a_gap_that_was_told_is_not_told_again(self) -> None:
        continuity = unanchored(4, 4, 5, 6)
        assert continuity.judge(history(5, 9, added=10, length=5)) == Gap(S, at(4), at(5), 1)
        continuity.received([*entries(7, 8), [b"8-1", [b"f", b"v"]], *entries(9, 10)])
        assert continuity.is_proven(entries(6))


def test_a_stream_never_forgets_what_was_deleted() -> None:
    continuity = reading(5, 5)
    assert continuity.judge(history(1, 9, added=9, length=7, deleted=3)) is None
    assert not continuity.is_proven([])
    said = history(1, 9, added=12, length=9, deleted=2)
    assert continuity.judge(said) == Gap(S, at(1).before(), None, None, certain=False)


def test_the_place_is_learnt_where_a_batch_passes_an_end_that_was_told() -> None:
    continuity = reading(5, None)
    assert continuity.judge(history(2, 7, added=20, length=6)) is None
    continuity.received(entries(6, 7, 8))
    continuity.received(entries(9))
    assert continuity.is_proven(entries(5))
    assert continuity.added == 22

    continuity = reading(5, None)
    assert continuity.judge(history(2, 7, added=20, length=6)) is None
    continuity.received(entries(8))
    assert continuity.is_proven(entries(5))
    assert continuity.added is None, "between 7 and 8 others may have come and gone"


def test_a_gap_of_unknown_size_reaches_to_what_is_there() -> None:
    continuity = reading(5, None, 8)
    assert continuity.judge(history(11, 12, added=12, length=2)) == possible(5, 11)


def test_what_nobody_watches_leaves_nothing_to_prove() -> None:
    continuity = reading(3, 3, 4)
    continuity.received(entries(5), watched=False)
    assert continuity.question() is None
    assert continuity.cursor == at(5)


@pytest.mark.parametrize("added", [0, 3])
def test_what_was_seen_ahead_goes_with_its_stream_also_where_the_next_one_ends_at_the_cursor(added: int) -> None:
    """Seed 2001286: whoever stood at the beginning of a stream took an empty one for a stream that he had read to its end."""
    continuity = reading(0, None)
    assert continuity.judge(history(1, 16, added=17, length=16, deleted=5)) is None
    assert continuity.judge(history(None, 0, added=added, length=0)) == Gap(S, ZERO, None, None)
    assert continuity.judge(history(None, 0, added=added, length=0)) is None
