"""How tasks of asyncio use an engine: they call it, and wait until its driver has brought an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit

from .._facade.runtime import away_from_home
from ..address import Target
from .driver import Driver
from .waiters import Waiters, resolve

T = TypeVar("T")


def _always() -> bool:
    """Any change is worth a look."""
    return True


class Runtime:
    """Runs an engine on the running event loop, for the tasks that use it."""

    def __init__(self, engine: Engine, target: Target) -> None:
        self._waiters = Waiters()
        self._driver = Driver(engine, target, self._waiters.wake)
        self._loop = self._driver.loop
        self._enter = self._driver.enter
        self._tasks: set[asyncio.Task[None]] = set()

    # -- where it is used ---------------------------------------------------------------------------------------------

    @property
    def is_home(self) -> bool:
        """Whether the caller runs in the event loop that this was opened in."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # anyio, on trio this time
            return False

    def check_home(self) -> None:
        """Raises ``ConcurrentUseError`` in another event loop than that of its opening."""
        if not self.is_home:
            raise away_from_home("event loop")

    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Have it closed in its own loop, from another loop; False where its own does not run: the sockets are let go of."""
        if self._loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(close(), self._loop))
            return True
        self._driver.abandon()
        return False

    # -- calling, and waiting -----------------------------------------------------------------------------------------

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call, which it has interrupted."""
        return self._enter(function)

    def flush(self) -> None:
        """Move the outputs of the engine, after a call that may have changed them."""
        self._driver.flush()

    async def until(self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] = _always) -> T:
        """Ask until the answer is true, again after each change that is ``worth`` it; ``within`` seconds at most."""
        deadline = None if within is None else self._loop.time() + within
        asking = partial(self._ask, ask)
        while not (answer := self._enter(asking)):
            if deadline is not None and deadline <= self._loop.time():
                self._driver.flush()
                break
            waiter = self._loop.create_future()
            self._waiters[waiter] = worth  # before the flush, which may wake it
            timer = None if deadline is None else self._loop.call_at(deadline, resolve, waiter, False)
            try:
                self._driver.flush()
                await waiter
            finally:
                self._waiters.pop(waiter, None)
                if timer is not None:
                    timer.cancel()
        return answer

    def _ask(self, ask: Callable[[], T]) -> T:
        answer = ask()
        if answer:
            self._driver.settle()
        return answer

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        """``until`` on the way out: asyncio cancels a task once, and leaves its later awaits alone."""
        return await self.until(done, within)

    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; where the caller is cancelled, their reply is dropped."""
        waiter = self._loop.create_future()
        request = self._enter(lambda: submit(commands, partial(resolve, waiter)))
        try:
            await waiter
        except BaseException:
            request.finished = True
            raise
        return request

    async def checkpoint(self) -> None:
        """Let other tasks run."""
        await asyncio.sleep(0)

    # -- from other threads, and beside the caller --------------------------------------------------------------------

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in the loop, and wake waiting tasks; from any thread, and in signal handlers."""
        self._loop.call_soon_threadsafe(self._driver.tell, function)

    def aside(self, work: Callable[[], object]) -> None:
        """Call a function soon, outside of the engine."""
        self._driver.call_soon(work)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task beside the user's, until closing cancels it."""
        task = self._loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run ``count`` tasks of a kind; they are cancelled with the caller."""
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())

    def is_stray(self, error: BaseException) -> bool:
        """Whether this is the cancellation of something that the present task has awaited, not of the task."""
        task = asyncio.current_task()
        return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()

    async def aclose(self) -> None:
        """End the tasks that were spawned, and close the sockets; the engine is closed already."""
        tasks = self._tasks - {asyncio.current_task()}  # a handler may close what it belongs to
        for task in tasks:
            task.cancel()
        await self._driver.aclose()
        await asyncio.gather(*tasks, return_exceptions=True)
