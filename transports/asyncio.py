"""asyncio (and uvloop): the event loop's callbacks own the sockets, so cancelling a task touches none of them.

``Driver`` keeps one transport for each link of an engine, moves the bytes, tells the time, and wakes whoever waits in
``until``. It decides nothing: every input is followed by ``flush``, which asks the links that have changed for their outputs. All
of it goes through the engine's ``Entrance``: there is one thread, and a signal handler may interrupt it anywhere.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from threading import get_ident
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit

from ._asyncio_wire import Wire
from ._entrance import Entrance, give_up_links
from ._facade._async import (
    Channels,
    ChannelSubscriber,
    Client,
    Consumer,
    GroupConsumer,
    KeyEvents,
    PendingSend,
    Producer,
    PubSub,
    Script,
    ShardedPubSub,
    Transaction,
    make_connect,
)
from ._facade.runtime import away_from_home
from ._sockets import loss
from .address import Target

__all__ = [
    "ChannelSubscriber",
    "Channels",
    "Client",
    "Consumer",
    "GroupConsumer",
    "KeyEvents",
    "PendingSend",
    "Producer",
    "PubSub",
    "Script",
    "ShardedPubSub",
    "Transaction",
    "connect",
]

T = TypeVar("T")


def _always() -> bool:
    """Whatever happens is worth looking."""
    return True


class Driver:
    """Runs one engine on the running event loop."""

    def __init__(self, engine: Engine, target: Target) -> None:
        self.loop = asyncio.get_running_loop()
        self.target = target
        self._engine = engine
        self._wires: dict[Link, Wire] = {}
        self._waiters: dict[asyncio.Future[bool], Callable[[], bool]] = {}
        self._thread = get_ident()
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._entrance = Entrance(engine, self._mend, self._wake)
        self.enter = self._entrance.call
        engine.on_wakeup = self._wake
        self.flush()

    # -- the facade's side --------------------------------------------------------------------------------------------

    @property
    def is_home(self) -> bool:
        """Whether the caller runs in the event loop that this was opened in."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:  # anyio, on trio this time
            return False

    def check_home(self) -> None:
        """Raises ``ConcurrentUseError`` in another event loop than the one that this was opened in."""
        if not self.is_home:
            raise away_from_home("event loop")

    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Have it closed in its own loop, from another one; False where that does not run: the sockets are let go of."""
        if self.loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(close(), self.loop))
            return True
        self._engine.on_wakeup = _nothing
        for wire in self._wires.values():
            wire.abandon()
        return False

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call, which it has interrupted."""
        return self.enter(function)

    def flush(self) -> None:
        """Do now what the engine wants, after a call that may have changed it."""
        self.enter(self.settle)

    async def until(self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] = _always) -> T:
        """Ask until the answer is true, again whenever something has happened that is ``worth`` it; ``within`` seconds at most."""
        deadline = None if within is None else self.loop.time() + within
        asking = partial(self._ask, ask)
        while not (answer := self.enter(asking)):
            if deadline is not None and deadline <= self.loop.time():
                self.flush()
                break
            waiter = self.loop.create_future()
            self._waiters[waiter] = worth  # before the flush, which may wake it
            timer = None if deadline is None else self.loop.call_at(deadline, _settle, waiter, False)
            try:
                self.flush()
                await waiter
            finally:
                self._waiters.pop(waiter, None)
                if timer is not None:
                    timer.cancel()
        return answer

    async def checkpoint(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        """``until`` on the way out: asyncio cancels a task once, and what it awaits after that is left alone."""
        return await self.until(done, within)

    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; cancelled, their reply reaches nobody."""
        waiter = self.loop.create_future()
        request = self.enter(lambda: submit(commands, partial(_settle, waiter)))
        try:
            await waiter
        except BaseException:
            request.finished = True
            raise
        return request

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in the loop, and wake whoever waits; from any thread, and in signal handlers."""
        self.loop.call_soon_threadsafe(self.tell, function)

    def aside(self, work: Callable[[], object]) -> None:
        """Call a function soon, outside of the engine."""
        self._call_soon(work)

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run so many tasks of one kind; they are cancelled with the caller."""
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())

    def is_stray(self, error: BaseException) -> bool:
        """Whether this is the cancellation of something that the present task has awaited, not of the task."""
        task = asyncio.current_task()
        return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something beside the user's tasks, until closing cancels it."""
        task = self.loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Close the sockets; the engine is closed already."""
        self._engine.on_wakeup = _nothing  # an entry may be acknowledged when this loop has gone
        ending: list[asyncio.Task[None]] = [wire.dial for wire in self._wires.values()]
        for task in self._tasks - {asyncio.current_task()}:  # a handler may close what it belongs to
            task.cancel()
            ending.append(task)
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round

    # -- what happens -------------------------------------------------------------------------------------------------

    def tell(self, tell: Callable[[], object]) -> None:
        """Tell the engine something, do what it wants, and wake who waits."""
        self.enter(partial(self._tell, tell))

    # -- within the entrance ------------------------------------------------------------------------------------------

    def lose(self, link: Link, error: Exception | None) -> None:
        """A socket is gone."""
        del self._wires[link]
        link.connection_lost(loss(error, link, self.target), self.loop.time())

    def _tell(self, tell: Callable[[], object]) -> None:
        tell()
        self.settle()
        self.wake_waiters()

    def _ask(self, ask: Callable[[], T]) -> T:
        answer = ask()
        if answer:
            self.settle()
        return answer

    def settle(self) -> None:
        """Do what the engine wants."""
        self._woken = False
        engine, now = self._engine, self.loop.time()
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
            self.wake_waiters()
            due = engine.next_timeout()
        for link in engine.changed_links():
            wire = self._wires.get(link)
            if link.wants_connection:
                if wire is None:
                    self._wires[link] = Wire(self, link)
                else:
                    wire.move()
            elif wire is not None:
                del self._wires[link]
                wire.drop()
                self._wake()  # that may have changed other links, and the next timeout
                self.wake_waiters()
        if engine.closed:
            self.wake_waiters()
        self._set_timer(due)

    def _mend(self) -> None:
        """An exception has hit the engine itself, in a call by a task or in the loop."""
        give_up_links(self._engine, self._wires, self.loop.time())
        self.wake_waiters()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            try:
                if self._entrance.is_used and get_ident() == self._thread:
                    self.loop.call_soon(self.enter, self.settle)
                else:
                    self._call_soon(self.flush)
            except BaseException:  # a signal handler has raised: the next one shall wake
                self._woken = False
                raise

    def _call_soon(self, function: Callable[[], object]) -> None:
        """Have the loop call something, from any thread; unless a task is at work, it may sleep, and this be a signal handler."""
        loop = self.loop
        if get_ident() == self._thread and current_task(loop) is not None:
            loop.call_soon(function)
        else:
            loop.call_soon_threadsafe(function)

    def wake_waiters(self) -> None:
        """Whoever waits for what may have happened looks again."""
        if not self._waiters:
            return
        for waiter in [waiter for waiter, worth in self._waiters.items() if worth()]:
            del self._waiters[waiter]
            _settle(waiter, True)

    def _set_timer(self, due: float | None) -> None:
        """Keep a timer that comes no later than ``due``; one that comes too early only asks again."""
        if due is None or due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self.loop.call_at(due, self._elapsed), due

    def _elapsed(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.flush()


def _nothing() -> None:
    """Nobody is woken any more."""


def _settle(waiter: asyncio.Future[Any], value: Any) -> None:
    if not waiter.done():
        waiter.set_result(value)


connect = make_connect(Driver)
