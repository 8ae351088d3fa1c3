"""The sockets of an engine behind a selector, for threads.

All but ``ring``, ``select`` and ``close`` is called within the engine's ``Entrance``. ``ring`` may be called anywhere.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import TypeAlias

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.errors import ConnectFailed

from .._sockets import Dialling, Wire, loss
from ..address import Target
from .asking import Asking

Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]


class Switchboard:
    """Keeps a socket for each link that wants a connection. ``wires``: sockets that are open, or being dialled."""

    def __init__(self, engine: Engine, target: Target, name: str) -> None:
        self.wires: dict[Link, Wire | Dialling] = {}
        self._engine = engine
        self._target = target
        self._name = name
        self._dialled: deque[Dialling] = deque()
        ask = target.credentials
        self._asking = None if ask is None else Asking(ask, self.ring, name)
        self._left: dict[Link, None] = {}  # for ``reconcile``: they want a socket, or none, or theirs was full
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._rung = False

    def ring(self) -> None:
        """Wake the thread that sleeps in ``select``, from any thread and in signal handlers; many rings count as a single ring."""
        if not self._rung:
            self._rung = True
            try:
                with suppress(OSError):
                    self._bell.send(b"!")
            except BaseException:  # Ctrl-C: the next one shall ring
                self._rung = False
                raise

    def select(self, wait: float | None) -> Ready:
        """Sleep until there is something to ``take_in``, at most ``wait`` seconds."""
        return self._selector.select(wait)

    def take_in(self, ready: Ready) -> bool:
        """Read from the sockets that ``select`` has found; whether there were any."""
        moved = False
        for key, events in ready:
            if key.data is None:
                with suppress(BlockingIOError):
                    self._ear.recv(4096)
                self._rung = False  # whoever rings in between has said before what there is to see
            else:
                moved = True
                self._move(key.data, events)
        return moved

    def send(self) -> bool:
        """Write the bytes that the links have ready; whether a socket is missing, or is not wanted any more."""
        is_behind = False
        for link in self._engine.changed_links():
            wire = self.wires.get(link)
            if link.wants_connection is (wire is None) or link.wants_credentials:
                is_behind = True
                self._left[link] = None
            if type(wire) is Wire:
                if wire.full:
                    self._left[link] = None
                else:
                    self._send(wire)
        return is_behind

    def reconcile(self) -> bool:
        """Open and close sockets as the links want, and write; whether the engine was told anything."""
        told = False
        while self._dialled:
            told |= self._connected(self._dialled.popleft())
        if self._asking is not None:
            told |= self._asking.tell()
        self._left |= dict.fromkeys(self._engine.changed_links())
        for link in list(self._left):
            wire = self.wires.get(link)
            if not link.wants_connection:
                if wire is not None:
                    self._drop(wire, None)
                    told = True
            elif wire is None:
                told |= not self._dial(link)
            elif type(wire) is Wire:
                self._send(wire)
            if self._asking is not None:
                self._asking.look(link)
            del self._left[link]
        return told

    def hang_up(self) -> None:
        """Close all sockets; the engine is closed."""
        for wire in list(self.wires.values()):
            self._drop(wire, None)

    def close(self) -> None:
        """Close the selector and the bell."""
        for thing in (self._selector, self._bell, self._ear):
            thing.close()

    # -- dialling -----------------------------------------------------------------------------------------------------

    def _dial(self, link: Link) -> bool:
        """Start a thread that dials; whether there is such a thread."""
        dialling = self.wires[link] = Dialling(link, self._target, self._engine.options.connect_timeout)
        thread = Thread(target=dialling.attempt, args=(self._tell,), name=f"{self._name} dial", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._drop(dialling, ConnectFailed(f"there is no thread to dial in: {error}"))
            return False
        return True

    def _tell(self, dialling: Dialling) -> None:
        """A dial has ended; called in its thread."""
        self._dialled.append(dialling)
        self.ring()

    def _connected(self, dialling: Dialling) -> bool:
        """Whether a dial that has ended was still waited for."""
        link = dialling.link
        if self.wires.get(link) is not dialling:
            return False
        if dialling.sock is None:
            self._drop(dialling, dialling.error)
        else:
            self.wires[link] = wire = Wire(link, dialling.sock)
            self._selector.register(wire.sock, selectors.EVENT_READ, wire)
            link.connection_made(monotonic())
        return True

    # -- one wire -----------------------------------------------------------------------------------------------------

    def _move(self, wire: Wire, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and wire.link.wants_data:
                wire.receive(monotonic())
            if events & selectors.EVENT_WRITE and self.wires.get(wire.link) is wire:
                self._send(wire)
        except OSError as error:
            if self.wires.get(wire.link) is wire:
                self._drop(wire, error)

    def _send(self, wire: Wire) -> None:
        with suppress(OSError):  # the reading side meets the same error, and tells it
            wire.send()
        wanted = (selectors.EVENT_READ if wire.link.wants_data else 0) | (selectors.EVENT_WRITE if wire.full else 0)
        if wanted != wire.watched:
            self._unwatch(wire)
            if wanted:
                self._selector.register(wire.sock, wanted, wire)
            wire.watched = wanted

    def _unwatch(self, wire: Wire) -> None:
        with suppress(KeyError):  # ``watched`` may not be true, where a signal handler has raised before it was set
            self._selector.unregister(wire.sock)

    def _drop(self, wire: Wire | Dialling, error: Exception | None) -> None:
        del self.wires[wire.link]
        if type(wire) is Wire:
            self._unwatch(wire)
        wire.close()
        wire.link.connection_lost(loss(error, wire.link, self._target), monotonic())
