"""Threads: one daemon thread per engine owns its sockets, or, with ``background=False``, the thread that waits.

In the background, keep-alive, timed acknowledgements and recovery go on while user code runs. All calls to the engine go
through one ``SharedEntrance``, and nobody waits within. A caller writes what its call made ready by itself; the thread sleeps in
``select`` for bytes, for the timer, and for a byte in a socket pair that tells it to look again.

What waits, waits for a plain lock that somebody else gives free: unlike conditions and events these have no inside of their own
in which a signal handler could catch them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from threading import Lock, get_ident
from time import monotonic
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.connection.link import AT_ONCE
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit

from ._entrance import SharedEntrance, give_up_links
from ._facade._sync import (
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
from ._switchboard import Ready, Switchboard
from ._threads import LOOK, Worker
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


class Driver:
    """Runs one engine."""

    def __init__(self, engine: Engine, target: Target, *, background: bool = True) -> None:
        self._engine = engine
        self._background = background
        self._name = f"streamcore {type(engine).__name__}"
        self._board = Switchboard(engine, target, self._name)
        self._ring = self._board.ring
        self._entrance = SharedEntrance(engine, self._mend, self._ring)
        self._woken = False  # by somebody whose call has not left yet
        engine.on_wakeup = self._wakeup
        self._waiters: dict[Any, None] = {}  # locks; whoever waits gets his when something happens
        self._asleep_until: float | None = None
        self._calls: deque[Callable[[], object]] = deque()
        self._failure: Exception | None = None
        self._workers: list[Worker] = []
        self._thread = Worker(self._run, self._name)

    # -- the facade's side --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to move bytes: in the background, in a thread of its own."""
        if self._background:
            self._thread.start()

    def check_close(self) -> None:
        """Raises ``ConcurrentUseError`` where closing would wait for what it has interrupted."""
        self._entrance.check_close()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine, and do what that makes ready."""
        result = self._entrance.call(self._call, function)
        if self._woken:
            self._ring()
        return result

    def hold(self, function: Callable[[], T]) -> T:
        """Call a function that changes no output of the engine, while nobody else is in it."""
        return self._entrance.call(function)

    def until(self, ask: Callable[[], T], within: float | None = None) -> T:
        """Ask until the answer is true, again whenever something has happened; after ``within`` seconds, the last one."""
        deadline = None if within is None else monotonic() + within
        late = False
        while True:
            answer, waiter = self._entrance.call(self._ask, ask, late)
            if self._woken:
                self._ring()
            if waiter is None:
                return answer
            try:
                self._entrance.check_wait()
                if self._background:
                    _wait(waiter, deadline)
                else:
                    self._pump(waiter, deadline)
            finally:
                self._waiters.pop(waiter, None)
            late = deadline is not None and deadline <= monotonic()

    def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; interrupted, their reply reaches nobody."""
        self._entrance.check_wait()
        finished = _taken()
        request = self.call(lambda: submit(commands, lambda _: finished.release()))
        try:
            finished.acquire()
        except BaseException:
            request.finished = True
            raise
        return request

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in its turn, and wake whoever waits; from any thread, and in signal handlers."""
        self._calls.append(function)
        self._ring()

    def spawn(self, work: Callable[[], None]) -> None:
        """Do something in a thread beside the user's, which ends when the engine is closed."""
        worker = Worker(work, f"{self._name} handlers")
        worker.start()
        self._workers.append(worker)

    def aside(self, work: Callable[[], object]) -> None:
        """Do something that may take long in a thread that nobody waits for. Raises ``RuntimeError`` where there is none."""
        Worker(work, f"{self._name} log").start()

    def close(self) -> None:
        """Close the engine and its sockets, whoever waits for it."""
        self.check_close()
        self._entrance.call(self._stop)
        self._ring()
        if self._thread.has_begun:
            self._thread.wait()
        while (waiter := self._entrance.call(self._hang_up)) is not None:
            waiter.acquire(timeout=LOOK)
        for worker in self._workers:
            if not worker.is_current:  # a handler may close what it belongs to
                worker.wait(self._engine.options.request_timeout)
        self._board.close()

    # -- within the entrance ------------------------------------------------------------------------------------------

    def _call(self, function: Callable[[], T]) -> T:
        if self._calls:
            self._do_calls()
        result = function()
        self.flush()
        return result

    def _ask(self, ask: Callable[[], T], late: bool) -> tuple[T, Any]:
        """The answer; where it is worth waiting for another one, a lock to wait for."""
        answer = self._call(ask)
        return answer, None if answer or late else self._line_up()

    def _line_up(self) -> Any:
        waiter = _taken()
        self._waiters[waiter] = None
        return waiter

    def _wake(self) -> None:
        """Whoever waits looks again."""
        for waiter in list(self._waiters):
            with suppress(RuntimeError):  # given free already, by a call that was torn before the next line
                waiter.release()
            self._waiters.pop(waiter, None)

    def flush(self) -> None:
        """Write now what the engine has ready."""
        self._woken = False
        engine, sleeps_until = self._engine, self._asleep_until
        is_behind = self._board.send()
        due = engine.next_timeout()
        if due == AT_ONCE and self._background:  # a pump looks at its sockets before it tells the time
            now = monotonic()
            if sleeps_until is None or now < sleeps_until:  # else that thread does: no caller deals with what is late
                engine.handle_timeout(now)
                is_behind |= self._board.send()
                self._wake()
                due = engine.next_timeout()
        if is_behind or engine.closed or (due is not None and (sleeps_until is None or due < sleeps_until)):
            self._ring()

    def _wakeup(self) -> None:
        """The engine has changed. Whoever is inside writes what is ready, and looks here when he has left."""
        if get_ident() in self._entrance.visitors:
            self._woken = True
        else:
            self._ring()

    def _do_calls(self) -> bool:
        """Do what ``soon`` was given; whether there was something."""
        calls = self._calls
        found = bool(calls)
        while calls:
            calls[0]()
            calls.popleft()  # and not before: if it is interrupted, it is called again
        if found:
            self._wake()
        return found

    def _mend(self) -> None:
        """An exception has hit the engine itself."""
        if self._background and self._failure is None:
            give_up_links(self._engine, self._board.wires, monotonic())
            self._wake()
            self._ring()
        else:
            self._stop()

    def _stop(self) -> None:
        if self._failure is None:
            self._engine.close()
        else:
            self._engine.fail(self._failure)
        self._wake()

    def _hang_up(self) -> Any:
        """Leave no socket behind. Where another thread pumps, a lock to wait for instead."""
        if self._entrance.mover:
            return self._line_up()
        self._board.hang_up()
        return None

    # -- the thread that owns the sockets -----------------------------------------------------------------------------

    def _run(self) -> None:
        self._entrance.serve(background=True)
        try:
            while not self._engine.closed:
                self._step(None)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told to whoever waits
            self._failure = error
        except BaseException as error:  # noqa: BLE001  # the same
            self._failure = RuntimeError(f"the thread of this {self._engine.label} was ended: {error!r}")
            self._failure.__cause__ = error
        finally:
            self._entrance.leave()
            self._entrance.call(self._stop)
            self._entrance.call(self._hang_up)

    def _pump(self, waiter: Any, deadline: float | None) -> None:
        """Run the engine in the calling thread until something happens to it, or the deadline has passed.

        One thread at a time: what it meets in the sockets no other would see. The others wait for it.
        """
        entrance, me = self._entrance, get_ident()
        try:
            if entrance.call(self._serve):
                while waiter in self._waiters and not self._engine.closed:
                    self._step(deadline)
                    if deadline is not None and deadline <= monotonic():
                        break
            else:
                _wait(waiter, min(monotonic() + LOOK, deadline or inf))
        except BaseException:
            if entrance.mover == me:
                entrance.call(self._stop)
            raise
        finally:
            if entrance.mover == me:
                entrance.mover = 0  # at once: a signal handler may raise in any call
                entrance.call(self._leave)

    def _serve(self) -> bool:
        """Pump from now on, unless another thread does."""
        if self._entrance.mover:
            return False
        self._entrance.serve(background=False)
        return True

    def _leave(self) -> None:
        """Nobody pumps now."""
        if self._engine.closed:
            self._board.hang_up()
        self._wake()

    def _step(self, deadline: float | None) -> None:
        """One round: wait until something happens to the engine, unless it has."""
        happened, wait = self._entrance.call(self._prepare, deadline)
        if not happened:
            self._entrance.call(self._take_in, self._board.select(0.0 if self._woken else wait))

    def _prepare(self, deadline: float | None) -> tuple[bool, float | None]:
        """Whether something has happened already, and how long to sleep if not."""
        self._woken = False
        happened = self._board.reconcile()
        due = self._engine.next_timeout()
        self._asleep_until = due = min((at for at in (due, deadline) if at is not None), default=None)
        if happened:
            self._wake()
        return happened, None if due is None else max(due - monotonic(), 0.0)

    def _take_in(self, ready: Ready) -> None:
        happened = self._board.take_in(ready)
        happened |= self._do_calls()
        now = monotonic()
        due = self._engine.next_timeout()
        if due is not None and due <= now:
            self._engine.handle_timeout(now)
            happened = True
        if happened:
            self._wake()


def _taken() -> Any:
    """A lock to wait for."""
    lock = Lock()
    lock.acquire()
    return lock


def _wait(lock: Any, deadline: float | None) -> None:
    if deadline is None:
        lock.acquire()
    else:
        lock.acquire(timeout=max(deadline - monotonic(), 0.0))


connect = make_connect(Driver)
