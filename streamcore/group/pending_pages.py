"""The entries that a member holds, in pieces, and the pages of the pending list that show which of them the server lists for us.

A member's entries may be scattered over a pending list of a million rows. So the server is never asked for the list, but for
the part of it between the first and the last entry of a piece, a bounded page of it (``XPENDING``); behind a page that is
full of entries that we do not hold, the next page begins at our next entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from ..engine.script import Steps, checked
from ..entries import GroupBatch, StreamId
from .context import GroupContext
from .holdings import Holdings

PAGE: Final = 500
"""Rows of the pending list that a command asks for, and ids that a command claims: a fraction of a millisecond each."""


class Piece(NamedTuple):
    """Entries of a stream in the order of their ids, and the batches that they are in; entries that wait are in no batch."""

    stream: bytes
    ids: list[bytes]
    batches: list[GroupBatch[Any]]


def pieces(holdings: Holdings, streams: Sequence[bytes]) -> Iterator[Piece]:
    """Cut the held entries of streams into pieces of at most ``PAGE`` entries, each in the order of its ids."""
    piece: Piece | None = None
    for key, ids, batch in _parts(holdings, streams):
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


def look_for(context: GroupContext, piece: Piece) -> Steps[tuple[list[Any], Piece]]:
    """Ask for a page of our pending entries (``XPENDING``); return its rows, and the part of the piece behind them."""
    member = context.member
    page = ("XPENDING", piece.stream, member.group, piece.ids[0], piece.ids[-1], PAGE, member.name)
    [listed] = yield from context.ask(page)
    rows: list[Any] = checked(listed)
    if len(rows) < PAGE:
        return rows, piece._replace(ids=[])
    last = StreamId.parse(rows[-1][0])
    return rows, piece._replace(ids=[id_ for id_ in piece.ids if StreamId.parse(id_) > last])


def still_held(holdings: Holdings, piece: Piece) -> set[bytes]:
    """The ids of a piece that are still held, without the entries that the application has settled meanwhile."""
    holdings.pending.collect()
    held = holdings.queue.ids(piece.stream) | holdings.pending.unburied(piece.stream)
    for batch in piece.batches:
        held.update(_unsettled(batch))
    return held


def _parts(holdings: Holdings, streams: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes], GroupBatch[Any] | None]]:
    of = {stream: holdings.pending.batches_of(stream) for stream in streams}
    for stream in streams:
        for batch in of[stream]:
            if ids := _unsettled(batch):
                yield stream, ids, batch
        for id_ in (*holdings.queue.waiting(stream), *holdings.pending.unburied(stream)):
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
