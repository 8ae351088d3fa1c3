"""Probe the state of engines, and of the faces that hold them: what records, invariants and programs ask for that no call tells.

An invariant judges by what an application sees, by what the network has carried, and by what the server knows. Where it compares that
with what an engine holds, or has seen, it asks here. Nothing else in the simulator reads an attribute that is not public.
"""

# ruff: noqa: SLF001  # this is what the module is for

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from streamcore.reading.engine import ReadingEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamcore import Consumer, Engine, GroupBatch, GroupConsumer, GroupEntry, StreamId
    from streamcore.reading.stream_history import History

Row = tuple[bytes, list[bytes]]
"""An entry as the server sends it: its id, and its fields and values in turn."""


# -- what an engine has read ahead ------------------------------------------------------------------------------------


def arrivals(engine: Engine) -> int:
    """Count the batches that have arrived so far; 0 for an engine that reads nothing."""
    return sum(reader.prefetch.added for reader in engine.readers) if isinstance(engine, ReadingEngine) else 0


def arrivals_of(engine: ReadingEngine[Any]) -> list[int]:
    """Count the batches that have arrived so far, of each reader."""
    return [reader.prefetch.added for reader in engine.readers]


def departures(engine: ReadingEngine[Any]) -> int:
    """Count the batches that had arrived before the batch that is taken next, or ever."""
    return engine.readers[0].prefetch.reached


def read_ahead(engine: ReadingEngine[Any]) -> list[Any]:
    """List the batches that have arrived and were not taken, in their order."""
    return [batch for reader in engine.readers for batch, *_ in reader.prefetch._ready]


# -- readers without a group ------------------------------------------------------------------------------------------


def arrived(engine: Consumer[Any], stream: bytes) -> list[Row]:
    """List the entries of a stream that have arrived and were not handed over."""
    batches = [*(batch for reader in engine._readers for batch in reader.arrived), *read_ahead(engine)]
    rows = [row for batch in batches if batch.key == stream for row in batch.raw]
    if engine._merge is not None:
        rows += [row[2] for row in engine._merge._held.get(stream, ())]
    return rows


def seen_by(engine: Consumer[Any], stream: bytes) -> History | None:
    """Return the history of a stream by the engine's last look at it; None before the first look."""
    sought = [change.cursor for one in engine._readers for change in one.changes if change.cursor.stream == stream]
    followed = sought[0] if sought else engine._streams.get(stream)
    return None if followed is None or followed.continuity is None else followed.continuity.seen


# -- members of groups ------------------------------------------------------------------------------------------------


class Watch(NamedTuple):
    """What a member knows of a stream by its last look, and of its group there.

    ``at`` is the group's last-delivered id then, ``reached`` the highest id that was ever delivered to it; ``is_alone``: no other
    consumer was in the group at the last two looks; ``unread``: entries that it had not been given, 0 where their number is not known.
    """

    seen: History
    at: StreamId
    reached: StreamId
    is_alone: bool
    unread: int


class InFlight(NamedTuple):
    """How many ``entries`` are in flight, and how many may be at ``most``: the limit, and what the reads under way may bring."""

    entries: int
    most: int


def reader_of(engine: GroupConsumer[Any], stream: bytes) -> int:
    """Find the place of a stream's reader among all readers."""
    return engine.members.index(engine._member_of[stream])


def watched(engine: GroupConsumer[Any], stream: bytes) -> Watch | None:
    """Return what a member knows of a stream; None before its first look."""
    known = engine._member_of[stream].loop.gaps._histories.get(stream)
    if known is None or (seen := known.identity.seen) is None:
        return None
    return Watch(seen, known._at, known._reached, known._is_alone, known._unread(seen))


def awaits(engine: GroupConsumer[Any], stream: bytes) -> bool:
    """Whether a member waits for a stream that was not there, and sees nothing but entries."""
    return stream in engine._member_of[stream].loop.absent_streams


def has_known(engine: GroupConsumer[Any], stream: bytes) -> bool:
    """Whether a member has seen its group in a stream, and has not given the stream up since."""
    return stream in engine._member_of[stream].loop.setup._known


def has_entered(engine: GroupConsumer[Any]) -> bool:
    """Whether a member has entered its group over the present connection."""
    return engine.members[0].loop.lineage._is_current


def is_reading(engine: GroupConsumer[Any]) -> bool:
    """Whether a read of each member is under way; what the server had given to its name before, it has listed."""
    return all(member.loop.in_flight.reads > 0 for member in engine.members)


def may_give(engine: GroupConsumer[Any]) -> bool:
    """Whether a batch may be there for the application: as an arrived batch, or of entries to be read again."""
    return engine.has_batch or any(member.loop.redelivery_queue for member in engine.members)


def in_flight(engine: GroupConsumer[Any]) -> Iterator[InFlight]:
    """Tell the entries in flight of each member whose entries the server keeps as pending."""
    for member in engine.members:
        if member.membership.keeps:
            most = member.membership.max_in_flight + member.loop.in_flight.most_at_once
            yield InFlight(member.loop.pending.in_flight, most)


def guards_its_name(engine: GroupConsumer[Any]) -> bool:
    """Whether a member holds the lease on its name."""
    return engine.members[0].loop.lease.is_held


def can_prove_itself(engine: GroupConsumer[Any]) -> bool:
    """Whether a member knows in which run of the server its connection is, and can close it later."""
    present = engine.members[0].loop.setup.present
    return present is not None and bool(present.run_id)


def removes_idle_consumers(engine: GroupConsumer[Any]) -> bool:
    """Whether a member looks for consumers that are gone: it wants to, and was not refused."""
    return engine.members[0].loop.idle_consumers.at < inf


def batch_of(entry: GroupEntry[Any]) -> GroupBatch[Any]:
    """Return the batch that an entry was delivered in."""
    return entry._batch


def row_of(entry: GroupEntry[Any]) -> Any:
    """Return an entry as the server has sent it (a ``Row``), without parsing: thousands of times a run."""
    return entry._raw


# -- faces ------------------------------------------------------------------------------------------------------------


def engine_of(face: Any) -> Any:
    """Return the engine of a client, a consumer or a hub: its events are judged when they happen, not when they are taken."""
    return face._running.engine


def silence(face: Any) -> None:
    """Keep a face from logging, which writes to the terminal."""
    face._running._journal.note = _say_nothing


def _say_nothing(*_: object) -> None:
    """No log."""
