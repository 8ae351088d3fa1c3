"""The readers of streams, by the route to them.

On a single server all streams have the same route, hence a single reader. In a cluster each slot has its own: streams of a slot
share an ``XREAD``, and whatever happens to the streams of a slot concerns its reader only. A reader is made for the first stream of
its route; its links are closed with the last stream, and opened again with the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from ..engine.router import Route, Slot
from .streams_reader import StreamsReader

T = TypeVar("T", bytes, str)


class ReadersByRoute(Generic[T]):
    """Readers; all but closed readers are in their iteration.

    ``route_of`` finds the route to a stream, ``make`` makes the reader of a route, ``on_close`` is called before a reader is closed.
    """

    def __init__(
        self,
        route_of: Callable[[bytes], Route],
        make: Callable[[Route], StreamsReader[Any]],
        on_close: Callable[[StreamsReader[Any]], object],
    ) -> None:
        self._route_of = route_of
        self._make = make
        self._on_close = on_close
        self._by_route: dict[Route, StreamsReader[T]] = {}
        self._open: dict[StreamsReader[T], None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[StreamsReader[T]]:
        return iter(self._open)

    def of(self, stream: bytes) -> StreamsReader[T]:
        """Return the reader of a stream that is read, or is to be read."""
        return self._by_route[self._route_of(stream)]

    def find(self, stream: bytes) -> StreamsReader[T] | None:
        """Return the reader on the route to a stream; None where there is none."""
        return self._by_route.get(self._route_of(stream))

    def open(self, stream: bytes) -> StreamsReader[T]:
        """Return the reader on the route to a stream, made or opened if need be."""
        route = self._route_of(stream)
        reader = self._by_route.get(route)
        if reader is None:
            reader = self._by_route[route] = self._make(route)
        if reader not in self._open:
            self._open[reader] = None
            reader.reader.open()
        return reader

    def close_unused(self, stream: bytes) -> None:
        """Close the reader of a slot where a stream was the last. The reader of a single server waits for others."""
        route = self._route_of(stream)
        reader = self._by_route[route]
        if isinstance(route, Slot) and not reader.is_used:
            self._open.pop(reader, None)
            self._on_close(reader)
            reader.reader.close()

    def wake(self) -> None:
        """Have all readers look whether there is something to read."""
        for reader in [*self._open]:
            reader.want_more()


def suffix_of(route: Route) -> str:
    """Return the end of the names of the links on a route."""
    return f", slot {route.slot}" if isinstance(route, Slot) else ""
