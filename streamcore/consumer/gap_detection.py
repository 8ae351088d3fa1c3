"""What a consumer asks about the history of its streams, and what it does about the answers.

Along with each read goes the proof of the last batch. A stream whose proof fails, or cannot be had, is *suspect*, and looked
at before what came after it is handed over. When a read comes back empty, and now and then while others are busy, a few
streams are looked at along with the next one, since one that began anew, with lower ids, would stay silent for ever.
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
from .cursor import Followed

LOOKS: Final = 2
MAX_SETBACKS: Final = 3
EVERY: Final = 5.0
"""Seconds after which streams are looked at, though no read has come back empty."""


class Watcher(Protocol):
    """What a watch tells its consumer."""

    @property
    def degradation(self) -> Degradation: ...
    def emit(self, event: Event) -> None: ...
    def ask(self, *commands: Arguments) -> Steps[Replies]: ...
    def restart(self, one: Followed) -> None: ...
    def refused(self, one: Followed, error: ReplyError) -> None: ...


class Watch:
    """The watch over all streams of a consumer. ``on_rewind``: whether to ``"raise"`` or to ``"restart"``."""

    def __init__(self, watcher: Watcher, on_rewind: str) -> None:
        self.suspects: list[Followed] = []
        self.setbacks = 0  # reads that were refused, one after the other
        self._watcher = watcher
        self._on_rewind = on_rewind
        self._looks: list[Followed] = []
        self._next = 0
        self._due = 0.0

    def forget(self, stream: bytes) -> None:
        """The stream is not followed any more, or from another place."""
        self.suspects = [one for one in self.suspects if one.stream != stream]

    def look_soon(self, streams: Iterable[Followed], now: float, *, idle: bool) -> None:
        """Choose a few streams to be looked at along with the next read, others than the last time, if it is time for that."""
        if not idle and now < self._due:
            return
        watched = [one for one in streams if one.watched]
        self._looks = [watched[(self._next + at) % len(watched)] for at in range(min(LOOKS, len(watched)))]
        self._next += LOOKS
        self._due = now + EVERY

    def question(self, one: Followed) -> Arguments | None:
        """What to ask about a stream along with a read, if anything."""
        question = one.question()
        if one in self._looks:
            self._looks.remove(one)
            return question or ("XINFO", "STREAM", one.stream)
        return question

    def hear(self, one: Followed, word: str, reply: Any) -> None:
        """The answer to that."""
        if isinstance(reply, ReplyError):
            reply.command = word
        if word == "XINFO":
            self._look(one, reply)
        elif isinstance(reply, ReplyError):
            if reply.code in UNAVAILABLE:
                self.suspects.append(one)  # which proves nothing
            elif not isinstance(reply, WrongTypeError):  # the read meets that as well
                self._unwatch(one, (word, one.stream), reply)
        elif not one.is_proven(reply):
            self.suspects.append(one)

    def look_at(self, streams: list[Followed]) -> Steps[None]:
        """Part of a script: learn where streams stand."""
        asked = [(one, one.continuity, one.look()) for one in streams]
        replies = iter((yield from self._watcher.ask(*chain.from_iterable(commands for _, _, commands in asked))))
        for one, continuity, commands in asked:
            *anchor, info = islice(replies, len(commands))
            if one.continuity is continuity and not one.sought:
                self._look(one, info, *anchor)

    def _look(self, one: Followed, info: Any, anchor: Any = None) -> None:
        """The same as ``look``, where the stream may be one of many: what the server refuses is about this one only."""
        try:
            self.look(one, info, anchor)
        except ReplyError as error:
            if error.code in UNAVAILABLE:
                raise
            self._watcher.refused(one, error)

    def look(self, one: Followed, info: Any, anchor: Any = None) -> None:
        """Take in what ``XINFO STREAM`` says, and what ``XRANGE`` has found at the ``anchor``, where that was asked before.

        Raises ``StreamResetError``, and a ``ReplyError`` other than a missing stream.
        """
        if one.continuity is not None:
            for command, reply in ((("XRANGE", one.stream), anchor), (("XINFO", "STREAM", one.stream), info)):
                if isinstance(reply, NoPermissionError):
                    self._unwatch(one, command, reply)
                    return
        missing = isinstance(info, ReplyError) and info.code == "ERR"
        history = History() if missing else History.of(checked(info))
        if one.continuity is None:
            one.resolve(history)
            return
        if anchor is not None:
            one.is_proven(checked(anchor))
        if not one.watched or (found := one.continuity.judge(history)) is None:
            return
        self._watcher.emit(found)
        if isinstance(found, StreamReset):
            if self._on_rewind == "raise":
                raise StreamResetError(
                    f"stream {one.stream.decode(errors='replace')!r} ends at {found.last}, before {found.cursor}, up to where "
                    "it was read: it began anew. Start from another place, or pass on_rewind='restart'"
                )
            self._watcher.restart(one)
            self.look(one, info)

    def refuse(self, streams: list[Followed], error: ReplyError, *, alone: bool) -> Steps[None]:
        """Part of a script: a read was refused; find out because of which streams. ``alone``: no other stream was read along.

        Raises ``error`` where the server cannot serve now, or where it was none of them, again and again.
        """
        error.command = "XREAD"
        self.setbacks += 1
        if error.code in UNAVAILABLE or self.setbacks > MAX_SETBACKS:
            raise error
        if alone:
            for one in streams:
                self._watcher.refused(one, error)
            return
        replies = yield from self._watcher.ask(*(("XREAD", "COUNT", 1, "STREAMS", one.stream, "$") for one in streams))
        for one, reply in zip(streams, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._watcher.refused(one, reply)

    def _unwatch(self, one: Followed, command: Arguments, error: ReplyError) -> None:
        if one.watched:
            one.watched = False
            self._watcher.degradation.refused(GAPS, command, error)
