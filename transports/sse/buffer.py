"""Events that wait to be sent to a browser: a few, in bytes, from the task that reads to the task that writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .wire import COMMENT, ServerSentEvent

BYTES: Final = 1 << 16


class Buffer:
    """Bounded by ``most`` bytes: ``put`` waits while it is full.

    ``signal`` makes the runtime's events, ``limit`` its time limits.
    """

    def __init__(self, most: int, signal: Callable[[], Any], limit: Callable[[float], Any]) -> None:
        self._most = most
        self._signal = signal
        self._limit = limit
        self._changed = signal()
        self._pieces: list[bytes] = []
        self._size = 0
        self._silence = COMMENT  # what is sent when there is nothing to send
        self._ended = False

    async def put(self, event: ServerSentEvent) -> None:
        """Append an event. An event without data only moves the browser's place: that can wait for a moment of silence."""
        piece = bytes(event)
        if event.data is None:
            self._silence = COMMENT if event.id is None else piece
            return
        while self._size >= self._most:
            await self._changed.wait()
        self._silence = COMMENT
        self._pieces.append(piece)
        self._size += len(piece)
        self._tell()

    async def take(self, within: float) -> bytes | None:
        """All that is there; after ``within`` seconds, something that only breaks the silence; None at the end."""
        with self._limit(within):
            while not (self._pieces or self._ended):
                await self._changed.wait()
        if not self._pieces and not self._ended:
            silence, self._silence = self._silence, COMMENT
            return silence
        taken = b"".join(self._pieces) or None
        self._pieces.clear()
        self._size = 0
        self._tell()
        return taken

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = self._signal()
