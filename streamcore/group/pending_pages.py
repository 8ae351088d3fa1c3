"""What a member holds, in pieces, and which of it the server lists for us.

What we hold may be scattered over a pending list of a million entries. So the server is never asked for the list, but for the
part of it between the first and the last entry of a piece, a bounded page of it; behind a page that is full of what we do not
hold, the next one begins at our next entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..engine.script import Steps, checked
from ..entries import GroupBatch, StreamId

if TYPE_CHECKING:
    from .read_loop import GroupReading

PAGE: Final = 500
"""Rows of the pending list that one command asks for, and ids that one command claims: a fraction of a millisecond each."""


class Piece(NamedTuple):
    """Entries of one stream in the order of their ids, and the batches that they are in; those that wait are in none."""

    stream: bytes
    ids: list[bytes]
    batches: list[GroupBatch[Any]]


def pieces(consumer: GroupReading[Any], stream: bytes | None = None) -> Iterator[Piece]:
    """What is held of a stream, or of all, at most ``PAGE`` entries of it at a time."""
    late = consumer.pending.unburied_streams()
    held = {*consumer.pending.streams(), *consumer.redelivery.streams(), *late} if stream is None else {stream}
    streams = [one for one in consumer.member.streams if one in held] if stream is None else [stream]
    piece: Piece | None = None
    for key, ids, batch in _parts(consumer, streams):
        if piece is not None and not _goes_on(piece, key, ids):
            yield from _cut(piece)
            piece = None
        if piece is None:
            piece = Piece(key, [], [])
        piece.ids.extend(ids)
        if batch is not None:
            piece.batches.append(batch)
    if piece is not None:
        yield from _cut(piece)


def look_for(consumer: GroupReading[Any], piece: Piece) -> Steps[tuple[list[Any], Piece]]:
    """The rows of one page that the server lists for us, and the part of the piece that they do not reach to."""
    member = consumer.member
    page = ("XPENDING", piece.stream, member.group, piece.ids[0], piece.ids[-1], PAGE, member.name)
    [listed] = yield from consumer.ask(page)
    rows: list[Any] = checked(listed)
    if len(rows) < PAGE:
        return rows, piece._replace(ids=[])
    last = StreamId.parse(rows[-1][0])
    return rows, piece._replace(ids=[id_ for id_ in piece.ids if StreamId.parse(id_) > last])


def still_held(consumer: GroupReading[Any], piece: Piece) -> set[bytes]:
    """What is still held of a piece, also by what the application has said meanwhile."""
    consumer.pending.collect()
    held = consumer.redelivery.ids(piece.stream) | consumer.pending.unburied(piece.stream)
    for batch in piece.batches:
        held.update(_unsettled(batch))
    return held


def _parts(
    consumer: GroupReading[Any], streams: list[bytes]
) -> Iterator[tuple[bytes, list[bytes], GroupBatch[Any] | None]]:
    by_stream: dict[bytes, list[GroupBatch[Any]]] = {}
    for batch in consumer.pending.batches:
        by_stream.setdefault(batch.key, []).append(batch)
    for stream in streams:
        for batch in by_stream.get(stream, ()):
            if ids := _unsettled(batch):
                yield stream, ids, batch
        for id_ in (*consumer.redelivery.waiting(stream), *consumer.pending.unburied(stream)):
            yield stream, [id_], None


def _goes_on(piece: Piece, stream: bytes, ids: list[bytes]) -> bool:
    fits = piece.stream == stream and len(piece.ids) + len(ids) <= PAGE
    return fits and StreamId.parse(piece.ids[-1]) < StreamId.parse(ids[0])


def _cut(piece: Piece) -> Iterator[Piece]:
    for at in range(0, len(piece.ids), PAGE):
        yield piece._replace(ids=piece.ids[at : at + PAGE])


def _unsettled(batch: GroupBatch[Any]) -> list[bytes]:
    unsettled = batch.unsettled
    return batch.ids if unsettled is None else [id_ for id_ in batch.ids if id_ in unsettled]
