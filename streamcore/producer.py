"""Append entries to a stream: many ``send`` calls, few writes, one id for each.

A producer is a request engine with a link of its own, so that a burst of entries does not hold up other commands. What
was queued while the socket was busy leaves in one write. XADD must not be repeated blindly: when its reply is lost the
answer is ``DeliveryUnknown``; what never left is sent on the next connection. An entry with an explicit id may be
repeated by the application, because the server refuses an id that it already has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypedDict, Unpack

from .arguments import Name, name
from .commands import Command, xadd
from .engine import EngineOptions
from .entries import StreamId
from .errors import ConnectionLost, DeliveryUnknown, StreamcoreError
from .requests import Request, Requests
from .resp3 import Argument

# Not Mapping[Any, Argument]: mypy takes {"n": 1, "name": "x"} for a dict of objects.
Fields: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Argument, Argument]]


class ProducerOptions(TypedDict, total=False):
    """Keywords of ``Producer``, explained there."""

    maxlen: int | None
    minid: StreamId | str | None
    approximate: bool


class Producer(Requests):
    """Append to one stream. ``maxlen`` or ``minid`` trim it (about, unless ``approximate=False``)."""

    def __init__(
        self,
        stream: Name,
        *,
        maxlen: int | None = None,
        minid: StreamId | str | None = None,
        approximate: bool = True,
        **engine: Unpack[EngineOptions],
    ) -> None:
        super().__init__(**engine)
        self.stream = name("stream", stream)
        self._trim: ProducerOptions = {"maxlen": maxlen, "minid": minid, "approximate": approximate}
        self.entry({"check": ""})  # a bad option fails here, not at the first send

    def entry(self, fields: Fields, id: StreamId | str = "*") -> Command[StreamId | None]:  # noqa: A002
        """The command that appends one entry."""
        return xadd(self.stream, fields, id=id, **self._trim)

    def send(self, fields: Fields, done: Callable[[Request], None], id: StreamId | str = "*") -> Request:  # noqa: A002
        """Append one entry; ``request.answer()`` is its id."""
        return self.submit([self.entry(fields, id)], done)

    def lost(self, error: Exception) -> ConnectionLost:
        """Never a blind repetition: whether the entry is there, nobody knows."""
        return DeliveryUnknown(f"the entry was sent, but its id never came back; it may be in the stream: {error}")

    def late(self, why: str) -> StreamcoreError:
        """The same, as far as the entry is concerned."""
        return self.lost(ConnectionLost(why))
