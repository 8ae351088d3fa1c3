"""The state of a reader's engine that its oracles compare with the log: entries that have arrived, and its last look at a stream.

An application cannot know either, so the engine has no call for it. It is read here, and nowhere else in this workload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamcore import StreamId

from ...world.stream_log import Id
from .losses import Key

if TYPE_CHECKING:
    from streamcore import Consumer
    from streamcore.reading.stream_history import History

    from .id_log import IdLog


def arrived(engine: Consumer[Any], id_log: IdLog, stream: bytes) -> set[Key]:
    """The entries of a stream that have arrived and were not handed over: they are not missed, even if they are removed."""
    rows = [
        row
        for batch in (*engine._reader.arrived, *(one[0] for one in engine.readers[0].prefetch._ready))  # noqa: SLF001
        if batch.key == stream
        for row in batch.raw
    ]
    if engine._merge is not None:  # noqa: SLF001
        rows += [row[2] for row in engine._merge._held.get(stream, ())]  # noqa: SLF001
    return {id_log.key(stream, _id(row[0]), row[1][1]) for row in rows}


def seen_by(engine: Consumer[Any], stream: bytes) -> History | None:
    """The history of a stream by the engine's last look at it; None before the first look."""
    sought = [change.cursor for change in engine._changes if change.cursor.stream == stream]  # noqa: SLF001
    followed = sought[0] if sought else engine._streams.get(stream)  # noqa: SLF001
    return None if followed is None or followed.continuity is None else followed.continuity.seen


def _id(text: bytes) -> Id:
    id_ = StreamId.parse(text)
    return id_.ms, id_.seq
