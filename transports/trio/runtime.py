"""How tasks of trio use an engine: they call it, and wait until its driver has brought an answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from functools import partial
from math import inf
from typing import Any, TypeVar

import trio

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit

from .._facade.runtime import away_from_home
from ..address import Target
from .driver import Driver
from .waiters import Waiters

T = TypeVar("T")


class Runtime:
    """Runs an engine in the present run of trio, for the tasks that use it."""

    def __init__(self, engine: Engine, target: Target) -> None:
        self._waiters = Waiters()
        self._driver = Driver(engine, target, self._waiters)
        self._token = self._driver.token
        self._enter = self._driver.enter
        self._working: dict[trio.CancelScope, trio.lowlevel.Task] = {}

    # -- where it is used ---------------------------------------------------------------------------------------------

    @property
    def is_home(self) -> bool:
        """Whether the caller belongs to the run of trio that this was opened in."""
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:  # anyio, on asyncio this time
            return False

    def check_home(self) -> None:
        """Raises ``ConcurrentUseError`` in another run of trio than that of its opening."""
        if not self.is_home:
            raise away_from_home("run of trio")

    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Have it closed in its own run, from another run; False where its own has ended, and its sockets with it."""
        closing = partial(trio.from_thread.run, close, trio_token=self._token)
        try:
            await trio.to_thread.run_sync(closing)
        except trio.RunFinishedError:
            self._driver.abandon()
            return False
        return True

    # -- calling, and waiting -----------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call, which it has interrupted.

        Ctrl-C may end the user's task, and must not stop the engine half-way.
        """
        return self._enter(function)

    def flush(self) -> None:
        """Move the outputs of the engine, after a call that may have changed them."""
        self._driver.flush()

    async def until(
        self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] | None = None
    ) -> T:
        """Ask until the answer is true, again after each change that is ``worth`` it; ``within`` seconds at most."""
        deadline = inf if within is None else trio.current_time() + within
        waiters = self._waiters
        while True:
            changed = waiters.changed  # before the call, which may set it
            if worth is not None:
                changed = trio.Event()
                waiters.choosy[changed] = worth
            try:
                answer = self._call(ask)
                if answer or deadline <= trio.current_time():
                    return answer
                with trio.move_on_at(deadline):
                    await changed.wait()
            finally:
                waiters.choosy.pop(changed, None)

    @trio.lowlevel.enable_ki_protection
    def _call(self, function: Callable[[], T]) -> T:
        return self._enter(partial(self._ask, function))

    def _ask(self, ask: Callable[[], T]) -> T:
        answer = ask()
        self._driver.settle()
        return answer

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        """``until`` on the way out: a cancelled task may wait here, too."""
        with trio.CancelScope(shield=True):
            await self.until(done, within)
        return done()

    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; where the caller is cancelled, their reply is dropped."""
        finished = trio.Event()
        request = self._submit(submit, commands, lambda _: finished.set())
        try:
            await finished.wait()
        except BaseException:
            request.finished = True
            raise
        return request

    @trio.lowlevel.enable_ki_protection
    def _submit(self, submit: Submit, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> Request:
        return self._enter(partial(submit, commands, done))

    async def checkpoint(self) -> None:
        """Let other tasks run."""
        await trio.lowlevel.checkpoint()

    # -- from other threads, and beside the caller --------------------------------------------------------------------

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in the run, and wake waiting tasks; from any thread, and in signal handlers."""
        self._token.run_sync_soon(self._driver.tell, function)

    def aside(self, work: Callable[[], object]) -> None:
        """Call a function soon, outside of the engine."""
        self._token.run_sync_soon(work)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task beside the user's, until closing cancels it."""
        scope = trio.CancelScope()
        context = copy_context()
        self._working[scope] = trio.lowlevel.spawn_system_task(self._work, work, scope, context=context)

    async def _work(self, work: Callable[[], Coroutine[Any, Any, None]], scope: trio.CancelScope) -> None:
        try:
            with scope:
                await work()
        finally:
            del self._working[scope]
            self._waiters.wake()

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run ``count`` tasks of a kind; they are cancelled with the caller."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(work)

    def is_stray(self, error: BaseException) -> bool:
        """False: in trio a task is cancelled by its own scopes only."""
        return False

    async def aclose(self) -> None:
        """End the tasks that were spawned, and close the sockets; the engine is closed already."""
        me = trio.lowlevel.current_task()  # a handler may close what it belongs to
        working = [scope for scope, task in self._working.items() if task is not me]
        for scope in working:
            scope.cancel()
        self._driver.close()
        with trio.CancelScope(shield=True):
            await self.until(lambda: not self._driver.has_sockets and self._working.keys().isdisjoint(working))
