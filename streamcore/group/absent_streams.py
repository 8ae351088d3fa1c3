"""Streams that a member of a group waits for: they do not exist, and are not to be created by it.

A stream that has expired, or was deleted, is not put back as an empty key that stays for ever; nor, with ``create="group"``, is one
created that nobody has written to yet. A read names only streams that exist; the others are looked for every ``LOOK`` seconds, many
by one command. When one is there its group is created at its beginning, since all that is in it has come while it was waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..connection.exchange import Arguments
from ..engine.script import Steps, checked
from ..engine.together import pages, together
from ..errors import UNAVAILABLE, ReplyError
from ..stream_id import ZERO

if TYPE_CHECKING:
    from .read_loop import GroupReading

LOOK: Final = 1.0
"""Seconds between two looks."""
KEYS: Final = 100
"""Streams that one command looks for."""
COMMANDS: Final = 10
"""Such commands that leave in one exchange."""


class Absence:
    """What one consumer waits for; true while there is something. ``at``: when they are looked for, infinite while there is none."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._streams: dict[bytes, None] = {}
        self.at = inf

    def __bool__(self) -> bool:
        return bool(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream: bytes) -> bool:
        return stream in self._streams

    @property
    def due(self) -> bool:
        """Whether that time has come."""
        return self._consumer.now >= self.at

    def covers(self, *, is_lost: bool) -> bool:
        """Whether a stream is waited for that does not exist; ``is_lost``: it did."""
        member = self._consumer.member
        return member.create == "group" or (is_lost and member.on_stream_lost == "wait")

    def begin(self, stream: bytes) -> None:
        """It is not there."""
        if not self._streams:
            self.at = self._consumer.now + LOOK
        self._streams[stream] = None

    def end(self, stream: bytes) -> None:
        """It is there, or is not read any more."""
        self._streams.pop(stream, None)
        if not self._streams:
            self.at = inf

    def look(self) -> Steps[None]:
        """See which of them are there, and begin to read those."""
        consumer = self._consumer
        self.at = consumer.now + LOOK
        waiting = list(self._streams)
        for at in range(0, len(waiting), KEYS * COMMANDS):
            found = yield from self._find(waiting[at : at + KEYS * COMMANDS])
            for page in pages(found, consumer.portions.looks):
                yield from together([self._meet(stream) for stream in page if stream in self._streams])
        for stream in waiting:
            if stream not in self._streams and stream in consumer.member.streams:
                yield from consumer.claims.recover(stream)

    def _find(self, streams: Sequence[bytes]) -> Steps[list[bytes]]:
        """Those that have entries."""
        parts = [streams[at : at + KEYS] for at in range(0, len(streams), KEYS)]
        reads: list[Arguments] = [("XREAD", "COUNT", 1, "STREAMS", *part, *("0-0" for _ in part)) for part in parts]
        replies: list[Any] = yield from self._consumer.ask(*reads)
        found: list[bytes] = []
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, ReplyError):
                if reply.code in UNAVAILABLE:
                    checked(reply)
                found += part  # each will tell by itself
            else:
                found += reply or {}
        return found

    def _meet(self, stream: bytes) -> Steps[None]:
        yield from self._consumer.upkeep.ensure_group(stream)
        if stream not in self._streams:
            self._consumer.claims.begin(stream, ZERO)
            self._consumer.upkeep.rota.came(stream)
