"""Replies about streams and groups, and the gap detection of a member that judges them."""

from __future__ import annotations

from typing import Any

from streamcore.engine.degradation import Degradation
from streamcore.events import Event
from streamcore.group.gap_detection import GroupGaps
from streamcore.group.options import Membership
from tests.core.support.group_stream import Stream
from tests.core.support.streams import info, listed

VALKEY9 = {b"server": b"valkey", b"version": b"9.1.2"}


def said(stream: Stream) -> dict[bytes, Any]:
    """The reply to XINFO STREAM."""
    there = stream.there
    told = info(
        f"{stream.added}-0",
        length=len(there),
        added=stream.added,
        first=f"{there[0]}-0" if there else None,
        deleted=f"{stream.deleted}-0",
        newest=f"{there[-1]}-0" if there else "",
    )
    return {key.encode(): encoded(value) for key, value in told.items()}


def encoded(value: Any) -> Any:
    return (
        value.encode()
        if isinstance(value, str)
        else [value[0].encode(), value[1]]
        if value and isinstance(value, list)
        else value
    )


def group(stream: Stream, name: bytes = b"g") -> dict[bytes, Any]:
    """The group's row of the reply to XINFO GROUPS."""
    told = listed(f"{stream.at}-0", place=stream.place)
    return {key.encode(): encoded(value) for key, value in told.items()} | {b"name": name}


def watching(*streams: str, detect_gaps: Any = "always") -> tuple[GroupGaps, list[Event]]:
    events: list[Event] = []
    member = Membership.of(streams, "g", "c", detect_gaps=detect_gaps)
    gaps = GroupGaps(member, events.append, Degradation(events.append))
    gaps.connected(VALKEY9)
    return gaps, events


def audit(gaps: GroupGaps, stream: Stream, name: bytes = b"s", **told: Any) -> None:
    gaps.hear(name, [said(stream)], stream.group, **told)


def anchor(id_: str) -> list[Any]:
    """The reply to XRANGE at an entry that is there."""
    return [[id_.encode(), [b"f", b"v"]]]
