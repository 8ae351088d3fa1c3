"""Bytes to replies, over hiredis.

``feed`` bytes as they come, cut anywhere, then call ``gets`` until it answers ``MORE``. Replies are what hiredis builds:
bytes, int, float, bool, None, lists, dicts; an error reply is a ``ReplyError`` *value*, also inside arrays; a push is a
``Push`` (a list). hiredis moves its whole buffer for each kilobyte that is consumed, so feeding is by slices of 64 KiB
with a drain after each: the caller's loop is ``for _ in decoder.feed(data): while (reply := decoder.gets()) ...``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import hiredis

from ..errors import RemoteProtocolError, ReplyTooLarge, reply_error

Reply: TypeAlias = Any
Push: Final = hiredis.PushNotification
MORE: Final = object()  # never ``False``, hiredis' own default: ``#f`` is a reply

_SLICE: Final = 65536


class Decoder:
    """An incremental RESP decoder; after a ``RemoteProtocolError`` it is of no further use."""

    def __init__(self, max_reply: int = 1 << 30) -> None:
        self._reader = hiredis.Reader(
            protocolError=RemoteProtocolError,
            replyError=reply_error,  # type: ignore[arg-type]  # any callable will do, the stub asks for a class
            notEnoughData=MORE,
        )
        self._feed = self._reader.feed
        self._max_reply = max_reply
        self._unfinished = 0
        self.gets = self._reader.gets

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[None]:
        """Take in ``data`` slice by slice; drain ``gets`` after each step."""
        size = len(data)
        for start in range(0, size, _SLICE):
            length = min(_SLICE, size - start)
            self._feed(data, start, length)
            self._unfinished += length
            yield None
            if self._unfinished > self._max_reply:
                raise ReplyTooLarge(f"a reply is larger than the limit of {self._max_reply} bytes")

    def taken(self) -> int:
        """Bytes fed since the last call: about the size of the reply that was just taken."""
        size, self._unfinished = self._unfinished, 0
        return size
