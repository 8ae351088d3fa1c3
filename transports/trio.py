"""trio: a system task per link owns its socket, so no cancelled task can leave one mid-frame.

System tasks stand outside the user's nurseries: they are shielded from KeyboardInterrupt, and an error in the user's block is
not wrapped in an exception group. Every input is followed by ``flush``, which asks the links that have changed for their outputs.
All of it goes through the engine's ``Entrance``: there is one thread, and a signal handler may interrupt it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.errors import MissingExtra
from streamcore.requests import Request, Submit

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
from ._sockets import Dialling, Wire, loss
from .address import Target

try:
    import trio
except ModuleNotFoundError:
    raise MissingExtra("there is no trio here: pip install 'streamcore-redis[trio]'") from None

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


class Driver:
    """Runs one engine in the present trio run."""

    def __init__(self, engine: Engine, target: Target) -> None:
        self._engine = engine
        self._target = target
        self._token = trio.lowlevel.current_trio_token()
        self._changed = trio.Event()
        self._timer = trio.Event()
        self._choosy: dict[trio.Event, Callable[[], bool]] = {}  # who waits, and for what
        self._timer_at: float | None = None
        self._scopes: dict[Link, trio.CancelScope] = {}  # one for each running link task
        self._wires: dict[Link, Wire] = {}
        self._woken = False
        self._working: dict[trio.CancelScope, trio.lowlevel.Task] = {}
        self._enter = Entrance(engine, self._mend, self._wake).call
        engine.on_wakeup = self._wake
        trio.lowlevel.spawn_system_task(self._keep_time)
        self.flush()

    # -- the facade's side --------------------------------------------------------------------------------------------

    @property
    def is_home(self) -> bool:
        """Whether the caller belongs to the run of trio that this was opened in."""
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:  # anyio, on asyncio this time
            return False

    def check_home(self) -> None:
        """Raises ``ConcurrentUseError`` in another run of trio than the one that this was opened in."""
        if not self.is_home:
            raise away_from_home("run of trio")

    async def close_at_home(self, close: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Have it closed in its own run, from another one; False where that has ended, and its sockets with it."""
        closing = partial(trio.from_thread.run, close, trio_token=self._token)
        try:
            await trio.to_thread.run_sync(closing)
        except trio.RunFinishedError:
            self._engine.on_wakeup = _nothing
            return False
        return True

    @trio.lowlevel.enable_ki_protection
    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call, which it has interrupted.

        Ctrl-C may end the user's task, and must not stop the engine half-way.
        """
        return self._enter(function)

    def flush(self) -> None:
        """Do now what the engine wants, after a call that may have changed it."""
        self._enter(self._flush)

    async def until(
        self, ask: Callable[[], T], within: float | None = None, worth: Callable[[], bool] | None = None
    ) -> T:
        """Ask until the answer is true, again whenever something has happened that is ``worth`` it; ``within`` seconds at most."""
        deadline = float("inf") if within is None else trio.current_time() + within
        while True:
            changed = self._changed  # before the call, which may set it
            if worth is not None:
                changed = trio.Event()
                self._choosy[changed] = worth
            try:
                answer = self._call(ask)
                if answer or deadline <= trio.current_time():
                    return answer
                with trio.move_on_at(deadline):
                    await changed.wait()
            finally:
                self._choosy.pop(changed, None)

    @trio.lowlevel.enable_ki_protection
    def _call(self, function: Callable[[], T]) -> T:
        return self._enter(partial(self._ask, function))

    async def checkpoint(self) -> None:
        """Let others run."""
        await trio.lowlevel.checkpoint()

    async def linger(self, done: Callable[[], bool], within: float) -> bool:
        """``until`` on the way out: a cancelled task may wait here, too."""
        with trio.CancelScope(shield=True):
            await self.until(done, within)
        return done()

    async def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; cancelled, their reply reaches nobody."""
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

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in the run, and wake whoever waits; from any thread, and in signal handlers."""
        self._token.run_sync_soon(self._tell, function)

    def aside(self, work: Callable[[], object]) -> None:
        """Call a function soon, outside of the engine."""
        self._token.run_sync_soon(work)

    async def together(self, work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        """Run so many tasks of one kind; they are cancelled with the caller."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(work)

    def is_stray(self, error: BaseException) -> bool:
        """In trio a task is cancelled by its own scopes only."""
        return False

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something beside the user's tasks, until closing cancels it."""
        scope = trio.CancelScope()
        context = copy_context()
        self._working[scope] = trio.lowlevel.spawn_system_task(self._work, work, scope, context=context)

    async def _work(self, work: Callable[[], Coroutine[Any, Any, None]], scope: trio.CancelScope) -> None:
        try:
            with scope:
                await work()
        finally:
            del self._working[scope]
            self._wake_waiters()

    async def aclose(self) -> None:
        """Close the sockets; the engine is closed already."""
        self._engine.on_wakeup = _nothing  # an entry may be acknowledged when this run has gone
        me = trio.lowlevel.current_task()  # a handler may close what it belongs to
        working = [scope for scope, task in self._working.items() if task is not me]
        for scope in working:
            scope.cancel()
        self.flush()
        with trio.CancelScope(shield=True):
            await self.until(lambda: not self._scopes and self._working.keys().isdisjoint(working))

    # -- the links' tasks ---------------------------------------------------------------------------------------------

    async def _serve(self, link: Link, scope: trio.CancelScope) -> None:
        """One socket, from the dial to its end."""
        error: Exception | None = None
        try:
            with scope:
                await self._connect_and_read(link)
        except Exception as reason:  # noqa: BLE001  # whatever it is, it must not end the run of trio
            error = reason
        finally:
            wire = self._wires.pop(link, None)
            if wire is not None:
                trio.lowlevel.notify_closing(wire.sock)
                wire.sock.close()
            self._enter(partial(self._lose, link, error))
        self._tell(_nothing)

    async def _connect_and_read(self, link: Link) -> None:
        timeout = self._engine.options.connect_timeout
        dialling = Dialling(link, self._target, timeout)
        try:
            sock = await trio.to_thread.run_sync(dialling.run, abandon_on_cancel=True)
        except trio.Cancelled:
            dialling.close()
            raise
        wire = self._wires[link] = Wire(link, sock)
        self._tell(partial(link.connection_made, trio.current_time()))
        while True:
            if link.wants_data:
                await trio.lowlevel.wait_readable(sock)
            else:
                await self._changed.wait()
            if link.wants_data:
                self._tell(partial(self._receive, wire))
                if wire.error is not None:
                    raise wire.error

    def _send(self, wire: Wire) -> None:
        with suppress(OSError):  # the reading task meets the same error, and tells it
            wire.send()
        if wire.full:
            trio.lowlevel.spawn_system_task(self._send_later, wire)

    async def _send_later(self, wire: Wire) -> None:
        with suppress(OSError, trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(wire.sock)
            self._tell(partial(self._send_rest, wire))

    # -- what happens -------------------------------------------------------------------------------------------------

    def _tell(self, tell: Callable[[], object]) -> None:
        """Tell the engine something, do what it wants, and wake who waits."""
        self._enter(partial(self._telling, tell))

    # -- within the entrance ------------------------------------------------------------------------------------------

    def _telling(self, tell: Callable[[], object]) -> None:
        tell()
        self._flush()
        self._wake_waiters()

    def _ask(self, ask: Callable[[], T]) -> T:
        answer = ask()
        self._flush()
        return answer

    def _lose(self, link: Link, error: Exception | None) -> None:
        del self._scopes[link]
        link.connection_lost(loss(error, link, self._target), trio.current_time())

    def _send_rest(self, wire: Wire) -> None:
        wire.full = False
        if self._wires.get(wire.link) is wire:
            self._send(wire)

    def _receive(self, wire: Wire) -> None:
        try:
            wire.receive(trio.current_time())
        except OSError as error:
            wire.error = error

    def _flush(self) -> None:
        self._woken = False
        engine, now = self._engine, trio.current_time()
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
            self._wake_waiters()
        for link in engine.changed_links():
            if not link.wants_connection:
                if link in self._scopes:
                    self._scopes[link].cancel()
            elif link not in self._scopes:
                self._scopes[link] = trio.CancelScope()
                trio.lowlevel.spawn_system_task(self._serve, link, self._scopes[link])
            elif (wire := self._wires.get(link)) is not None and not wire.full:
                self._send(wire)
        due = engine.next_timeout()
        if engine.closed:
            self._wake_waiters()
        if engine.closed or (due is not None and (self._timer_at is None or due < self._timer_at)):
            self._timer.set()

    def _mend(self) -> None:
        """An exception has hit the engine itself, in a call by a task: a signal handler has raised."""
        give_up_links(self._engine, self._scopes, trio.current_time())
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        for event in [event for event, worth in self._choosy.items() if worth()]:
            event.set()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._token.run_sync_soon(self.flush)

    async def _keep_time(self) -> None:
        while not self._engine.closed:
            self._timer = trio.Event()
            self._timer_at = self._engine.next_timeout()
            with trio.move_on_at(float("inf") if self._timer_at is None else self._timer_at):
                await self._timer.wait()
            if not self._engine.closed:
                self.flush()


def _nothing() -> None:
    """Nobody is woken any more."""


connect = make_connect(Driver)
