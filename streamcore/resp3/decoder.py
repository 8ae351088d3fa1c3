"""Bytes to replies, over hiredis.

``feed`` bytes as they come, cut anywhere, then call ``gets`` until it answers ``MORE``. Replies are what hiredis builds:
bytes, int, float, bool, None, lists, dicts; an error reply is a ``ReplyError`` *value*, also inside arrays; a push is a
``Push`` (a list). hiredis moves its whole buffer for each kilobyte that is consumed, so feeding is by slices of 64 KiB
with a drain after each: the caller's loop is ``for _ in decoder.feed(data): while (reply := decoder.gets()) ...``. Bytes that
are not RESP make either raise one of ``UNDECODABLE``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

import hiredis

from ..errors import RemoteProtocolError, ReplyTooLarge, reply_error

Reply: TypeAlias = Any
Push: Final = hiredis.PushNotification
MORE: Final = object()  # never ``False``, hiredis' own default: ``#f`` is a reply

# Beside our own error, hiredis raises TypeError for a map or set as the key of a map, and MemoryError for a length that it
# cannot allocate.
UNDECODABLE: Final = (RemoteProtocolError, TypeError, MemoryError)

_SLICE: Final = 65536


class Decoder:
    """An incremental RESP decoder; after an error it is of no further use.

    ``unfinished`` counts the bytes that were fed since the owner last set it to 0, which it does whenever it has taken all
    that it waited for; past ``max_reply`` of them, to within a slice, ``feed`` raises ``ReplyTooLarge``.
    """

    def __init__(self, max_reply: int = 1 << 30) -> None:
        self._reader = hiredis.Reader(
            protocolError=RemoteProtocolError,
            replyError=reply_error,
            notEnoughData=MORE,
        )
        # What hiredis really takes: any contiguous buffer.
        self._feed = cast("Callable[[bytes | bytearray | memoryview, int, int], None]", self._reader.feed)
        self._max_reply = max_reply
        self.unfinished = 0
        self.gets = self._reader.gets

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[None]:
        """Take in ``data`` slice by slice; drain ``gets`` after each step."""
        size = len(data)
        for start in range(0, size, _SLICE):
            length = min(_SLICE, size - start)
            self._feed(data, start, length)
            self.unfinished += length
            yield None
            if self.unfinished > self._max_reply:
                raise ReplyTooLarge(f"a reply is larger than the limit of {self._max_reply} bytes")
