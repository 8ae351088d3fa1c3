"""The account of what one reader has lost, beside what the library itself can tell: silence, and a gap."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from streamcore import Consumer, StreamId
from streamcore.events import Gap, StreamReset
from streamcore.reading.continuity import Continuity
from streamcore.reading.stream_history import History as Seen
from streamcore.testing.model.values import Stream
from transports.simulation.workloads.consumer.habits import ReaderHabits
from transports.simulation.workloads.consumer.id_log import IdLog
from transports.simulation.workloads.consumer.invariants import ReaderInvariants, TrimsAnnounced
from transports.simulation.workloads.consumer.losses import Hidden, Key, Losses, hidden
from transports.simulation.workloads.consumer.reader import Reader
from transports.simulation.workloads.consumer.track import Track
from transports.simulation.world.driver import World
from transports.simulation.world.engine_state import arrived, seen_by
from transports.simulation.world.invariants import EventsInOrder
from transports.simulation.world.store import Store
from transports.simulation.world.stream_log import Id, StreamLog, fields_of

S = b"s"


class Stage:
    """A reader of one stream from its beginning, and what happens to that stream, without a simulated network."""

    def __init__(self) -> None:
        self.values: dict[bytes, Any] = {S: Stream()}
        store = SimpleNamespace(value=self.values.get, world=SimpleNamespace(now=0.0))
        self.id_log = IdLog(StreamLog(cast("Store", store)), [S])
        self.engine = Consumer({S: "0"})
        self.track = Track((0, 0))

    @property
    def losses(self) -> Losses:
        return self.track.losses

    @property
    def continuity(self) -> Continuity:
        found = self.engine._streams[S].continuity
        assert found is not None
        return found

    def append(self, ms: int, count: int) -> None:
        """Entries ``ms``-0, ``ms``-1, ..."""
        for seq in range(count):
            self.values[S].append((ms, seq), fields_of(b"%d:%d:%d" % (self.id_log.number(S), ms, seq)))

    def remove(self, ids: list[Id], how: str) -> None:
        """Entries go."""
        number = self.id_log.number(S)
        self.id_log.removing(S, ids, how)
        reached = self.track.reached(set(), number)
        self.losses.removed([(number, id_) for id_ in ids if id_ > reached], how, set())
        for id_ in ids:
            if how == "XDEL":
                self.values[S].delete(id_)
            else:
                self.values[S].trim_one(id_)

    def replace(self, ms: int, count: int, trimmed: int = 0) -> None:
        """Another stream takes the name, which has lost some of its entries already."""
        self.losses.removed(self.id_log.unread(S, self.track.position), "DEL", set())
        self.id_log.dropping(S)
        self.change(Stream())
        self.append(ms, count)
        self.remove(self.values[S].ids[:trimmed], "XTRIM")

    def change(self, stream: Stream) -> None:
        """A stream is another one from now on, or what it was before."""
        self.id_log.rewinding(S)
        self.track.rewind(self.id_log, S, self.continuity.seen, set())
        self.values[S] = stream

    def read(self, count: int) -> None:
        """A batch comes, and is handed over."""
        after = self.continuity.cursor
        rows = [self.values[S].entry(id_) for id_ in self.values[S].after((after.ms, after.seq), count)]
        self.continuity.received(rows)
        keys = [self.id_log.key(S, (id_.ms, id_.seq), row[1][1]) for row in rows for id_ in [StreamId.parse(row[0])]]
        self.losses.handed(keys)
        self.track.era, self.track.position = keys[-1]

    def look(self) -> Gap | None:
        """The server is asked, and what that tells of our losses is booked."""
        now = self.values[S]
        ends = [StreamId(*id_) for id_ in now.ids]
        first, newest = (ends[0], ends[-1]) if ends else (None, None)
        seen = Seen(len(ends), now.added, first, newest, StreamId(*now.last), StreamId(*now.deleted))
        if (anchor := self.continuity.anchor()) is not None:
            ms, seq = map(int, anchor[2].split("-"))
            self.continuity.is_proven([now.entry((ms, seq))] if (ms, seq) in now.fields else [])
        gap = self.continuity.judge(seen)
        assert gap is None or isinstance(gap, Gap)
        if gap is not None:
            for key in self.losses.told(gap, self.id_log.number(S), seen, set()):
                del self.losses.open[key]
        return gap

    @property
    def hidden(self) -> int | None:
        """How many the counters of another stream explain."""
        found = self._hidden()
        return None if found is None else found.entries

    @property
    def excused(self) -> list[Key]:
        """Which these are."""
        found = self._hidden()
        return [] if found is None else found.keys

    def unsettle(self) -> None:
        self.track.unsettle(self.id_log, S, *self._known())

    def _hidden(self) -> Hidden | None:
        return hidden(self.losses, self.id_log, S, *self._known())

    def _known(self) -> tuple[Seen | None, set[Key]]:
        return seen_by(self.engine, S), self.id_log.keys(S, arrived(self.engine, S))


def looked(entries: int) -> Stage:
    """A stage whose reader has read so many entries, all that were appended, and has looked."""
    stage = Stage()
    stage.append(1, entries)
    stage.read(entries)
    assert stage.look() is None
    return stage


def test_a_gap_does_not_tell_of_what_was_appended_after_the_look() -> None:
    stage = Stage()
    stage.look()
    stage.append(1, 1)
    stage.remove([(1, 0)], "XTRIM")
    gap = stage.continuity.judge(Seen(0, 1, None, None, StreamId(1, 0)))
    assert isinstance(gap, Gap)
    assert gap.before is None
    stage.append(2, 2)
    stage.remove([(2, 0), (2, 1)], "XTRIM")
    told = stage.losses.told(gap, 0, stage.continuity.seen, set())
    assert told == [(0, (1, 0))]


class TestHidden:
    """What the counters of another stream explain."""

    def test_as_many_had_gone_unread_as_were_read_before(self) -> None:
        stage = looked(3)
        stage.replace(2, 11, trimmed=3)
        stage.read(8)
        assert stage.look() is None
        assert stage.losses.due
        assert stage.hidden == 3

    def test_one_more_must_be_told(self) -> None:
        stage = looked(3)
        stage.replace(2, 12, trimmed=4)
        stage.read(8)
        assert stage.hidden is None
        assert stage.look() is not None

    def test_what_was_read_of_those_in_between_counts(self) -> None:
        stage = looked(5)
        stage.replace(2, 10)
        stage.read(1)
        stage.replace(3, 31, trimmed=6)
        stage.read(1)
        assert stage.look() is None
        assert stage.hidden == 6

    def test_what_was_read_and_deleted_is_no_loss(self) -> None:
        stage = looked(3)
        stage.replace(2, 11, trimmed=3)
        stage.read(8)
        stage.look()
        stage.remove([(2, 7), (2, 6)], "XDEL")
        assert stage.look() is None
        assert stage.hidden == 3
        stage.remove([(2, 8)], "XDEL")  # the reader has not looked since
        assert stage.hidden == 3

    def test_what_was_told_since_is_none_either(self) -> None:
        stage = looked(4)
        stage.replace(2, 27, trimmed=4)
        stage.read(1)
        assert stage.look() is None
        stage.remove([(2, seq) for seq in range(4, 25)], "XTRIM")
        gap = stage.look()
        assert gap is not None
        assert gap.entries == 20
        assert stage.hidden == 4

    def test_what_another_one_has_lost_since_is_not_explained(self) -> None:
        stage = looked(3)
        stage.replace(2, 11, trimmed=3)
        stage.read(8)
        assert stage.look() is None
        stage.append(3, 1)
        stage.replace(4, 16)  # the reader has not looked since
        assert stage.hidden == 3
        assert stage.excused == [(1, (2, 0)), (1, (2, 1)), (1, (2, 2))]
        assert stage.losses.open[1, (3, 0)] == "DEL"

    def test_what_was_gone_before_the_first_look_counts_as_had(self) -> None:
        stage = Stage()
        stage.append(1, 3)
        stage.remove([(1, 0), (1, 1), (1, 2)], "before it began")
        assert stage.look() is None
        stage.replace(2, 11, trimmed=3)
        stage.read(8)
        assert stage.look() is None
        assert stage.hidden == 3

    def test_so_many_as_the_counter_was_set_down(self) -> None:
        stage = Stage()
        stage.look()
        stage.append(1, 30)
        stage.read(12)
        stage.look()
        stage.unsettle()
        stage.values[S].added -= 10
        stage.append(2, 12)
        stage.remove([(1, seq) for seq in range(22)], "XTRIM")
        stage.read(1)
        assert stage.hidden is None  # it has not looked since
        assert stage.look() is None
        assert stage.excused == [(0, (1, seq)) for seq in range(12, 22)]

    def test_what_was_had_by_the_last_look_whatever_the_counter_is_set_to_since(self) -> None:
        stage = Stage()
        stage.append(1, 5)
        stage.read(5)
        stage.look()
        stage.unsettle()
        stage.values[S].added += 2
        stage.remove([(1, 0), (1, 1)], "XTRIM")
        stage.replace(2, 15, trimmed=5)
        stage.read(10)
        assert stage.look() is None
        assert stage.hidden == 5

    def test_each_look_is_judged_when_it_has_come(self) -> None:
        stage = looked(5)
        stage.replace(2, 15, trimmed=5)
        stage.read(10)
        oracle = TrimsAnnounced(World(0), stage.id_log)
        reader = cast("Reader", SimpleNamespace(engine=stage.engine, tracks={S: stage.track}))
        oracle.looked(reader)
        assert len(stage.losses.open) == 5
        stage.look()
        oracle.looked(reader)
        assert not stage.losses.open
        stage.append(3, 1)
        stage.remove([(3, 0)], "XDEL")  # which need not be told, and changes the counters
        assert stage.look() is None
        assert stage.hidden is None


class TestOtherEras:
    """Streams that go back, or begin anew, and again."""

    def test_what_survives_the_second_time_was_not_there_the_first_time(self) -> None:
        stage = Stage()
        stage.append(9, 2)
        stage.replace(1, 3)
        stage.id_log.note(S)
        stage.change(stage.values[S].copied())
        assert stage.track.excused == (9, 1)
        assert stage.id_log.survived(S, (1, 1), 1)
        assert not stage.id_log.survived(S, (1, 1), stage.track.since)

    def test_what_is_there_again_behind_what_has_arrived_is_not_lost_again(self) -> None:
        track = Track((1, 2), era=1)
        assert track.reached({(1, (1, 11)), (0, (1, 15))}, 1) == (1, 11)
        assert track.reached(set(), 1) == (1, 2)

    def test_a_rewind_that_is_told_while_entering_is_no_place_to_go_on_from(self) -> None:
        world, id_log = World(0), Stage().id_log
        habits = ReaderHabits((S, b"t"), "0", None, 1, 1, "restart", 1.0, 0.0, seeks=False)
        reader = Reader(world, "reader-1", id_log, habits, cast("ReaderInvariants", None), cast("EventsInOrder", None))
        reader._hear(StreamReset(S, StreamId(2, 0), StreamId(1, 0)))
        assert not reader.tracks  # where it is in its streams is known when it is ready
