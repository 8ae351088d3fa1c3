"""A producer for threads."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, cast

from streamcore.entries import StreamId
from streamcore.producer import Fields
from streamcore.producer import Producer as ProducerEngine

from .running import Running, submit, submit_all


class Producer:
    """Append to a stream: ``id = producer.send({...})``. Threads may share it; their entries leave together."""

    def __init__(self, engine: ProducerEngine, client: Running) -> None:
        self._engine = engine
        self._running = client.part(engine)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was not sent yet fails with ``ConnectionLost``."""
        self._running.close()

    def send(self, fields: Fields, id: StreamId | str = "*") -> StreamId:  # noqa: A002  # the server's word
        """Append one entry (``XADD``) and wait for its id.

        Raises ``DeliveryUnknown`` where it was sent and the id never came back, ``ConnectionLost`` where it was not sent.
        """
        request = submit(self._running, [self._engine.entry(fields, id)])
        return cast(StreamId, request.answer())

    def send_many(self, entries: Iterable[Fields]) -> list[StreamId]:
        """Append entries in order, many in flight at once; their ids. Raises the first error, what follows may be sent."""
        entry = self._engine.entry
        answers = submit_all(self._running, [entry(fields) for fields in entries])
        return cast("list[StreamId]", answers)
