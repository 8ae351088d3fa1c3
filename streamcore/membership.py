"""Who a consumer is in its group, and how it has been told to behave there; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from .arguments import Name, Seconds, name, positive, seconds, stream_names
from .entries import StreamId
from .errors import InvalidArgument


class MemberOptions(TypedDict, total=False):
    """Keywords of a member of a group, explained at ``GroupConsumer``."""

    create: bool
    start: str | StreamId
    backlog: bool
    max_in_flight: int
    claim_idle: Seconds | None
    renew: bool
    release: bool
    ack_delay: Seconds
    audit: Seconds


@dataclass(frozen=True, slots=True)
class Membership:
    """All durations are seconds; ``claim_idle`` is None where nothing is claimed."""

    streams: list[bytes]
    group: bytes
    name: bytes
    create: bool
    start: str
    backlog: bool
    max_in_flight: int
    claim_idle: float | None
    renew: bool
    release: bool
    ack_delay: float
    audit: float

    @classmethod
    def of(
        cls,
        streams: Name | Iterable[Name],
        group: Name,
        consumer: Name,
        *,
        create: bool = True,
        start: str | StreamId = "0",
        backlog: bool = True,
        max_in_flight: int = 10_000,
        claim_idle: Seconds | None = 60.0,
        renew: bool = True,
        release: bool = True,
        ack_delay: Seconds = 0.05,
        audit: Seconds = 5.0,
    ) -> Membership:
        """Raises ``InvalidArgument``."""
        if isinstance(streams, Mapping):
            raise InvalidArgument("a group's streams are names; where a new group begins is told by start=")
        return cls(
            streams=stream_names(streams),
            group=name("group", group),
            name=name("consumer", consumer),
            create=create,
            start="$" if start == "$" else str(start if isinstance(start, StreamId) else StreamId.parse(start)),
            backlog=backlog,
            max_in_flight=positive("max_in_flight", max_in_flight),
            claim_idle=None if claim_idle is None else seconds("claim_idle", claim_idle),
            renew=renew,
            release=release,
            ack_delay=seconds("ack_delay", ack_delay, zero=True),
            audit=seconds("audit", audit),
        )
