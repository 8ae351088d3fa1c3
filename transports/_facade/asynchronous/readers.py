"""Consumers on an async runtime: entries one by one, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Entries one by one, or batch by batch. Belongs to one task at a time."""

    def __init__(self, engine: Any, client: Running) -> None:
        self._engine = engine
        self._running = client.part(engine)
        self._batch: B | None = None
        self._entries: Iterator[E] = iter(())
        self._taken: B | None = None  # from the engine, and not handed over yet
        forgetful.add(self)

    async def __aenter__(self) -> Self:
        await self._running.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close; entries that were fetched and never handed over are forgotten here, not on the server."""
        self._forget()
        await self._running.close()

    def _forget(self) -> None:
        """What is left of a batch is handed over no more: after closing, and in a forked child."""
        self._entries, self._taken = iter(()), None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        for entry in self._entries:
            return entry
        return self._begin(cast(B, await self._fetch()))

    async def get(self, timeout: Seconds | None = None) -> E | None:  # noqa: ASYNC109  # 0 polls
        """The next entry; None when ``timeout`` seconds pass first. None waits, 0 only looks."""
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        for entry in self._entries:
            return entry
        batch = await self._fetch(wait)
        return None if batch is None else self._begin(batch)

    def batches(self) -> Batches[E, B]:
        """Iterate over batches, the fast lane; what is left of a batch begun by entries comes first."""
        return Batches(self)

    def _begin(self, batch: B) -> E:
        self._batch = batch
        self._entries = cast("Iterator[E]", iter(batch))
        return next(self._entries)

    async def _next_batch(self) -> B:
        rest = list(self._entries)
        if rest and self._batch is not None:
            tail: B = self._engine.split(self._batch, len(self._batch) - len(rest))
            return tail
        return cast(B, await self._fetch())

    async def _fetch(self, within: float | None = None) -> B | None:
        running, engine = self._running, self._engine
        driver = running.driver
        with running.sole_use(), running.telling_events():
            if self._taken is None:
                if within is not None or engine.has_batch:
                    await driver.checkpoint()  # once for each batch, others shall run
                self._taken = await driver.until(engine.take, within)
            running.tell_events()  # it may raise: the batch is kept for the next call
            taken, self._taken = self._taken, None
            return taken


class Batches(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> B:
        return await self._reader._next_batch()  # noqa: SLF001  # its other half


class Consumer(Reader[Entry[T], Batch[T]], Generic[T]):
    """Follow streams by XREAD, each entry once: ``async for entry in consumer``."""

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
    """Consume streams through a group, at least once: ``async for entry in consumer: ...; entry.ack()``."""

    async def flush(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109  # as get
        """Send acknowledgements now and wait until the server has confirmed them; False if ``timeout`` passed first."""
        driver = self._running.driver
        self._engine.flush()
        wait = self._engine.options.request_timeout if timeout is None else seconds("timeout", timeout, zero=True)
        await driver.until(self._is_settled, wait)
        return self._has_settled()

    def __init__(self, engine: Any, client: Running) -> None:
        super().__init__(engine, client)
        self._running.leave = self._leave

    async def aclose(self) -> None:
        """Send what is acknowledged, wait for the server's word (at most the request timeout), close."""
        await super().aclose()

    async def _leave(self) -> None:
        self._engine.leave()
        await self._running.driver.linger(self._is_settled, self._engine.options.request_timeout)

    def _has_settled(self) -> bool:
        """Whether everything is confirmed. Raises what ended the engine where it is not."""
        engine: GroupEngine[T] = self._engine
        if not engine.settled:
            engine.check()
        return engine.settled

    def _is_settled(self) -> bool:
        engine: GroupEngine[T] = self._engine
        return engine.settled or engine.closed
