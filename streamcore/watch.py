"""What a consumer asks about the history of its streams, and what it does about the answers.

Along with each read goes the proof of the last batch. A stream whose proof fails is *suspect*, and looked at before what
came after it is handed over. When a read comes back empty a few streams are looked at along with the next one, since
one that began anew, with lower ids, would stay silent for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from .connection import Arguments
from .continuity import History
from .engine import checked
from .errors import UNAVAILABLE, NoPermissionError, ReplyError, StreamRewound, WrongTypeError
from .events import Event, GapDetectionOff, HistoryRewound
from .following import Followed

LOOKS: Final = 2


class Watcher(Protocol):
    """What a watch tells its consumer."""

    def emit(self, event: Event) -> None: ...
    def restart(self, one: Followed) -> None: ...


class Watch:
    """The watch over all streams of a consumer. ``on_rewind``: whether to ``"raise"`` or to ``"restart"``."""

    def __init__(self, watcher: Watcher, on_rewind: str) -> None:
        self.suspects: list[Followed] = []
        self._watcher = watcher
        self._on_rewind = on_rewind
        self._looks: list[Followed] = []
        self._next = 0

    def forget(self, stream: bytes) -> None:
        """The stream is not followed any more, or from another place."""
        self.suspects = [one for one in self.suspects if one.stream != stream]

    def look_soon(self, streams: Iterable[Followed]) -> None:
        """Choose a few streams to be looked at along with the next read, others than the last time."""
        watched = [one for one in streams if one.watched]
        self._looks = [watched[(self._next + at) % len(watched)] for at in range(min(LOOKS, len(watched)))]
        self._next += LOOKS

    def question(self, one: Followed) -> Arguments | None:
        """What to ask about a stream along with a read, if anything."""
        if one in self._looks:
            self._looks.remove(one)
            return ("XINFO", "STREAM", one.stream)
        return one.question()

    def hear(self, one: Followed, word: str, reply: Any) -> None:
        """The answer to that."""
        if word == "XINFO":
            self.look(one, reply)
        elif isinstance(reply, ReplyError):
            if not (reply.code in UNAVAILABLE or isinstance(reply, WrongTypeError)):  # those the read meets as well
                reply.command = word
                self._unwatch(one, reply)
        elif not one.is_proven(reply):
            self.suspects.append(one)

    def look(self, one: Followed, info: Any) -> None:
        """Take in what ``XINFO STREAM`` says. Raises ``StreamRewound``, and a ``ReplyError`` other than a missing stream."""
        if isinstance(info, NoPermissionError) and one.continuity is not None:
            self._unwatch(one, info)
            return
        missing = isinstance(info, ReplyError) and info.code == "ERR"
        history = History() if missing else History.of(checked(info))
        continuity = one.continuity or one.resolve(history)
        if not one.watched or (found := continuity.judge(history)) is None:
            return
        self._watcher.emit(found)
        if isinstance(found, HistoryRewound):
            if self._on_rewind == "raise":
                raise StreamRewound(
                    f"stream {one.stream.decode(errors='replace')!r} ends at {found.last}, before {found.cursor}, up to where "
                    "it was read: it began anew. Start from another place, or pass on_rewind='restart'"
                )
            self._watcher.restart(one)
            self.look(one, info)

    def _unwatch(self, one: Followed, error: ReplyError) -> None:
        if one.watched:
            one.watched = False
            self._watcher.emit(GapDetectionOff(one.stream, error))
