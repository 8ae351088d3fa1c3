"""The entries of a stream, as the application sees them.

A ``Batch`` is the part of a read's reply that belongs to a stream: a view over the lists that the decoder built. An
``Entry`` is a view of an element, ``[id, [field, value, ...]]``; ids are parsed and fields decoded only when
asked for. ``GroupBatch`` and ``GroupEntry`` belong to a consumer group and can be acknowledged.

Acknowledging, or refusing, may happen in any thread and costs an append: ids collect in the batch, the batch notes
itself once in its ``inbox``, and the engine, in its own time, drains both. The order of the steps makes a lost wake-up
impossible: append, then note; un-note, then drain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, overload

from .arguments import Seconds, seconds
from .errors import InvalidArgument
from .process_bound import ProcessBound
from .sense import MISSHAPEN, ids_in, senseless, unread
from .stream_id import StreamId

__all__ = ["BaseBatch", "Batch", "Entry", "GroupBatch", "GroupEntry", "Refusal", "StreamId"]

T = TypeVar("T", bytes, str)
E = TypeVar("E", bound="Entry[Any]")


class Entry(Generic[T]):
    """An entry of a stream. Unpacks as ``stream, id, fields = entry``; ``entry["total"]`` is the value of a field.

    ``"total" in entry`` tells whether it has the field. Two are equal where their streams, ids and fields are, decoded
    alike.
    """

    __slots__ = ("_batch", "_raw")
    _batch: BaseBatch[T, Any]

    def __init__(self, batch: BaseBatch[T, Any], raw: Any) -> None:
        self._batch = batch
        self._raw = raw

    @property
    def stream(self) -> T:
        """The name of the stream."""
        return self._batch.stream

    @property
    def id(self) -> StreamId:
        """The entry's id. Raises ``RemoteProtocolError`` where the server has sent none."""
        try:
            return StreamId.parse(self._raw[0])
        except InvalidArgument:
            raise senseless("the id of an entry") from None

    @property
    def raw_id(self) -> bytes:
        """The entry's id as the server wrote it."""
        id_: bytes = self._raw[0]
        return id_

    @property
    def fields(self) -> dict[T, T]:
        """Fields and values; where the entry repeats a field, the last value. ``pairs`` has them all.

        Raises ``UnicodeDecodeError`` for a value that is no text, and ``RemoteProtocolError`` where the server has
        sent no fields.
        """
        try:
            values = iter(self._batch.decode(self._raw[1]))
            return dict(zip(values, values, strict=True))
        except MISSHAPEN as error:
            raise unread(error) from None

    def pairs(self) -> list[tuple[T, T]]:
        """Fields and values in the entry's own order, repeated fields included."""
        try:
            values = iter(self._batch.decode(self._raw[1]))
            return list(zip(values, values, strict=True))
        except MISSHAPEN as error:
            raise unread(error) from None

    def __getitem__(self, field: str | bytes) -> T:
        try:
            wanted = field.encode(self._batch.encoding or "utf-8") if isinstance(field, str) else field
        except UnicodeEncodeError:
            raise KeyError(field) from None
        flat = self._raw[1]
        try:
            for at in range(len(flat) - 2, -1, -2):
                if flat[at] == wanted:
                    return self._batch.decode(flat[at + 1 : at + 2])[0]
        except MISSHAPEN as error:
            raise unread(error) from None
        raise KeyError(field)

    def __contains__(self, field: object) -> bool:
        if isinstance(field, str):
            try:
                field = field.encode(self._batch.encoding or "utf-8")
            except UnicodeEncodeError:
                return False
        try:
            return field in self._raw[1][::2]
        except MISSHAPEN as error:
            raise unread(error) from None

    def get(self, field: str | bytes, default: T | None = None) -> T | None:
        """The value of a field, or ``default`` where the entry does not have it."""
        try:
            return self[field]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[Any]:
        return iter((self.stream, self.id, self.fields))

    def __eq__(self, other: object) -> bool:
        theirs: Any = other
        return isinstance(other, Entry) and self._value() == theirs._value()

    def _value(self) -> tuple[Any, ...]:
        return self._raw, self._batch.key, self._batch.encoding

    def __hash__(self) -> int:
        return hash((self._batch.key, self._raw[0]))

    def __reduce__(self) -> tuple[Any, ...]:
        batch = self._batch
        return _entry, (batch.key, self._raw, batch.encoding)  # without the entries that came with it

    def __repr__(self) -> str:
        [stream] = self._batch.shown([self._batch.key])
        try:
            flat = self._batch.shown(self._raw[1])
            fields: object = dict(zip(flat[::2], flat[1::2], strict=True))
        except MISSHAPEN:
            fields = self._raw[1]
        return f"{type(self).__name__}(stream={stream!r}, id={self.raw_id.decode(errors='replace')}, fields={fields!r})"


class Refusal(NamedTuple):
    """An entry that could not be processed: to be delivered again after ``delay`` seconds, or never (None)."""

    id: bytes
    delay: float | None
    reason: bytes


class GroupEntry(ProcessBound, Entry[T]):
    """An entry delivered to a consumer group: pending until it is acknowledged."""

    __slots__ = ()
    _instead = "pass on its stream, id and fields, and settle it here"
    _batch: GroupBatch[T]  # pyright: ignore[reportIncompatibleVariableOverride]  # set once, by __init__

    def ack(self) -> None:
        """Acknowledge (``XACK``): coalesced with others, sent with the next read or within 50 ms. From any thread."""
        batch = self._batch
        batch.acks.append(self._raw[0])
        if not batch.noted:
            batch.note()

    def nack(self, delay: Seconds = 0.0, reason: str = "refused") -> None:
        """Give it back: any member of the group may have it again, at once or after ``delay`` seconds. From any thread.

        Where this was the last of ``max_deliveries``, it becomes a dead letter, with the ``reason``. An
        acknowledgement wins, if it comes before this has left. Raises ``InvalidArgument`` for a negative delay.
        """
        self._batch.refuse([self._raw[0]], seconds("delay", delay, zero=True), reason)

    def dead_letter(self, reason: str = "rejected") -> None:
        """Move it to the dead-letter stream, with the ``reason``, and settle it. From any thread."""
        self._batch.refuse([self._raw[0]], None, reason)

    def settled(self) -> bool:
        """Whether the server has confirmed its settlement; ``consumer.flush()`` waits for that of all entries."""
        return self._batch.is_settled(self._raw[0])

    @property
    def deliveries(self) -> int:
        """How often it has been handed over, this time included: 1 is the first attempt."""
        return self._batch.deliveries


class BaseBatch(Sequence[E], Generic[T, E]):
    """Entries of a stream that came in the same reply, in id order. ``size`` is about their bytes on the wire."""

    __slots__ = ("_ids", "_listed", "encoding", "key", "raw", "size")
    view: ClassVar[Any]  # the class of E

    def __init__(self, key: bytes, raw: list[Any], *, encoding: str | None = None, size: int = 0) -> None:
        self.key = key
        self.raw = raw
        self.encoding = encoding
        self.size = size
        self._ids: list[bytes] = []
        self._listed: object = None  # the list whose ids these are

    @property
    def stream(self) -> T:
        """The name of the stream."""
        return self.decode([self.key])[0]

    @property
    def ids(self) -> list[bytes]:
        """The ids of all entries, as the server wrote them. Raises ``RemoteProtocolError`` where there are none."""
        if self._listed is not self.raw:
            self.check()
        return self._ids.copy()

    def check(self) -> None:
        """Raise ``RemoteProtocolError`` where an element is no entry."""
        self._ids, self._listed = ids_in(self.raw), self.raw

    def decode(self, values: list[bytes]) -> list[T]:
        """Values as the application asked for them: bytes, or text by ``encoding``. Raises ``UnicodeDecodeError``."""
        encoding = self.encoding
        decoded: list[Any] = values if encoding is None else [value.decode(encoding) for value in values]
        return decoded

    def shown(self, values: list[bytes]) -> list[Any]:
        """Like ``decode``, for a repr: never raises."""
        encoding = self.encoding
        return values if encoding is None else [value.decode(encoding, "backslashreplace") for value in values]

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[E]:
        return map(partial(self.view, self), self.raw)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: int | slice) -> E | list[E]:
        if isinstance(index, slice):
            return list(map(partial(self.view, self), self.raw[index]))
        entry: E = self.view(self, self.raw[index])
        return entry

    def __repr__(self) -> str:
        ends = [id_.decode(errors="replace") for id_ in self.ids]
        span = f", {ends[0]} to {ends[-1]}" if ends else ""
        [stream] = self.shown([self.key])
        return f"{type(self).__name__}(stream={stream!r}, {len(self)} entries{span})"


def _never(_: GroupBatch[Any], __: bytes) -> bool:
    return False


class Batch(BaseBatch[T, Entry[T]]):
    """A batch of a consumer without a group."""

    __slots__ = ()
    view = Entry


def _entry(key: bytes, raw: list[Any], encoding: str | None) -> Entry[Any]:
    """Make an entry that was pickled or copied."""
    return Entry(Batch[Any](key, [raw], encoding=encoding), raw)


class GroupBatch(ProcessBound, BaseBatch[T, GroupEntry[T]]):
    """A batch delivered to a consumer group. ``deliveries``: how often its entries were handed over, now included."""

    __slots__ = ("acks", "awaited", "deliveries", "inbox", "is_unsure", "lost", "noted", "refusals", "unsettled")
    view = GroupEntry
    _instead = "pass on the streams, ids and fields of its entries, and settle them here"
    inbox: Callable[[GroupBatch[T]], None]
    awaited: Callable[[GroupBatch[T], bytes], bool]

    def __init__(
        self,
        key: bytes,
        raw: list[Any],
        *,
        inbox: Callable[[GroupBatch[T]], None],
        awaited: Callable[[GroupBatch[T], bytes], bool] = _never,
        encoding: str | None = None,
        size: int = 0,
        deliveries: int = 1,
        is_unsure: bool = False,
    ) -> None:
        super().__init__(key, raw, encoding=encoding, size=size)
        self.inbox = inbox
        self.awaited = awaited  # whether the server's word on an id is still to come
        self.deliveries = deliveries
        self.is_unsure = is_unsure  # whether the only delivery before was seen
        self.acks: list[bytes] = []
        self.refusals: list[Refusal] = []
        self.noted = False
        self.unsettled: set[bytes] | None = None  # None: none of the entries is settled yet
        self.lost: frozenset[bytes] = frozenset()  # neither ours any more, nor settled by us

    def ack(self) -> None:
        """Acknowledge every entry of the batch, from any thread; the engine sends the XACK."""
        self.acks.extend(self.ids)
        if not self.noted:
            self.note()

    def nack(self, delay: Seconds = 0.0, reason: str = "refused") -> None:
        """Give every entry of the batch back that was not acknowledged; see ``GroupEntry.nack``."""
        self.refuse(self.ids, seconds("delay", delay, zero=True), reason)

    def dead_letter(self, reason: str = "rejected") -> None:
        """Move every entry of the batch that was not acknowledged to the dead-letter stream."""
        self.refuse(self.ids, None, reason)

    def refuse(self, ids: list[bytes], delay: float | None, reason: str) -> None:
        """Refuse entries: the common part of ``nack`` and ``dead_letter`` (``delay`` None)."""
        said = reason.encode(errors="backslashreplace")
        self.refusals.extend(Refusal(id_, delay, said) for id_ in ids)
        if not self.noted:
            self.note()

    def is_settled(self, id_: bytes) -> bool:
        """Tell whether the server has confirmed the settlement of an entry."""
        unsettled = self.unsettled
        if unsettled is None or id_ in unsettled or id_ in self.lost:
            return False
        return not self.awaited(self, id_)

    def note(self) -> None:
        """Put the batch into the engine's inbox, once until it is collected."""
        self.noted = True
        try:
            self.inbox(self)
        except BaseException:  # interrupted by Ctrl-C: the next ack shall tell
            self.noted = False
            raise

    @property
    def settled(self) -> bool:
        """Whether every entry was acknowledged or refused, and collected by the engine."""
        return not (self.raw if self.unsettled is None else self.unsettled)

    def split(self, at: int) -> GroupBatch[T]:
        """Cut the batch in two: keep the first ``at`` entries, return the rest.

        Entries of the rest that were handed over before must not be acknowledged any more; their copies in the
        returned batch can.
        """
        size = self.size * (len(self.raw) - at) // len(self.raw)
        rest = GroupBatch[T](
            self.key,
            self.raw[at:],
            inbox=self.inbox,
            awaited=self.awaited,
            encoding=self.encoding,
            size=size,
            deliveries=self.deliveries,
            is_unsure=self.is_unsure,
        )
        self.raw, self.size = self.raw[:at], self.size - size
        if self.unsettled is not None:
            rest.unsettled = self.unsettled.intersection(rest.ids)
            self.unsettled -= rest.unsettled
            rest.lost = self.lost
        return rest

    def forget(self, ids: set[bytes]) -> int:
        """Give up entries that are not ours any more; return how many of them were unsettled."""
        if self.unsettled is None:
            self.unsettled = set(self.ids)
        gone = self.unsettled & ids
        self.lost |= gone
        self.unsettled -= gone
        return len(gone)

    def collect_refusals(self) -> list[Refusal]:
        """Take the refusals since the last call, but for acknowledged entries; for the engine, after ``collect``."""
        refusals = self.refusals.copy()
        del self.refusals[: len(refusals)]
        assert self.unsettled is not None, "collect comes first"
        fresh: list[Refusal] = []
        for refusal in refusals:
            if refusal.id in self.unsettled:
                self.unsettled.discard(refusal.id)
                fresh.append(refusal)
        return fresh

    def collect(self) -> list[bytes]:
        """Take the ids acknowledged since the last call, each once in the batch's life; for the engine."""
        self.noted = False
        ids = self.acks.copy()
        del self.acks[: len(ids)]
        if self.unsettled is None:
            everything = self.ids
            if ids == everything:
                self.unsettled = set()
                return ids
            self.unsettled = set(everything)
        fresh = [id_ for id_ in dict.fromkeys(ids) if id_ in self.unsettled]
        self.unsettled.difference_update(fresh)
        return fresh
