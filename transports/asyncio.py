"""asyncio (and uvloop): the event loop's callbacks own the sockets, so cancelling a task touches none of them.

``Driver`` keeps one transport for each link of an engine, moves the bytes, tells the time, and wakes whoever waits in
``until``. It decides nothing: every input is followed by ``_pump``, which asks the engine for all of its outputs anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR
from threading import get_ident
from typing import Any, TypeVar, cast

from streamcore.commands import Command
from streamcore.engine import Engine
from streamcore.link import Link
from streamcore.options import MemoryAddress, UnixAddress
from streamcore.requests import Request, Submit

from ._facade.asynchronous import (
    Channels,
    ChannelSubscriber,
    Client,
    Consumer,
    GroupConsumer,
    KeyEvents,
    Producer,
    PubSub,
    Script,
    Sent,
    ShardedPubSub,
    Transaction,
    away_from_home,
    make_connect,
)
from ._sockets import dial_error, loss
from .address import Target

__all__ = [
    "ChannelSubscriber",
    "Channels",
    "Client",
    "Consumer",
    "GroupConsumer",
    "KeyEvents",
    "Producer",
    "PubSub",
    "Script",
    "Sent",
    "ShardedPubSub",
    "Transaction",
    "connect",
]

T = TypeVar("T")


class Wire(asyncio.BufferedProtocol):
    """One link's socket, from the dial on. Once ``dropped`` it reports nothing more."""

    def __init__(self, driver: Driver, link: Link) -> None:
        self._driver = driver
        self._link = link
        self._buffer = memoryview(bytearray(link.read_size))
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._reading = True
        self.dropped = False
        self.dial = driver.loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop, target, address = self._driver.loop, self._driver.target, self._link.address
        try:
            context = None if target.tls is None else target.tls.context()
            if isinstance(address, UnixAddress):
                await loop.create_unix_connection(lambda: self, address.path)
            elif isinstance(address, MemoryAddress):
                from . import memory

                await loop.create_connection(lambda: self, sock=memory.dial(address.name))
            else:
                name = target.server_hostname if context else None
                await loop.create_connection(
                    lambda: self, address.host, address.port, ssl=context, server_hostname=name
                )
        except Exception as error:  # noqa: BLE001  # whatever it is, dialling has failed
            self._lost(dial_error(error, target))

    def drop(self) -> None:
        """The link does not want this socket any more."""
        self.dropped = True
        self.dial.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._link.connection_lost(None, self._driver.loop.time())

    def abandon(self) -> None:
        """The same where the loop does not run: the server is told now, the rest is done if it ever runs again."""
        if self._transport is not None:
            with suppress(
                OSError, TypeError, AttributeError
            ):  # uvloop shows none after its end, and before one of no use
                self._transport.get_extra_info("socket").shutdown(SHUT_RDWR)
        with suppress(RuntimeError):  # it is closed
            self._driver.loop.call_soon_threadsafe(self.drop)

    def move(self) -> None:
        """Write what the link has, and read or not as it wants."""
        transport, link = self._transport, self._link
        if transport is None:
            return
        if not self._full and (data := link.data_to_send()):
            transport.write(data)
            link.data_sent(len(data))
        if link.wants_data is not self._reading:
            self._reading = link.wants_data
            (transport.resume_reading if self._reading else transport.pause_reading)()

    # -- what the loop tells ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.dropped:
            self._transport.abort()
        else:
            self._link.connection_made(self._driver.loop.time())
            self._driver.happened()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self.dropped:
            self._link.receive_data(self._buffer[:nbytes], self._driver.loop.time())
            self._driver.happened()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._driver.happened()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def _lost(self, error: Exception | None) -> None:
        if not self.dropped:
            self.dropped = True
            self._driver.forget(self._link)
            self._link.connection_lost(loss(error, self._link, self._driver.target), self._driver.loop.time())
            self._driver.happened()


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

    def flush(self) -> None:
        """Do now what the engine wants, after a call that may have changed it."""
        self._woken = False
        engine, now = self._engine, self.loop.time()
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
            self._wake_waiters()
        for link in engine.links():
            wire = self._wires.get(link)
            if link.wants_connection:
                if wire is None:
                    self._wires[link] = Wire(self, link)
                else:
                    wire.move()
            elif wire is not None:
                self.forget(link)
                wire.drop()
                self._wake_waiters()
        if engine.closed:
            self._wake_waiters()
        self._set_timer(engine.next_timeout())

    async def until(self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] = _always) -> T:
        """Ask until the answer is true, again whenever something has happened that is ``worth`` it; ``within`` seconds at most."""
        deadline = None if within is None else self.loop.time() + within
        while not (answer := ask()):
            if deadline is not None and deadline <= self.loop.time():
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
        self.flush()
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
        request = submit(commands, partial(_settle, waiter))
        try:
            await waiter
        except BaseException:
            request.finished = True
            raise
        return request

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in the loop, and wake whoever waits; from any thread, and in signal handlers."""
        self.loop.call_soon_threadsafe(self._do, function)

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

    def happened(self) -> None:
        """The engine was told something: do what it wants, wake who waits."""
        self.flush()
        self._wake_waiters()

    def _do(self, function: Callable[[], object]) -> None:
        function()
        self.happened()

    def forget(self, link: Link) -> None:
        del self._wires[link]

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            call = self.loop.call_soon if get_ident() == self._thread else self.loop.call_soon_threadsafe
            call(self.flush)

    def _wake_waiters(self) -> None:
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
