"""What both decoders share: input by slices, the limit of a reply's size, and errors as a level.

A slice is at most 64 KiB, because hiredis moves its whole buffer for each kilobyte that is consumed. Nothing keeps a view
of the input. The size of a reply is counted by slices: it is over the limit when so many bytes have come since a slice
completed anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from ..errors import RemoteProtocolError, ReplyTooLarge
from .extension import Buffer
from .values import Limits, Push, Reply

SLICE: Final = 65536


class SlicingDecoder(ABC):
    """Bytes to replies; see ``Decoder``. A subclass reads one slice at a time."""

    push: type[list[Any]] = Push

    def __init__(self, limits: Limits) -> None:
        self.error: RemoteProtocolError | None = None
        self.unfinished = 0
        self.attributes: dict[int, Any] = {}
        self._limit = limits.reply
        self._waiting = 0  # bytes since a reply was completed

    def feed(self, data: Buffer) -> list[Reply]:
        """The replies that these bytes completed."""
        replies: list[Reply] = []
        if self.attributes:
            self.attributes = {}
        if self.error is not None or not data:
            return replies
        try:
            if type(data) is bytes and len(data) <= SLICE:
                self._read_slice(data, replies)
            else:
                view = memoryview(data)
                for start in range(0, len(view), SLICE):
                    self._read_slice(bytes(view[start : start + SLICE]), replies)
        except RemoteProtocolError as error:
            self.error = error
        return replies

    def _read_slice(self, data: bytes, replies: list[Reply]) -> None:
        before, size = len(replies), len(data)
        self.unfinished += size
        self._waiting += size
        self._read(data, replies)
        if len(replies) > before:
            self._waiting = 0
        elif self._waiting > self._limit:
            raise ReplyTooLarge(f"a reply is larger than the limit of {self._limit} bytes")

    @abstractmethod
    def _read(self, data: bytes, replies: list[Reply]) -> None:
        """Add to ``replies`` what ``data`` completes. Raises ``RemoteProtocolError`` after that."""
        ...
