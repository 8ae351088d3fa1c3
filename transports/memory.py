"""``memory://``: a server in this process, for tests of programs. It is the model, with a thread, a clock and socket pairs.

A single thread owns the server's ends of the connections and runs the model; the transports use the clients' ends like any other
socket. A change from outside, a fault, say, is made under the lock, and rings a bell that wakes the thread.
The clock is the computer's, and the seconds that ``advance`` has added to it.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Final, Literal, Self, TypeVar
from urllib.parse import quote

from streamcore.errors import InvalidArgument, StreamcoreError
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour, Server, Session
from streamcore.testing.model.commands.scripting import Effect

__all__ = ["MemoryServer", "MemoryServerError", "dial", "shared_server"]

FLAVOURS: Final[dict[str, Flavour]] = {"valkey": VALKEY9, "redis7": REDIS7, "redis8": REDIS8}
KEPT: Final = 10_000  # commands that are remembered
_SIZE: Final = 65536
T = TypeVar("T")


class MemoryServerError(StreamcoreError, RuntimeError):
    """The server in memory is started already, or stopped."""


class MemoryServer:
    """A server in this process; ``url`` is for ``connect()``. Starts and ends with its ``with`` block.

    * ``name``: that of its URL, ``memory://name``; a free name is found if none is given.
    * ``like``: which server it answers as, ``"valkey"`` (9), ``"redis7"`` (7.0) or ``"redis8"`` (8.6).
    * ``password``: that of the user ``default``.

    Every method may be called from any thread, and takes effect before it returns. Raises ``InvalidArgument`` for a name that
    another server has, or a server that is not known.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        like: Literal["valkey", "redis7", "redis8"] = "valkey",
        password: str | None = None,
    ) -> None:
        if like not in FLAVOURS:
            raise InvalidArgument(f"like={like!r} is no server that is modelled; choose one of {', '.join(FLAVOURS)}")
        self.name = f"server-{next(_numbers)}" if name is None else name
        self._lock = threading.RLock()
        self._model = Server(FLAVOURS[like], now=time.time(), entropy=os.urandom)
        if password is not None:
            self._model.passwords[b"default"] = password.encode()
        self._model.on_command = self._note
        self._commands: deque[tuple[bytes, ...]] = deque(maxlen=KEPT)
        self._ahead = time.time() - time.monotonic()
        self._awake = threading.Event()  # not paused
        self._awake.set()
        self._refuses = False
        self._is_over = True
        self._thread: threading.Thread | None = None
        self._selector: selectors.BaseSelector
        self._bell: socket.socket
        self._ear: socket.socket
        self._links: dict[Session, socket.socket] = {}

    @property
    def url(self) -> str:
        """The URL for ``connect()``."""
        return f"memory://{quote(self.name)}"

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start. After ``stop()`` it has the data that it had, and a new run id.

        Raises ``MemoryServerError`` when it is started already, and ``InvalidArgument`` where its name is another server's.
        """
        with _registry:
            if self._thread is not None:
                raise MemoryServerError(f"the server {self.url} is started already; stop() it first")
            if self.name in _servers:
                raise InvalidArgument(f"the name {self.name!r} is another server's; stop that, or take another name")
            _servers[self.name] = self
            _stopped.discard(self.name)
        self._is_over = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"streamcore {self.url}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections and take no more; nothing happens the second time. The data stays for ``start()``."""
        with _registry:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            _servers.pop(self.name, None)
            _stopped.add(self.name)
        self._is_over = True
        self._awake.set()
        self._ring()
        thread.join()
        self._model.begin_anew()
        for thing in (self._selector, self._bell, self._ear):
            thing.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<MemoryServer {self.url} ({'stopped' if self._thread is None else 'running'})>"

    # -- what it was asked --------------------------------------------------------------------------------------------

    @property
    def commands(self) -> list[tuple[bytes, ...]]:
        """The last commands that were received, 10,000 at most, oldest first: their words as they came."""
        with self._lock:
            return list(self._commands)

    def forget_commands(self) -> None:
        """Let ``commands`` begin anew."""
        with self._lock:
            self._commands.clear()

    def _note(self, _: Session, words: list[bytes]) -> None:
        self._commands.append(tuple(words))

    # -- faults -------------------------------------------------------------------------------------------------------

    def drop_link(self, client_name: str | None = None) -> int:
        """Cut the connections of all clients, or of clients with this ``client_name``; how many there were.

        Commands that the server has not read are lost, and so are answers that were not read.
        """

        def drop() -> int:
            chosen = [s for s in self._links if client_name is None or s.name == client_name.encode()]
            for session in chosen:
                session.lost()
                with suppress(OSError):
                    self._links[session].shutdown(socket.SHUT_RDWR)
            return len(chosen)

        return self._do(drop)

    def fail_next(self, command: str, *, error: str, times: int = 1) -> None:
        """Answer the next so many commands of this name by an error, such as ``"LOADING ..."``, and do nothing.

        A command is named by its word, or by two (``"XGROUP CREATE"``), also where a script of the library calls it.
        """
        self._do(lambda: self._model.faults.fail_next(command, error, times))

    def fail_all(self, error: str | None) -> None:
        """Answer all commands by this error until ``fail_all(None)``, as far as it befalls them: READONLY only writes."""
        self._do(lambda: setattr(self._model.faults, "unavailable", error))

    def deny(self, *commands: str) -> None:
        """The user has no permission for these commands any more (NOPERM), named as in ``fail_next``."""
        self._do(lambda: self._model.faults.denied.update(command.upper() for command in commands))

    def allow(self, *commands: str) -> None:
        """The user has permission for these commands again."""
        self._do(lambda: self._model.faults.denied.difference_update(command.upper() for command in commands))

    def refuse_connections(self, *, refuse: bool = True) -> None:
        """Take no new connections, until it is called with ``refuse=False``; existing connections stay."""
        self._refuses = refuse

    def pause(self) -> None:
        """Hang: connections stay open, and nothing is answered."""
        self._awake.clear()
        with self._lock:  # what the thread is doing is done
            pass

    def resume(self) -> None:
        """Go on after ``pause()``."""
        self._awake.set()

    def advance(self, seconds: float) -> None:
        """Let so much time pass for the server at once: keys expire, entries get idle, blocked reads end.

        Clients have clocks of their own, and do not notice. Raises ``InvalidArgument`` for a negative time.
        """
        if seconds < 0:
            raise InvalidArgument(f"seconds must be 0 or more, not {seconds!r}: a server's time does not go back")

        def advance() -> None:
            self._ahead += seconds
            self._model.handle_timeout(self._now())

        self._do(advance)

    def add_script(self, source: str | bytes, effect: Effect) -> None:
        """Register a function in place of a Lua script of your own: there is no Lua here.

        It is called with the session, the keys and the arguments, may call ``session.server.call(session, b"GET", key)``, and
        returns the reply: bytes, an int, a list or None.
        """
        self._do(lambda: self._model.effects.update({source.encode() if isinstance(source, str) else source: effect}))

    # -- connections --------------------------------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        """A new connection to it: the client's end. Raises ``ConnectionRefusedError``."""
        with self._lock:
            if self._is_over or self._refuses:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            session = self._model.connect(self._now())
            self._links[session] = ours
            self._selector.register(ours, selectors.EVENT_READ, session)
            self._ring()
            return theirs

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._round()
        finally:  # after an error of the model, too: nobody shall wait for what will not come
            with self._lock:
                self._is_over = True
                for sock in self._links.values():
                    sock.close()
                self._links.clear()

    def _round(self) -> None:
        with self._lock:
            due = self._model.next_timeout()
            timeout = None if due is None else max(0.0, due - self._now())
        ready = self._selector.select(timeout)
        self._awake.wait()
        with self._lock:
            for key, _ in ready:
                if key.data is None:
                    with suppress(BlockingIOError):
                        self._ear.recv(4096)
                elif key.data in self._links:
                    self._read(key.data)
            self._model.handle_timeout(self._now())
            self._write()

    def _read(self, session: Session) -> None:
        try:
            data = self._links[session].recv(_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            session.receive(data, self._now())
        else:
            session.lost()

    def _write(self) -> None:
        """Send outgoing bytes, as far as the sockets take them, and close sessions that have ended."""
        for session in self._model.take_changed():
            sock = self._links.get(session)
            if sock is None:
                continue
            full = False
            while data := session.data_to_send():
                try:
                    session.data_sent(sock.send(data))
                except BlockingIOError:
                    full = True
                    self._model.changed[session] = None
                    break
                except OSError:
                    session.lost()
            if session.closed:
                self._selector.unregister(sock)
                del self._links[session]
                sock.close()
            else:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if full else 0)
                self._selector.modify(sock, events, session)

    def _do(self, function: Callable[[], T]) -> T:
        with self._lock:
            result = function()
            if self._thread is not None:
                self._ring()
            return result

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")

    def _abandon(self) -> None:
        """In a forked child: there is no thread, and none that would release the lock."""
        self._thread, self._is_over = None, True
        self._lock = threading.RLock()

    def _now(self) -> float:
        return time.monotonic() + self._ahead


# -- all servers of this process ---------------------------------------------------------------------------------------

_registry: Final = threading.RLock()
_servers: Final[dict[str, MemoryServer]] = {}
_stopped: Final[set[str]] = set()  # names that were somebody's: dialling them makes no new server
_numbers: Final = count(1)


def shared_server(name: str = "") -> MemoryServer:
    """The server behind ``memory://name``, started by the first call or connection."""
    with _registry:
        server = _servers.get(name)
        if server is None:
            server = MemoryServer(name)
            server.start()
        return server


def dial(name: str) -> socket.socket:
    """A connection to the server of that name. Raises ``ConnectionRefusedError`` where it was stopped, or refuses."""
    with _registry:
        if name in _stopped:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        server = shared_server(name)
    return server.connect()


def _abandon_servers() -> None:
    """In a forked child: the threads are the parent's, and so are the servers."""
    for name, server in _servers.items():
        server._abandon()  # noqa: SLF001
        _stopped.add(name)
    _servers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_servers)
