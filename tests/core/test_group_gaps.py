from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.continuity import History
from streamcore.entries import StreamId
from streamcore.errors import LoadingError, NoPermissionError, ReplyError, WrongTypeError
from streamcore.events import Event, Gap, GapDetectionOff
from streamcore.group import GroupConsumer
from streamcore.group_gaps import GroupGaps, GroupHistory, Reached
from streamcore.membership import Membership
from tests.core.model import Server
from tests.core.net import Net
from tests.core.streams import info

S = b"s"
REDIS7 = {b"server": b"redis", b"version": b"7.0.15"}
VALKEY9 = {b"server": b"valkey", b"version": b"9.1.2"}


class Stream:
    """A stream whose entries have the ids 1, 2, 3 and so on, and one group: as the servers do it, measured.

    A ``forgetful`` server counts deliveries even when entries were trimmed ahead of the group.
    """

    def __init__(self, *, forgetful: bool = False) -> None:
        self.forgetful = forgetful
        self.added = 0
        self.there: list[int] = []
        self.deleted = 0
        self.at = 0
        self.place: int | None = None
        self.had = 0  # the highest id that was delivered, and
        self.lost: set[int] = set()  # what never was: the truth, which no server knows

    def add(self, entries: int) -> None:
        self.there += range(self.added + 1, self.added + entries + 1)
        self.added += entries

    def trim(self, length: int) -> None:
        gone = self.there[: max(0, len(self.there) - length)]
        self._remove(gone)

    def delete(self, *ids: int) -> None:
        gone = [id_ for id_ in ids if id_ in self.there]
        self.deleted = max([self.deleted, *gone])
        self._remove(gone)

    def read(self, count: int) -> None:
        for id_ in [id_ for id_ in self.there if id_ > self.at][:count]:
            behind_first = not self.forgetful and self.at < self.there[0]
            hole_ahead = self.deleted >= (id_ if self.forgetful else max(self.at, self.there[0]))
            if self.place is not None and not behind_first and not hole_ahead:
                self.place += 1
            else:
                self.place = self._estimate(id_)
            self.at = id_
            self.had = max(self.had, self.at)

    def create(self, at: int) -> None:
        """The group, anew."""
        self.at, self.place = at, None
        self.had = max(self.had, at)

    def forget(self, seen: int) -> None:
        """For whoever has not seen the group beyond ``seen``, what it was given before it was set back is lost with the rest."""
        self.had = max(self.at, seen)
        self.lost |= set(range(self.had + 1, self.added + 1)) - set(self.there)

    @property
    def history(self) -> History:
        first, newest = (StreamId(self.there[0]), StreamId(self.there[-1])) if self.there else (None, None)
        return History(len(self.there), self.added, first, newest, StreamId(self.added), StreamId(self.deleted))

    @property
    def group(self) -> Reached:
        return Reached(StreamId(self.at), self.place)

    def _remove(self, ids: list[int]) -> None:
        self.lost |= {id_ for id_ in ids if id_ > self.had}
        self.there = [id_ for id_ in self.there if id_ not in ids]

    def _estimate(self, id_: int) -> int | None:
        """What a server makes of an id when it has lost count."""
        if id_ == self.added:
            return self.added
        return self.added - len(self.there) + 1 if id_ == self.there[0] > self.deleted else None


def reading(*, forgetful: bool = False, added: int = 10, read: int = 4) -> tuple[Stream, GroupHistory]:
    """A stream that was watched from the beginning, and a group that had read all of it before it grew."""
    stream, watch = Stream(forgetful=forgetful), GroupHistory(S, forgetful=forgetful)
    assert look(stream, watch) is None
    stream.add(read)
    stream.read(read)
    assert look(stream, watch) is None
    stream.add(added - read)
    assert look(stream, watch) is None
    return stream, watch


def joining(stream: Stream) -> GroupHistory:
    return GroupHistory(S, forgetful=stream.forgetful)


def look(stream: Stream, watch: GroupHistory) -> Gap | None:
    return watch.judge(stream.history, stream.group)


def gap(after: int, before: int | StreamId | None, entries: int | None) -> Gap:
    return Gap(S, StreamId(after), StreamId(before) if isinstance(before, int) else before, entries)


both = pytest.mark.parametrize("forgetful", [False, True])


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
        assert watch.judge(before, stream.group) is None
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
        stream.trim(6)
        assert look(stream, watch) is None
        stream.trim(3)
        assert look(stream, watch) == gap(4, 8, 2)

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
        assert look(stream, watch) is None
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
        assert look(stream, watch) is None
        stream.read(2)
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)


class TestJoining:
    def test_tells_what_is_missing_already(self) -> None:
        stream, _ = reading()
        stream.trim(3)
        assert look(stream, watch := joining(stream)) == gap(4, 8, 3)
        assert look(stream, watch) is None

    def test_but_not_where_a_server_counts_deliveries(self) -> None:
        stream, _ = reading(forgetful=True)
        stream.trim(3)
        assert look(stream, watch := joining(stream)) is None
        stream.read(3)
        assert look(stream, watch) is None, "it was told when it happened, by whoever was there"
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
        assert look(stream, watch) is None

    def test_a_group_that_was_created_below_deleted_entries_has_not_lost_them(self) -> None:
        stream, _ = reading()
        stream.delete(6)
        stream.create(4)
        assert look(stream, joining(stream)) is None

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
        assert look(stream, watch) is None
        stream.read(3)
        assert look(stream, watch) is None
        stream.add(3)
        stream.trim(1)
        assert look(stream, watch) == gap(10, 13, 2)

    def test_a_stream_that_is_empty(self) -> None:
        assert look(Stream(), joining(Stream())) is None


class TestAnotherPast:
    @both
    def test_a_group_created_again_at_a_lower_id_has_lost_nothing_of_what_it_had(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, read=8)
        stream.create(3)
        assert look(stream, watch) is None
        stream.trim(4)
        assert look(stream, watch) is None
        stream.delete(8)
        assert look(stream, watch) is None

    @both
    def test_and_what_is_lost_beyond_is_told_as_ever(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, read=10)
        stream.create(3)
        stream.read(2)
        assert look(stream, watch) is None
        stream.add(5)
        stream.trim(2)
        assert look(stream, watch) == gap(10, 14, 3)
        stream.read(9)
        assert look(stream, watch) is None

    @both
    def test_a_group_that_is_set_back_while_it_was_at_the_end(self, forgetful: bool) -> None:
        stream, watch = reading(forgetful=forgetful, read=10)
        stream.create(3)
        assert look(stream, watch) is None
        stream.trim(2)
        assert look(stream, watch) is None
        stream.read(9)
        assert look(stream, watch) is None

    @pytest.mark.parametrize(
        "other",
        [
            History(0, 0, None, None, StreamId(0), StreamId(0)),
            History(3, 3, StreamId(90), StreamId(99), StreamId(99), StreamId(0)),
            History(19, 20, StreamId(80), StreamId(99), StreamId(99), StreamId(0)),
        ],
    )
    def test_another_stream_under_the_name_begins_anew(self, other: History) -> None:
        stream, watch = reading()
        stream.trim(4)
        look(stream, watch)
        assert watch.judge(other, Reached(StreamId(0))) is None
        assert watch.judge(other, Reached(StreamId(0))) is None

    def test_a_forgetful_server_is_not_believed_over_a_new_connection(self) -> None:
        """After a failover its count may be any lower one."""
        stream, watch = reading(forgetful=True)
        watch.connected(forgetful=True)
        stream.read(1)
        stream.place = 2
        stream.trim(5)
        assert look(stream, watch) is None
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


Step = tuple[str, int]
steps = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 8)),
    st.tuples(st.just("read"), st.integers(1, 6)),
    st.tuples(st.just("trim"), st.integers(0, 10)),
    st.tuples(st.just("look"), st.just(0)),
)
deletions = st.tuples(st.just("delete"), st.integers(0, 12))
others = st.one_of(st.tuples(st.just("create"), st.integers(0, 12)), st.tuples(st.just("connected"), st.just(0)))


def do(stream: Stream, step: Step) -> None:
    word, number = step
    match word:
        case "delete":
            stream.delete(*stream.there[number : number + 1])
        case "create":
            stream.create(max(0, stream.at - number))
        case "add" | "read" | "trim":
            {"add": stream.add, "read": stream.read, "trim": stream.trim}[word](number)


@given(st.lists(steps, max_size=40), st.booleans())
def test_whoever_looks_after_every_step_knows_each_entry_that_was_trimmed(story: list[Step], forgetful: bool) -> None:
    stream, watch = Stream(forgetful=forgetful), GroupHistory(S, forgetful=forgetful)
    told, known = 0, set[int]()
    look(stream, watch)
    for step in story:
        do(stream, step)
        if (found := look(stream, watch)) is not None:
            assert found.entries == len(stream.lost - known)
            told += found.entries or 0
        known |= stream.lost
    assert told == len(stream.lost)


@given(
    st.lists(st.one_of(steps, deletions, others), max_size=60), st.booleans(), st.lists(steps, max_size=10), st.data()
)
def test_nothing_is_told_that_was_not_lost_whoever_looks_whenever(
    story: list[Step], forgetful: bool, past: list[Step], data: st.DataObject
) -> None:
    stream = Stream(forgetful=forgetful)
    for step in past:
        do(stream, step)
    if data.draw(st.booleans()):
        stream.create(stream.added)
    watch, told, seen = joining(stream), 0, 0
    stream.forget(seen)
    for step in story:
        if step[0] == "connected":
            watch.connected(forgetful=forgetful)
            if forgetful and stream.place is not None and data.draw(st.booleans()):  # it was a failover
                stream.place = data.draw(st.integers(0, stream.place))
        elif step[0] != "look":
            do(stream, step)
            stream.forget(seen if step[0] == "create" else stream.had)
        else:
            history = stream.history
            do(stream, data.draw(steps))  # others do not wait
            seen = max(seen, stream.at)
            if (found := watch.judge(history, stream.group)) is not None:
                told += found.entries or 1
                there = {id_ for id_ in stream.lost if is_between(found, StreamId(id_))}
                assert len(there) >= (found.entries or 1)
        assert told <= len(stream.lost)


def is_between(found: Gap, id_: StreamId) -> bool:
    return found.after < id_ and (found.before is None or id_ < found.before)


# -- the watch over several streams ------------------------------------------------------------------------------------


def said(stream: Stream) -> tuple[dict[bytes, Any], dict[bytes, Any]]:
    """What XINFO STREAM and XINFO GROUPS say."""
    there = stream.there
    told = info(
        f"{stream.added}-0",
        length=len(there),
        added=stream.added,
        first=f"{there[0]}-0" if there else None,
        deleted=f"{stream.deleted}-0",
    )
    group = {b"name": b"g", b"last-delivered-id": b"%d-0" % stream.at, b"entries-read": stream.place}
    return {key.encode(): value for key, value in told.items()}, group


def watching(*streams: str, detect_gaps: Any = "always") -> tuple[GroupGaps, list[Event]]:
    events: list[Event] = []
    gaps = GroupGaps(Membership.of(streams, "g", "c", detect_gaps=detect_gaps), events.append)
    gaps.connected(VALKEY9)
    return gaps, events


def audit(gaps: GroupGaps, stream: Stream, name: bytes = b"s") -> None:
    told, group = said(stream)
    gaps.hear(name, [told], group)


def test_each_stream_is_asked_about_and_judged_by_itself() -> None:
    gaps, events = watching("s", "t", detect_gaps="audit")
    (s, _), (t, _) = reading(), reading(read=6)
    assert gaps.questions(b"t") == (("XINFO", "STREAM", b"t"),)
    for _ in range(2):
        audit(gaps, s)
        audit(gaps, t, b"t")
        s.trim(3)
        t.trim(3)
    assert events == [Gap(b"s", StreamId(4), StreamId(8), 3), Gap(b"t", StreamId(6), StreamId(8), 1)]


def test_in_front_of_reads_nothing_is_asked_unless_told_so() -> None:
    assert watching("s", detect_gaps="audit")[0].look(5.0) is None
    gaps, events = watching("s", detect_gaps=None)
    assert (gaps.look(5.0), gaps.questions(b"s")) == (None, ())
    gaps.hear(b"s", [], said(reading()[0])[1])
    assert events == []


def test_one_look_asks_about_all_of_them_and_of_each_stream_first() -> None:
    gaps, events = watching("s", "t")
    s, _ = reading()
    s.trim(3)
    look = gaps.look(5.0)
    assert look is not None
    assert look.commands == [
        ("XINFO", "STREAM", b"s"),
        ("XINFO", "GROUPS", b"s"),
        ("XINFO", "STREAM", b"t"),
        ("XINFO", "GROUPS", b"t"),
    ]
    told, group = said(s)
    other = {**group, b"name": b"another"}
    missing = ReplyError("ERR", "no such key")
    look.replies = [told, [other, group], missing, missing]
    gaps.saw(look)
    assert events == [Gap(b"s", StreamId(4), StreamId(8), 3)]


def test_a_group_that_is_missing_is_no_gap() -> None:
    gaps, events = watching("s")
    gaps.hear(b"s", [said(reading()[0])[0]], None)
    assert events == []


def test_a_stream_that_was_gone_is_another_one() -> None:
    gaps, events = watching("s")
    stream, _ = reading()
    audit(gaps, stream)
    gaps.hear(b"s", [ReplyError("ERR", "no such key")], None)
    stream.create(0)
    stream.trim(2)
    audit(gaps, stream)
    assert events == []


def test_a_stream_whose_history_is_forbidden_is_not_asked_about_again() -> None:
    gaps, events = watching("s", "t")
    error = NoPermissionError("NOPERM", "no permission")
    before = gaps.look(5.0)
    gaps.hear(b"s", [error], said(reading()[0])[1])
    gaps.hear(b"s", [error], None)
    assert events == [GapDetectionOff(b"s", error)]
    assert "in reply to XINFO" in str(error)
    assert gaps.questions(b"s") == ()
    assert before is not None
    assert before.streams == [b"s", b"t"]
    assert [one.streams for one in (gaps.look(5.0),) if one] == [[b"t"]]
    gaps.hear(b"t", [error], None)
    assert gaps.look(5.0) is None


def test_a_stream_that_is_read_no_more_is_forgotten() -> None:
    gaps, events = watching("s")
    stream, _ = reading()
    audit(gaps, stream)
    gaps.hear(b"s", [NoPermissionError("NOPERM", "no permission")], None)
    gaps.forget(b"s")
    assert gaps.questions(b"s")
    stream.create(4)
    stream.trim(3)
    audit(gaps, stream)
    assert [type(event) for event in events] == [GapDetectionOff]


@pytest.mark.parametrize("error", [LoadingError("LOADING", "wait"), WrongTypeError("WRONGTYPE", "a string")])
def test_what_the_read_meets_as_well_is_its_business(error: ReplyError) -> None:
    gaps, events = watching("s")
    gaps.hear(b"s", [error], None)
    assert (events, gaps.questions(b"s")) == ([], (("XINFO", "STREAM", b"s"),))


def test_the_server_of_the_connection_decides_what_is_believed() -> None:
    stream, _ = reading()
    stream.trim(3)
    gaps, events = watching("s")
    gaps.connected(REDIS7)
    audit(gaps, stream)
    assert events == []
    gaps.connected(VALKEY9)
    stream.read(1)
    audit(gaps, stream)
    stream.trim(1)
    audit(gaps, stream)
    assert events == [Gap(b"s", StreamId(8), StreamId(10), 1)]


# -- in a consumer -----------------------------------------------------------------------------------------------------


def consuming(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer of ``s``, with the first 4 entries in hand."""
    add(server, 1, 4)
    consumer = GroupConsumer("s", group="g", consumer="c", exclusive=False, **options)
    net = Net(server, consumer)
    while (batch := consumer.take()) is not None:
        batch.ack()
        net.serve()
    return consumer, net


def add(server: Server, first: int, last: int) -> None:
    for number in range(first, last + 1):
        server.add("s", f"{number}-0")


def gaps_told(net: Net) -> list[Event]:
    return [event for event in net.pair.events() if isinstance(event, Gap | GapDetectionOff)]


@pytest.mark.parametrize("detect_gaps", ["audit", "always", None])
def test_a_gap_that_lasts_until_the_next_audit_is_told_before_what_comes_after_it(detect_gaps: Any) -> None:
    server = Server()
    consumer, net = consuming(server, count=2, prefetch=1, detect_gaps=detect_gaps)
    add(server, 5, 7)
    net.serve()  # 5 waits for the application, and nothing more is read
    server.do("XTRIM", "s", "MAXLEN", 1)
    net.advance(5)
    told: list[str] = []
    for _ in range(4):
        if (batch := consumer.take()) is not None:
            told += [str(entry.id) for entry in batch]
        net.serve()
        told += [f"gap of {event.entries}" for event in gaps_told(net) if isinstance(event, Gap)]
    assert told == (["5-0", "7-0"] if detect_gaps is None else ["5-0", "gap of 1", "7-0"])


@pytest.mark.parametrize(("detect_gaps", "seen"), [("audit", []), ("always", [Gap(S, StreamId(5), StreamId(7), 1)])])
def test_one_between_two_audits_is_seen_by_who_looks_before_every_read(detect_gaps: Any, seen: list[Event]) -> None:
    server = Server()
    consumer, net = consuming(server, count=2, prefetch=1, detect_gaps=detect_gaps)
    net.advance(0.1)
    add(server, 5, 7)
    net.serve()
    server.do("XTRIM", "s", "MAXLEN", 1)
    net.advance(0.1)
    while consumer.take() is not None:
        net.serve()
    assert gaps_told(net) == seen


def test_where_it_is_forbidden_the_consumer_goes_on() -> None:
    server = Server()
    server.forbidden = {b"XINFO STREAM"}
    consumer, net = consuming(server, detect_gaps="always")
    [off] = gaps_told(net)
    assert isinstance(off, GapDetectionOff)
    net.advance(20)
    add(server, 5, 5)
    net.serve()
    batch = consumer.take()
    assert batch is not None
    assert batch.ids == [b"5-0"]
    assert gaps_told(net) == []


def test_a_stream_that_is_removed_is_not_looked_at() -> None:
    server = Server()
    consumer, net = consuming(server, detect_gaps="always")
    assert consumer.remove_stream("s")
    net.advance(1)
    server.seen.clear()
    net.advance(20)
    assert not [command for command in server.seen if command[0] == b"XINFO"]
