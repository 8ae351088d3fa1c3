"""Threads: one daemon thread per engine owns its sockets, or, with ``background=False``, the thread that waits.

In the background, keep-alive, timed acknowledgements and recovery go on while user code runs, and an interrupted caller
tears nothing. All calls to the engine are made under one lock. A caller writes what its call made ready by itself; the
thread sleeps in ``select`` for bytes, for the timer, and for a byte in a socket pair that tells it to look again.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.engine import Engine
from streamcore.errors import ConnectFailed, ConnectionLost
from streamcore.link import AT_ONCE, Link
from streamcore.requests import Request, Submit

from ._facade.synchronous import (
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
    make_connect,
)
from ._sockets import Wire, dial, loss
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


class Driver:
    """Runs one engine."""

    def __init__(self, engine: Engine, target: Target, *, background: bool = True) -> None:
        self._lock = threading.RLock()
        self._engine = engine
        self._target = target
        self._background = background
        self._changed = threading.Condition(self._lock)
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._wires: dict[Link, Wire | None] = {}  # None: being dialled
        self._dialled: deque[tuple[Link, socket.socket | ConnectFailed]] = deque()
        self._pumping = 0  # threads in _pump
        self._asleep_until: float | None = None
        self._rung = False
        self._calls: deque[Callable[[], object]] = deque()
        self._workers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name=f"streamcore {type(engine).__name__}", daemon=True)
        engine.on_wakeup = self._ring
        if background:
            self._thread.start()

    # -- the facade's side --------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write now what the engine has ready; call it under the lock."""
        for wire in self._wires.values():
            if wire is not None and not wire.full:
                self._send(wire)
        engine = self._engine
        due = engine.next_timeout()
        if due == AT_ONCE and self._background:  # a pump looks at its sockets before it tells the time
            engine.handle_timeout(monotonic())
            self._changed.notify_all()
            due = engine.next_timeout()
        sooner = due is not None and (self._asleep_until is None or due < self._asleep_until)
        if sooner or any(link.wants_connection != (link in self._wires) for link in engine.links()):
            self._ring()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine, and do what that makes ready."""
        with self._lock:
            try:
                self._do_calls()
                result = function()
                self.flush()
            except Exception:
                raise
            except BaseException:
                self._interrupted()
                raise
            return result

    def until(self, ask: Callable[[], T], within: float | None = None) -> T:
        """Ask until the answer is true, again whenever something has happened; after ``within`` seconds, the last one."""
        deadline = None if within is None else monotonic() + within
        late = False
        with self._lock:
            while True:
                answer = self.call(ask)
                if answer or late:
                    return answer
                if self._background:
                    self._changed.wait(None if deadline is None else deadline - monotonic())
                else:
                    self._pump(deadline)
                late = deadline is not None and deadline <= monotonic()

    def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; interrupted, their reply reaches nobody."""
        finished = threading.Event()
        request = self.call(lambda: submit(commands, lambda _: finished.set()))
        try:
            finished.wait()
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
        self._workers.append(threading.Thread(target=work, name=f"{self._thread.name} handlers", daemon=True))
        self._workers[-1].start()

    def close(self) -> None:
        """Close the engine and its sockets, whoever waits for it."""
        with self._lock:
            self._engine.close()
            self._changed.notify_all()
            self._ring()
            while self._pumping:
                self._changed.wait()
            if not self._background:
                self._reconcile()
        if self._background:
            self._thread.join()
        for worker in self._workers:
            if worker is not threading.current_thread():  # a handler may close what it belongs to
                worker.join(self._engine.options.request_timeout)
        self._selector.close()
        self._bell.close()
        self._ear.close()

    # -- the thread that owns the sockets -----------------------------------------------------------------------------

    def _pump(self, deadline: float | None) -> None:
        """Run the engine in the calling thread until something happens to it, or the deadline has passed.

        One thread at a time: what it meets in the sockets no other would see. The others wait for it.
        """
        if self._pumping:
            self._changed.wait(None if deadline is None else deadline - monotonic())
            return
        self._pumping += 1
        try:
            while not (self._step(deadline) or self._engine.closed):
                if deadline is not None and deadline <= monotonic():
                    break
        except BaseException:
            self._interrupted()
            raise
        finally:
            self._pumping -= 1
            self._changed.notify_all()

    def _run(self) -> None:
        with self._lock:
            try:
                while not self._engine.closed:
                    self._step(None)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told to whoever waits
                self._engine.fail(error)
            self._reconcile()
            self._changed.notify_all()

    def _interrupted(self) -> None:
        """Ctrl-C has hit the engine itself: nobody knows how far it was, and what it has noted about its connections."""
        if self._background:
            for link in self._engine.links():
                link.drop(ConnectionLost("interrupted in the middle of a call"))
                if link not in self._wires:  # nobody has come to dialling, and nobody would tell that it is lost
                    link.connection_lost(None, monotonic())
            self._ring()
        else:
            self._engine.close()
            self._reconcile()

    def _step(self, deadline: float | None) -> bool:
        """One round, with the lock held, except while asleep; whether something happened to the engine."""
        happened = self._reconcile()
        due = self._engine.next_timeout()
        self._asleep_until = due = min((at for at in (due, deadline) if at is not None), default=None)
        if happened:
            return True
        try:
            self._lock.release()
            ready = self._selector.select(None if due is None else max(due - monotonic(), 0.0))
        finally:
            self._lock.acquire()
        for key, events in ready:
            if key.data is None:
                with suppress(BlockingIOError):
                    self._ear.recv(4096)
                self._rung = False  # in this order: who rings in between is heard by the next round
                happened |= self._do_calls()
            else:
                happened = True
                self._move(key.data, events)
        now = monotonic()
        due = self._engine.next_timeout()
        if due is not None and due <= now:
            self._engine.handle_timeout(now)
            happened = True
        if happened:
            self._changed.notify_all()
        return happened

    def _reconcile(self) -> bool:
        """Make the sockets what the engine wants; whether it was told something."""
        told = False
        while self._dialled:
            link, result = self._dialled.popleft()
            told = True
            if isinstance(result, ConnectFailed):
                del self._wires[link]
                link.connection_lost(result, monotonic())
            else:
                self._wires[link] = wire = Wire(link, result)
                self._selector.register(result, selectors.EVENT_READ, wire)
                link.connection_made(monotonic())
        for link in self._engine.links():
            wire_or_dial = self._wires.get(link)
            if link.wants_connection:
                if link not in self._wires:
                    self._wires[link] = None
                    threading.Thread(target=self._dial, args=(link,), daemon=True).start()
            elif wire_or_dial is not None:
                self._drop(wire_or_dial, None)
                told = True
        for open_wire in self._wires.values():
            if open_wire is not None:
                self._send(open_wire)
        if told:
            self._changed.notify_all()
        return told

    def _dial(self, link: Link) -> None:
        try:
            result: socket.socket | ConnectFailed = dial(link, self._target, self._engine.options.connect_timeout)
        except ConnectFailed as error:
            result = error
        with self._lock:
            if not self._engine.closed:
                self._dialled.append((link, result))
                self._ring()
            elif isinstance(result, socket.socket):
                result.close()

    def _move(self, wire: Wire, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and wire.link.wants_data:
                wire.receive(monotonic())
        except OSError as error:
            if self._wires.get(wire.link) is wire:
                self._drop(wire, error)

    def _send(self, wire: Wire) -> None:
        with suppress(OSError):  # the reading side meets the same error, and tells it
            wire.send()
        wanted = (selectors.EVENT_READ if wire.link.wants_data else 0) | (selectors.EVENT_WRITE if wire.full else 0)
        if wanted != wire.watched:
            if wire.watched:
                self._selector.unregister(wire.sock)
            if wanted:
                self._selector.register(wire.sock, wanted, wire)
            wire.watched = wanted

    def _drop(self, wire: Wire, error: OSError | None) -> None:
        del self._wires[wire.link]
        if wire.watched:
            self._selector.unregister(wire.sock)
        wire.sock.close()
        wire.link.connection_lost(loss(error, wire.link, self._target), monotonic())

    def _do_calls(self) -> bool:
        """Do what ``soon`` was given; whether there was something."""
        calls = self._calls
        found = bool(calls)
        while calls:
            calls.popleft()()
        if found:
            self._changed.notify_all()
        return found

    def _ring(self) -> None:
        """Make the thread look again, from any thread; many rings are one."""
        if not self._rung:
            self._rung = True
            try:
                with suppress(OSError):
                    self._bell.send(b"!")
            except BaseException:  # Ctrl-C: the next one shall ring
                self._rung = False
                raise


connect = make_connect(Driver)
