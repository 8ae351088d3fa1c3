"""Streams that a member of a group waits for: they do not exist, and are not to be created by it.

A stream that has expired, or was deleted, is not put back as an empty key that stays for ever; nor, with ``create="group"``,
is a stream created before its first entry. A read names only streams that exist; absent streams are looked for every ``LOOK``
seconds, many by a command (``XREAD``). When a stream is there its group is created at its beginning, since all its entries
have come while it was waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Final

from ..connection.exchange import Arguments
from ..engine.script import Steps, checked
from ..errors import UNAVAILABLE, ReplyError
from .context import GroupContext

LOOK: Final = 1.0
"""Seconds between two looks."""
KEYS: Final = 100
"""Streams that a command looks for."""
COMMANDS: Final = 10
"""Such commands in an exchange."""


class AbsentStreams:
    """The streams that a member waits for; true while there are any.

    ``at``: when they are looked for, in seconds; infinite while there are none.
    """

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        self._streams = context.absent
        self.at = inf

    def __bool__(self) -> bool:
        return bool(self._streams)

    def __contains__(self, stream: bytes) -> bool:
        return stream in self._streams

    def covers(self, *, is_lost: bool) -> bool:
        """Whether the member is to wait for a stream that does not exist; ``is_lost``: it did exist."""
        member = self._context.member
        return member.create == "group" or (is_lost and member.on_stream_lost == "wait")

    def begin(self, stream: bytes) -> None:
        """Wait for a stream that does not exist."""
        if not self._streams:
            self.at = self._context.now + LOOK
        self._streams[stream] = None

    def end(self, stream: bytes) -> None:
        """Wait no more: the stream exists, or is not read."""
        self._streams.pop(stream, None)
        if not self._streams:
            self.at = inf

    def put_off(self) -> None:
        """Look for the absent streams again ``LOOK`` seconds from now."""
        self.at = self._context.now + LOOK

    def find(self) -> Iterator[Steps[list[bytes]]]:
        """Look for the absent streams by ``XREAD``, some at a time; each part returns the streams that have entries."""
        waiting = list(self._streams)
        for at in range(0, len(waiting), KEYS * COMMANDS):
            yield self._find(waiting[at : at + KEYS * COMMANDS])

    def _find(self, streams: Sequence[bytes]) -> Steps[list[bytes]]:
        parts = [streams[at : at + KEYS] for at in range(0, len(streams), KEYS)]
        reads: list[Arguments] = [("XREAD", "COUNT", 1, "STREAMS", *part, *("0-0" for _ in part)) for part in parts]
        replies: list[Any] = yield from self._context.ask(*reads)
        found: list[bytes] = []
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, ReplyError):
                if reply.code in UNAVAILABLE:
                    checked(reply)
                found += part  # each will tell by itself
            else:
                found += reply or {}
        return found
