"""Consumers for threads: entries one by one, or batch by batch. ``entry.ack()`` works in any thread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from streamcore.arguments import Seconds, seconds
from streamcore.consumer import Consumer as ConsumerEngine
from streamcore.entries import BaseBatch, Batch, Entry, GroupBatch, GroupEntry, StreamId
from streamcore.group import GroupConsumer as GroupEngine

from ..settings import forgetful
from .running import Running

T = TypeVar("T", bytes, str)
E = TypeVar("E", bound=Entry[Any])
B = TypeVar("B", bound=BaseBatch[Any, Any])


class Reader(Generic[E, B]):
    """Entries one by one, or batch by batch. Belongs to one thread at a time."""

    def __init__(self, engine: Any, client: Running, *, background: bool) -> None:
        self._engine = engine
        self._running = client.part(engine, background=background)
        self._batch: B | None = None
        self._entries: Iterator[E] = iter(())
        self._taken: B | None = None  # from the engine, and not handed over yet
        forgetful.add(self)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; entries that were fetched and never handed over are forgotten here, not on the server."""
        self._forget()
        self._running.close()

    def _forget(self) -> None:
        """What is left of a batch is handed over no more: after closing, and in a forked child."""
        self._entries, self._taken = iter(()), None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        for entry in self._entries:
            return entry
        return self._begin(cast(B, self._fetch()))

    def get(self, timeout: Seconds | None = None) -> E | None:
        """The next entry; None when ``timeout`` seconds pass first. None waits, 0 only looks."""
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        for entry in self._entries:
            return entry
        batch = self._fetch(wait)
        return None if batch is None else self._begin(batch)

    def batches(self) -> Batches[E, B]:
        """Iterate over batches, the fast lane; what is left of a batch begun by entries comes first."""
        return Batches(self)

    def _begin(self, batch: B) -> E:
        self._batch = batch
        self._entries = cast("Iterator[E]", iter(batch))
        return next(self._entries)

    def _next_batch(self) -> B:
        rest = list(self._entries)
        if rest and self._batch is not None:
            tail: B = self._running.driver.call(partial(self._engine.split, self._batch, len(self._batch) - len(rest)))
            return tail
        return cast(B, self._fetch())

    def _fetch(self, within: float | None = None) -> B | None:
        running = self._running
        driver = running.driver
        with running.sole_use(), running.telling_events():
            if self._taken is None:
                self._taken = driver.until(self._engine.take, within)
            running.tell_events()  # it may raise: the batch is kept for the next call
            taken, self._taken = self._taken, None
            return taken


class Batches(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> B:
        return self._reader._next_batch()  # noqa: SLF001  # its other half


class Consumer(Reader[Entry[T], Batch[T]], Generic[T]):
    """Follow streams by XREAD, each entry once: ``for entry in consumer``."""

    def cursor(self) -> dict[bytes, StreamId]:
        """Per stream the id of the last entry handed over; pass it as ``streams`` to go on from there."""
        engine: ConsumerEngine[T] = self._engine
        cursor = engine.cursor()
        rest = list(self._entries)
        if rest and self._batch is not None:
            self._entries = iter(rest)
            cursor[self._batch.key] = self._batch[-len(rest) - 1].id
        return cursor


class GroupConsumer(Reader[GroupEntry[T], GroupBatch[T]], Generic[T]):
    """Consume streams through a group, at least once: ``for entry in consumer: ...; entry.ack()``."""

    def flush(self, timeout: Seconds | None = None) -> bool:
        """Send acknowledgements now and wait until the server has confirmed them; False if ``timeout`` passed first."""
        wait = self._engine.options.request_timeout if timeout is None else seconds("timeout", timeout, zero=True)
        driver = self._running.driver
        driver.call(self._engine.flush)
        driver.until(self._is_settled, wait)
        return self._has_settled()

    def __init__(self, engine: Any, client: Running, *, background: bool) -> None:
        super().__init__(engine, client, background=background)
        self._running.leave = self._leave

    def close(self) -> None:
        """Send what is acknowledged, wait for the server's word (at most the request timeout), close."""
        super().close()

    def _leave(self) -> None:
        driver = self._running.driver
        driver.call(self._engine.leave)
        driver.until(self._is_settled, self._engine.options.request_timeout)

    def _has_settled(self) -> bool:
        """Whether everything is confirmed. Raises what ended the engine where it is not."""
        engine: GroupEngine[T] = self._engine
        if not engine.settled:
            engine.check()
        return engine.settled

    def _is_settled(self) -> bool:
        engine: GroupEngine[T] = self._engine
        return engine.settled or engine.closed
