"""The questions of a consumer about the history of its streams, and the use of the replies.

Along with each read goes the proof of the last batch. A stream whose proof fails, or cannot be had, is *suspect*, and
checked before its new entries are handed over. When a read comes back empty, and now and then while other streams are
busy, a few streams are checked along with the next read, since a stream that began anew, with lower ids, would stay
silent for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Final, Protocol

from ..connection.exchange import Arguments
from ..engine.degradation import GAPS, Degradation
from ..engine.script import Replies, Steps, checked
from ..errors import (
    UNAVAILABLE,
    NoPermissionError,
    ReplyError,
    StreamResetError,
    WrongTypeError,
)
from ..events import Event, StreamReset
from ..reading.stream_history import History
from .cursor import StreamCursor

CHECKS: Final = 2
MAX_REFUSALS: Final = 3
EVERY: Final = 5.0
"""Seconds after which streams are checked, though no read has come back empty."""


class GapOwner(Protocol):
    """The consumer of a gap detection: its link to the server, and the receiver of events."""

    @property
    def degradation(self) -> Degradation: ...
    def emit(self, event: Event) -> None: ...
    def ask(self, *commands: Arguments) -> Steps[Replies]: ...
    def restart(self, cursor: StreamCursor) -> None: ...
    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None: ...


class GapDetection:
    """The gap detection of all streams of a consumer. ``on_rewind``: whether to ``"raise"`` or to ``"restart"``."""

    def __init__(self, owner: GapOwner, on_rewind: str) -> None:
        self.suspects: list[StreamCursor] = []
        self.refusals = 0  # reads that were refused in a row
        self._owner = owner
        self._on_rewind = on_rewind
        self._scheduled: list[StreamCursor] = []
        self._next = 0
        self._due = 0.0

    def drop(self, stream: bytes) -> None:
        """Drop the suspicion of a stream that is removed or sought."""
        self.suspects = [cursor for cursor in self.suspects if cursor.stream != stream]

    def schedule_checks(self, streams: Iterable[StreamCursor], now: float, *, idle: bool) -> None:
        """Choose a few streams to check along with the next read, in turn, if a check is due."""
        if not idle and now < self._due:
            return
        watched = [cursor for cursor in streams if cursor.watched]
        self._scheduled = [watched[(self._next + at) % len(watched)] for at in range(min(CHECKS, len(watched)))]
        self._next += CHECKS
        self._due = now + EVERY

    def question(self, cursor: StreamCursor) -> Arguments | None:
        """Return the command to send about a stream along with a read: a proof, or the XINFO STREAM of a check."""
        question = cursor.question()
        if cursor in self._scheduled:
            self._scheduled.remove(cursor)
            return question or ("XINFO", "STREAM", cursor.stream)
        return question

    def take_answer(self, cursor: StreamCursor, word: str, reply: Any) -> None:
        """Take the reply to the ``question`` of a stream; ``word`` is its command."""
        if isinstance(reply, ReplyError):
            reply.command = word
        if word == "XINFO":
            self._check_or_refuse(cursor, reply)
        elif isinstance(reply, ReplyError):
            if reply.code in UNAVAILABLE:
                self.suspects.append(cursor)  # which proves nothing
            elif not isinstance(reply, WrongTypeError):  # the read meets that as well
                self._switch_off(cursor, (word, cursor.stream), reply)
        elif not cursor.is_proven(reply):
            self.suspects.append(cursor)

    def check_all(self, streams: list[StreamCursor]) -> Steps[None]:
        """Check the histories of streams in a single exchange (``XRANGE``, ``XINFO STREAM``), as a part of a script."""
        asked = [(cursor, cursor.continuity, cursor.check_commands()) for cursor in streams]
        replies = iter((yield from self._owner.ask(*chain.from_iterable(commands for _, _, commands in asked))))
        for cursor, continuity, commands in asked:
            *anchor, info = islice(replies, len(commands))
            if cursor.continuity is continuity and not cursor.sought:
                self._check_or_refuse(cursor, info, *anchor)

    def _check_or_refuse(self, cursor: StreamCursor, info: Any, anchor: Any = None) -> None:
        """Check a stream among many: a refusal of the server concerns this stream only."""
        try:
            self.check(cursor, info, anchor)
        except ReplyError as error:
            if error.code in UNAVAILABLE:
                raise
            self._owner.refuse(cursor, error)

    def check(self, cursor: StreamCursor, info: Any, anchor: Any = None) -> None:
        """Judge the reply of ``XINFO STREAM``, and of ``XRANGE`` at the ``anchor``, where that was asked before.

        Raises ``StreamResetError``, and a ``ReplyError`` other than a missing stream.
        """
        if cursor.continuity is not None:
            for command, reply in ((("XRANGE", cursor.stream), anchor), (("XINFO", "STREAM", cursor.stream), info)):
                if isinstance(reply, NoPermissionError):
                    self._switch_off(cursor, command, reply)
                    return
        missing = isinstance(info, ReplyError) and info.code == "ERR"
        history = History() if missing else History.of(checked(info))
        if cursor.continuity is None:
            cursor.resolve(history)
            return
        if anchor is not None:
            cursor.is_proven(checked(anchor))
        if not cursor.watched or (found := cursor.continuity.judge(history)) is None:
            return
        self._owner.emit(found)
        if isinstance(found, StreamReset):
            if self._on_rewind == "raise":
                raise StreamResetError(
                    f"stream {cursor.stream.decode(errors='replace')!r} ends at {found.last}, before {found.cursor}, up to where "
                    "it was read: it began anew. Start from another place, or pass on_rewind='restart'"
                )
            self._owner.restart(cursor)
            self.check(cursor, info)

    def find_refused(self, streams: list[StreamCursor], error: ReplyError, *, alone: bool) -> Steps[None]:
        """Find the streams whose read the server refuses, as a part of a script; ``alone``: it read no other stream.

        Raises ``error`` where the server cannot serve now, or where no stream was the reason, again and again.
        """
        error.command = "XREAD"
        self.refusals += 1
        if error.code in UNAVAILABLE or self.refusals > MAX_REFUSALS:
            raise error
        if alone:
            for cursor in streams:
                self._owner.refuse(cursor, error)
            return
        replies = yield from self._owner.ask(
            *(("XREAD", "COUNT", 1, "STREAMS", cursor.stream, "$") for cursor in streams)
        )
        for cursor, reply in zip(streams, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._owner.refuse(cursor, reply)

    def _switch_off(self, cursor: StreamCursor, command: Arguments, error: ReplyError) -> None:
        if cursor.watched:
            cursor.watched = False
            self._owner.degradation.refused(GAPS, command, error)
