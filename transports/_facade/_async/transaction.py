"""A transaction that watches keys, on an async runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from streamcore.arguments import Name
from streamcore.commands import Command, unwatch, watch
from streamcore.errors import ClosedError
from streamcore.requests import DedicatedLink

from ..settings import key_names, raised_together
from .commands import Commands
from .lifecycle import Running, leased

R = TypeVar("R")


class Transaction(Commands):
    """Read keys, then change them only if no other client has: WATCH, reads, MULTI, EXEC, on a link of its own.

    Commands as methods run at once, to read; ``queue`` keeps commands to be executed at the end of the block, all or none.
    ``answers`` are theirs. Raises ``WatchedKeyChanged`` at the end, and ``ConnectionLost`` wherever the connection breaks,
    since the server has forgotten then which keys were watched. An exception in the block executes nothing.
    """

    _instead = "begin another one where it is needed"

    def __init__(
        self,
        running: Running,
        watched: Name | Iterable[Name],
        lend: Callable[[Sequence[Command[Any]]], DedicatedLink | None],
        *,
        raise_errors: bool,
    ) -> None:
        self.answers: list[Any] = []
        self._watch = watch(*key_names(watched))
        self._running = running
        self._lend = lend
        self._raise_errors = raise_errors
        self._queued: list[Command[Any]] = []
        self._lease: DedicatedLink | None = None
        self._leasing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._lease = await self._leasing.enter_async_context(leased(self._running, partial(self._lend, [self._watch])))
        try:
            await self.execute(self._watch)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._lease is not None:
                await self.commit()
        finally:
            await self._leave()

    async def execute(self, command: Command[R]) -> R:
        """Run a command now, outside of the transaction: it sees the present values, also of watched keys."""
        request = await self._running.driver.request(self._used().submit, [command])
        return cast(R, request.answer())

    def queue(self, *asked: Command[Any]) -> None:
        """Keep commands for the end of the block, where all of them are executed, or none."""
        self._used()
        self._queued += asked

    async def commit(self) -> list[Any]:
        """Execute the queued commands now, and end the transaction; the answers. The end of the block does the same."""
        lease = self._used()
        queued, self._queued = self._queued, []
        try:
            if queued:
                request = await self._running.driver.request(lease.transact, queued)
                self.answers = raised_together(request.answers(), wanted=self._raise_errors)
            else:
                await self.execute(unwatch())
        finally:
            await self._leave()  # also where it failed: nothing is watched any more
        return self.answers

    def _used(self) -> DedicatedLink:
        if self._lease is None:
            raise ClosedError("this transaction is not open: it was not entered, or has been committed")
        return self._lease

    async def _leave(self) -> None:
        self._lease = None
        await self._leasing.aclose()
