"""The base of both decoders: input by slices, the limit of a reply's size, and errors as a level.

A slice is at most 64 KiB, because hiredis moves its whole buffer for each kilobyte that is consumed. Nothing keeps a
view of the input. The size of a reply is counted by slices: it is over the limit when so many bytes have come since a
slice completed anything.

A decoded reply may take far more memory than its bytes: an empty array has four, and takes 64. So the memory of its
elements and errors counts as well, as soon as it could matter: the worst that so many bytes can become would be over
the limit. Until then nothing is looked at, so a reply takes at most about twice the limit, and all but huge replies
cost nothing more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from ..errors import RemoteProtocolError, ReplyTooLarge
from ..tracebacks import without_frames
from ._hiredis import Buffer
from .values import Limits, Push, Reply

SLICE: Final = 65536
ELEMENT: Final = 48
"""Bytes of memory that an element of a reply takes beside its bytes on the wire, roughly; an empty array takes 64."""
ERROR: Final = 320
"""Bytes of memory that an error takes besides."""

# Bytes of memory for each byte received, at worst: of empty arrays, and of errors.
_WORST: Final = 20
_WORST_OF_ERRORS: Final = 100
# Lines that begin an element; elements without memory of their own are left out. In a string such lines are rare.
_HEADERS: Final = bytes.maketrans(b"$*:+,~%>", bytes(8))
_HEADER: Final = b"\r\n\0"
_SLACK: Final = 1024  # bytes that hiredis has consumed, and still holds


class SlicingDecoder(ABC):
    """A decoder of bytes to replies; see ``Decoder``. A subclass reads a slice at a time."""

    push: type[list[Any]] = Push

    def __init__(self, limits: Limits) -> None:
        self.error: RemoteProtocolError | None = None
        self.unfinished = 0
        self.attributes: dict[int, Any] = {}
        self._limit = limits.reply
        self._suspicious = limits.reply // _WORST_OF_ERRORS
        self._waiting = 0  # bytes since a reply was completed
        self._elements = 0  # counted since the reply became suspicious
        self._errors_before = 0

    def feed(self, data: Buffer) -> list[Reply]:
        """Decode bytes; return the replies that they complete."""
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
            self.error = without_frames(error)
        return replies

    def _read_slice(self, data: bytes, replies: list[Reply]) -> None:
        before, size = len(replies), len(data)
        self.unfinished += size
        self._waiting += size
        self._read(data, replies)
        if len(replies) > before:
            self._waiting = 0
        elif self._waiting > self._suspicious:
            self._estimate_memory(data)

    def _estimate_memory(self, data: bytes) -> None:
        """Estimate the memory of a large reply that is not complete."""
        if self._waiting - len(data) <= self._suspicious:
            self._elements, self._errors_before = 0, self._errors()
        elif (
            self._waiting * _WORST > self._limit and self._held() <= len(data) + _SLACK
        ):  # else it lies within a string
            self._elements += data.translate(_HEADERS).count(_HEADER)
        besides = self._elements * ELEMENT + (self._errors() - self._errors_before) * ERROR
        if self._waiting > self._limit:
            raise ReplyTooLarge(f"a reply is larger than the limit of {self._limit} bytes")
        if self._waiting + besides > self._limit:
            raise ReplyTooLarge(
                f"a reply has so many elements that it takes more than the limit of {self._limit} bytes"
            )

    @abstractmethod
    def _errors(self) -> int:
        """Count the errors that were read so far."""
        ...

    @abstractmethod
    def _held(self) -> int:
        """Count the bytes that wait for the rest of an item: more than a slice only within a string."""
        ...

    @abstractmethod
    def _read(self, data: bytes, replies: list[Reply]) -> None:
        """Add the replies that ``data`` completes to ``replies``. Raises ``RemoteProtocolError`` after that."""
        ...
