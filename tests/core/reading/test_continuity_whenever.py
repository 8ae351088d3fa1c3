"""Whatever happens to a stream, and whenever a reader looks: its silence is a proof, and what it is sure of is true."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from streamcore.entries import StreamId
from streamcore.events import Gap
from streamcore.reading.continuity import Continuity
from streamcore.reading.stream_history import History

S = b"s"
Step: TypeAlias = tuple[str, int]


class Stream:
    """A stream, as the servers keep it, and what nobody but the test knows: which of its entries a reader has lost."""

    def __init__(self) -> None:
        self.there: list[int] = []
        self.last = self.added = self.deleted = 0
        self.had = 0  # the last entry that was read
        self.era = 0
        self.lost: dict[int, str] = {}

    def add(self, count: int) -> None:
        self.there += range(self.last + 1, self.last + count + 1)
        self.last += count
        self.added += count

    def trim(self, count: int) -> None:
        self._remove(self.there[:count], "trimmed")

    def delete(self, at: int) -> None:
        gone = self.there[at : at + 1]
        self.deleted = max([self.deleted, *gone])
        self._remove(gone, "deleted")

    def begin_anew(self, count: int) -> None:
        """Deleted, and as many entries in another one, with ids that go on."""
        self._end()
        self.add(count)

    def begin_alike(self, count: int) -> None:
        """The same, with the ids of the former one and more."""
        self._end()
        count, self.last = self.last + count, 0
        self.add(count)

    def _end(self) -> None:
        self._remove(self.there, "replaced")
        self.added = self.deleted = 0
        self.era += 1

    def read(self, count: int) -> list[Any]:
        batch = [id_ for id_ in self.there if id_ > self.had][:count]
        self.had = max([self.had, *batch])
        return self.find(*batch)

    def find(self, *ids: int) -> list[Any]:
        return [[b"%d-0" % id_, [b"f", b"%d in %d" % (id_, self.era)]] for id_ in ids if id_ in self.there]

    @property
    def history(self) -> History:
        first, newest = (StreamId(self.there[0]), StreamId(self.there[-1])) if self.there else (None, None)
        return History(len(self.there), self.added, first, newest, StreamId(self.last), StreamId(self.deleted))

    def _remove(self, ids: list[int], how: str) -> None:
        self.lost.update({id_: how for id_ in ids if id_ > self.had})
        self.there = [id_ for id_ in self.there if id_ not in ids]


class Reader:
    """Reads, and proves what it has read, as a ``GapDetection`` does."""

    def __init__(self, stream: Stream) -> None:
        self.told: list[Gap] = []
        self._stream = stream
        stream.had = stream.last
        self._continuity = Continuity(S, StreamId(stream.last), stream.added, is_entry=stream.last in stream.there)
        self._continuity.begin(stream.history)
        self.look()  # an entry whose fields nobody has seen is not told from another one

    def read(self, count: int) -> None:
        question = self._continuity.question()
        if question is not None and (question[0] == "XINFO" or not self._continuity.is_proven(self._anchor(question))):
            self._judge()
        if batch := self._stream.read(count):
            self._continuity.received(batch)

    def look(self) -> None:
        if (question := self._continuity.anchor()) is not None:
            self._continuity.is_proven(self._anchor(question))
        self._judge()

    def _anchor(self, question: Any) -> list[Any]:
        return self._stream.find(StreamId.parse(question[2]).ms)

    def _judge(self) -> None:
        found = self._continuity.judge(self._stream.history)
        if isinstance(found, Gap):
            self.told.append(found)


def steps(*names: str) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.tuples(st.sampled_from(names), st.integers(1, 6)), max_size=25)


def do(stream: Stream, reader: Reader, name: str, number: int) -> None:
    {
        "add": lambda: stream.add(number),
        "trim": lambda: stream.trim(number),
        "delete": lambda: stream.delete(number - 1),
        "begin anew": lambda: stream.begin_anew(number * number),
        "begin alike": lambda: stream.begin_alike(number),
        "read": lambda: reader.read(number),
        "look": reader.look,
    }[name]()


def covers(gap: Gap, id_: int) -> bool:
    return gap.after < StreamId(id_) and (gap.before is None or StreamId(id_) < gap.before)


ONE_STREAM = steps("add", "add", "trim", "delete", "read", "read", "look")
SEVERAL = steps("add", "add", "trim", "begin anew", "begin alike", "read", "read", "look")


@given(ONE_STREAM)
def test_what_is_trimmed_unread_is_told_by_the_next_look(story: list[Step]) -> None:
    stream = Stream()
    stream.add(3)
    reader = Reader(stream)
    for name, number in story:
        do(stream, reader, name, number)
    reader.look()
    trimmed = [id_ for id_, how in stream.lost.items() if how == "trimmed"]
    assert not [id_ for id_ in trimmed if not any(covers(gap, id_) for gap in reader.told)]


@given(ONE_STREAM)
def test_a_gap_that_is_certain_is_true_and_its_number_exact(story: list[Step]) -> None:
    stream = Stream()
    stream.add(3)
    reader = Reader(stream)
    counted: set[int] = set()
    for name, number in story:
        told = len(reader.told)
        do(stream, reader, name, number)
        for gap in reader.told[told:]:
            lost = {id_ for id_ in stream.lost if covers(gap, id_)} - counted
            assert lost or not gap.certain
            assert gap.entries is None or gap.entries <= len(lost)
            if gap.entries is not None and "deleted" not in stream.lost.values():
                assert gap.entries == len(lost)
            counted |= lost


@given(SEVERAL)
def test_another_stream_is_told_unless_its_counters_explain_the_loss(story: list[Step]) -> None:
    stream = Stream()
    stream.add(3)
    reader = Reader(stream)
    for name, number in story:
        do(stream, reader, name, number)
        if name.startswith("begin"):
            reader.look()  # nothing has been read of it yet
            replaced = [id_ for id_, how in stream.lost.items() if how == "replaced"]
            assert not [id_ for id_ in replaced if not any(covers(gap, id_) for gap in reader.told)]
