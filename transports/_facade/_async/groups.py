"""Consumers of a group on an async runtime; ``entry.ack()`` may be called in any thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from time import monotonic
from typing import Any, Generic, Self, TypeVar

from streamcore.arguments import Name, Seconds, seconds
from streamcore.commands import Command, PendingSummary, xinfo_groups, xpending
from streamcore.entries import GroupBatch, GroupEntry
from streamcore.group.consumer import GroupConsumer as GroupEngine

from ..handler_pool import Order, Pool, Verdict, acknowledge, check_handler
from ..handler_tasks import work_through
from ..reading import Told
from .consumers import Reader
from .lifecycle import Running, submit

T = TypeVar("T", bytes, str)
Item = TypeVar("Item")
R = TypeVar("R")


class GroupConsumer(Reader[GroupEntry[T], GroupBatch[T]], Generic[T]):
    """Consume streams through a group, at least once: ``async for entry in consumer: ...; entry.ack()``."""

    _instead = "open another member of the group where it is needed"

    def __init__(self, engine: Any, running: Running, client: Running) -> None:
        super().__init__(engine, running)
        self._client = client
        self._drained = False
        self._pool: Pool[GroupEntry[T]] | None = None  # while ``run`` runs

    async def aclose(self) -> None:
        """Send acknowledgements, give back entries that were not handed over, and close.

        Waits for the server's word on that, at most the request timeout.
        """
        await super().aclose()

    # -- reading ------------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[GroupEntry[T]]:
        self._go_on()
        return _Acknowledging(self) if self._acknowledges else self

    def _iteration(self, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
        return _Acknowledging(items) if self._acknowledges else items

    @property
    def _acknowledges(self) -> bool:
        """Whether an iterator acknowledges its last item when it is asked for more."""
        engine: GroupEngine[T] = self._engine
        return engine.settles_itself

    def _go_on(self) -> None:
        self._running.driver.call(self._engine.begin)

    def _ask_for_entries(self) -> Any:
        batch = self._engine.take()
        return Told(None, stops=True) if batch is None and self._engine.ended else batch

    async def run(
        self,
        handler: Callable[[GroupEntry[T]], object],
        *,
        concurrency: int = 1,
        order: Order = "free",
        on_error: Verdict | Callable[[GroupEntry[T], Exception], Verdict | None] = "nack",
        nack_delay: Seconds = 0.0,
        grace: Seconds = 10.0,
    ) -> None:
        """Call ``handler`` with each entry, and acknowledge it when that returns; until ``drain``, or for ever.

        With ``stop_on_idle`` it ends when nothing more has come.

        A handler is a function or a coroutine function; at most ``concurrency`` (1) of them run at a time. With
        ``order="stream"`` the entries of a stream are handled in turn, and several streams at a time.

        When a handler raises, ``on_error`` decides about its entry: ``"nack"`` (delivered again, after ``nack_delay``
        seconds), ``"dead_letter"``, or ``"raise"``: other handlers may end, then the error is raised, and the entry stays
        pending. A function gets the entry and the error, and returns such a word, or None when it has seen to the
        entry itself. Failures are logged.

        After ``drain`` handlers go on to be called for ``grace`` (10) seconds with entries that were read; then ``run`` waits for
        the running handlers, and returns. When it is cancelled, they are, and their entries stay pending. Entries that no handler
        has begun come next in the consumer, or are given back on leaving.
        """
        check_handler(handler)
        pool: Pool[GroupEntry[T]] = Pool(
            self._engine,
            monotonic,
            concurrency=concurrency,
            order=order,
            on_error=on_error,
            nack_delay=nack_delay,
            grace=grace,
        )
        with self._running.sole_use(), self._running.telling_events():
            self._running.driver.call(self._return_rest)
            self._go_on()
            self._pool = pool
            if self._drained:
                pool.drain()
            try:
                await work_through(pool, self._running, self._running.driver, handler)
            finally:
                self._pool = None

    def _return_rest(self) -> None:
        """Put the batch that was taken and not handed over back into the engine, as its next."""
        if isinstance(self._taken, GroupBatch):
            self._engine.put_back(self._taken)
        elif self._left and self._batch is not None:
            self._engine.put_back(self._engine.split(self._batch, len(self._batch) - self._left))
        self._batch = None
        self._forget()

    def drain(self) -> None:
        """Read no more; when everything was handed over that has been read, iterations and ``run`` end.

        May be called anywhere, in other threads, in handlers and in signal handlers, and again; before entering, and after leaving, it
        does nothing.
        """
        if not self._running.is_open:
            return
        self._drained = True
        if (pool := self._pool) is not None:
            pool.drain()
        self._running.soon(self._engine.drain)

    # -- acknowledgements ---------------------------------------------------------------------------------------------

    async def flush(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109  # as get
        """Send acknowledgements now and wait until the server has confirmed them; False if ``timeout`` passed first."""
        wait = self._engine.options.request_timeout if timeout is None else seconds("timeout", timeout, zero=True)
        driver = self._running.driver
        driver.call(self._engine.flush)
        await driver.until(self._is_settled, wait)
        return self._has_settled()

    async def _leave(self) -> None:
        if self._running.is_away:  # async
            self._forget()
            self._engine.give_up_settling()
            return
        begun: tuple[GroupBatch[T] | None, int] = (None, 0)
        if isinstance(self._taken, GroupBatch):
            begun = (self._taken, 0)
        elif self._batch is not None:
            begun = (self._batch, len(self._batch) - self._left)
        self._forget()
        driver = self._running.driver
        driver.call(partial(self._engine.leave, *begun))
        await driver.linger(self._is_settled, self._engine.options.request_timeout)
        driver.call(self._engine.give_up_settling)

    def _has_settled(self) -> bool:
        """Whether everything is confirmed. Raises the error that ended the engine where it is not."""
        engine: GroupEngine[T] = self._engine
        if not engine.settled:
            engine.check()
        return engine.settled

    def _is_settled(self) -> bool:
        engine: GroupEngine[T] = self._engine
        return engine.settled or engine.closed

    # -- the group ----------------------------------------------------------------------------------------------------

    async def add_stream(self, stream: Name, group: Name | None = None) -> bool:
        """Read another stream, through our group, which is created there if need be; False where it is read already.

        Where the streams have groups of their own, ``group`` chooses among them. A read that waits in the server is
        ended for it. Raises the server's error where the stream cannot be read, and goes on without it.
        """
        joining = self._running.driver.call(partial(self._engine.add_stream, stream, group))
        if joining is not None:
            await self._settle(joining)
        return joining is not None

    def remove_stream(self, stream: Name) -> bool:
        """Read a stream no more, and give back the entries that were read ahead of it; False where it was not read."""
        return self._running.driver.call(partial(self._remove, stream))

    def _remove(self, stream: Name) -> bool:
        self._return_rest()
        removed: bool = self._engine.remove_stream(stream)
        return removed

    async def lag(self) -> dict[bytes, int | None]:
        """Per stream how many entries no member of the group was given yet; None where the server does not know.

        Asked of the server (``XINFO GROUPS``). Raises the server's error.
        """
        answers = await self._ask_server(lambda stream, _: xinfo_groups(stream))
        groups: dict[bytes, bytes] = self._engine.groups
        return {
            stream: next((one.lag for one in found if one.name == groups[stream]), None)
            for stream, found in answers.items()
        }

    async def pending(self) -> dict[bytes, PendingSummary]:
        """Per stream a summary of the entries that members of the group were given and have not settled.

        Asked of the server (``XPENDING``). Raises the server's error.
        """
        return await self._ask_server(xpending)

    async def _ask_server(self, build: Callable[[bytes, bytes], Command[R]]) -> dict[bytes, R]:
        groups: dict[bytes, bytes] = self._engine.groups
        request = await submit(self._client, [build(stream, group) for stream, group in groups.items()])
        answers: dict[bytes, R] = dict(zip(groups, request.answers(), strict=True))
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer
        return answers


class _Acknowledging(Generic[Item]):
    """Acknowledges an item when it is asked for the next: not before, and in no other way."""

    def __init__(self, items: AsyncIterator[Item]) -> None:
        self._items = items
        self._last: Item | None = None

    def __aiter__(self) -> Self:
        aiter(self._items)  # it begins anew
        return self

    async def __anext__(self) -> Item:
        last, self._last = self._last, None
        acknowledge(last)
        # in Python all the way: no signal handler can raise on its end
        item = self._last = await self._items.__anext__()
        return item
