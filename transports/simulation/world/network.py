"""The network between a link and a session: two pipes, each of which delays, splits, truncates, goes deaf, and never reorders.

A ``Wire`` is a connection. Its ends are told of a loss separately, or never: ``reset`` tells both, ``half_open`` a single end.
Bytes in flight when a connection is closed in order still arrive, as with TCP; a reset throws them away.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore import Link
    from streamcore.testing.model import Session

LEAST: Final = 0.0003
"""Seconds that anything needs at least."""

MOST: Final = 0.03
BUFFER: Final = 64 << 10
"""Bytes that a pipe takes while its reader does not read."""

_END: Final = b""


class Pipe:
    """A direction. ``fuse``: so many bytes still pass, then the connection is reset."""

    __slots__ = (
        "_lots",
        "_queue",
        "_wire",
        "clogged_until",
        "deaf",
        "fuse",
        "held",
        "last",
        "left_at",
        "to_server",
        "waiting",
    )

    def __init__(self, wire: Wire, lots: Random, *, to_server: bool) -> None:
        self._wire = wire
        self._lots = lots
        self._queue: deque[tuple[bytes, float]] = deque()  # and when it left
        self.to_server = to_server
        self.deaf = False  # nothing arrives any more
        self.fuse: int | None = None
        self.held = 0  # arrived, and not read: the reader is stopped
        self.last = 0.0
        self.left_at = 0.0  # when the last piece that has arrived had left
        self.clogged_until = 0.0  # the writer's socket takes nothing more
        self.waiting = 0  # bytes on their way

    def send(self, data: bytes) -> None:
        """Bytes leave, in a piece or in several; no bytes: the end."""
        if self.deaf:
            return
        lots = self._lots
        if len(data) > 1 and lots.random() < 0.12:
            for _ in range(lots.randint(1, 2)):
                cut = lots.randrange(len(data))
                if cut:
                    self._push(data[:cut])
                    data = data[cut:]
        self._push(data)

    def delay(self) -> float:
        """How long something takes."""
        return LEAST + MOST * self._lots.random() ** 8

    def _push(self, data: bytes) -> None:
        world = self._wire.world
        at = world.now + self.delay()
        self.last = at = max(self.last, at)
        self._queue.append((data, world.now))
        self.waiting += len(data)
        world.at(at, self._arrive)

    def _arrive(self) -> None:
        if self.deaf:
            self.clear()
        elif self._queue:
            if self._wire.reads(self):
                self._deliver()
            else:
                self.held += 1

    def _deliver(self) -> None:
        data, self.left_at = self._queue.popleft()
        self.waiting -= len(data)
        if self.fuse is not None:
            if self.fuse < len(data):
                data, self.fuse = data[: self.fuse], -1
                self.clear()  # nothing of what came behind may be read in the rest's place
            else:
                self.fuse -= len(data)
        if data or self.fuse is None:
            self._wire.deliver(self, data)
        if self.fuse == -1:
            self._wire.blow(self)

    def release(self) -> bool:
        """The reader reads again: bytes that have arrived meanwhile are there; whether there are any."""
        did = False
        while self.held and self._queue and not self.deaf and self._wire.reads(self):
            did = True
            self.held -= 1
            self._deliver()
        return did

    def clear(self) -> None:
        """Lose the bytes in flight."""
        self._queue.clear()
        self.waiting = self.held = 0

    def takes(self, size: int) -> int:
        """How many of so many bytes the writer's socket takes now; sometimes only some, and then nothing for a while."""
        if self.waiting > BUFFER or self._wire.world.now < self.clogged_until:
            return 0
        if self._lots.random() < 0.03 and size > 1:
            self.clogged_until = self._wire.world.now + self.delay()
            return self._lots.randrange(size)
        return size

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return self.waiting > BUFFER


class ClientEnd(Protocol):
    """The process at an end of a wire."""

    label: str
    seeded_label: str
    paused: bool

    @property
    def program(self) -> object: ...

    # Take the bytes that have come.
    def receive(self, wire: Wire, data: bytes) -> None: ...

    # End the connection of a wire.
    def lost(self, wire: Wire, error: Exception | None) -> None: ...


class ServerEnd(Protocol):
    """The machine at the other end of a wire."""

    paused: bool

    @property
    def wires(self) -> Mapping[Session, Wire]: ...

    # Open a session for a wire, unless the dial is refused.
    def accept(self, wire: Wire) -> bool: ...

    # Take the bytes that have come.
    def receive(self, wire: Wire, data: bytes) -> None: ...

    # End the session of a wire.
    def lost(self, wire: Wire) -> None: ...


class Wire:
    """A connection, from the dial to its end. ``session`` is None before the server has accepted, and after it knows the end."""

    __slots__ = ("babbles", "down", "host", "link", "node", "number", "rubbish", "session", "up", "world")

    def __init__(self, world: Scheduler, node: ClientEnd, link: Link, host: ServerEnd, number: int) -> None:
        self.world = world
        self.node: ClientEnd | None = node  # None: this end is closed
        self.link = link
        self.host = host
        self.number = number
        self.session: Session | None = None
        self.babbles = False  # what the server sends is lost
        self.rubbish = False  # what the server sends next ends with bytes that are no reply
        lots = world.lots(f"wire {node.seeded_label} {link.name} {number}")
        self.up = Pipe(self, lots, to_server=True)
        self.down = Pipe(self, lots, to_server=False)

    @property
    def label(self) -> str:
        node = self.node
        return f"{'-' if node is None else node.label}/{self.link.name}#{self.number}"

    def reads(self, pipe: Pipe) -> bool:
        """Whether the reader of a pipe takes arriving bytes."""
        if pipe.to_server:
            return not self.host.paused
        return self.node is None or (not self.node.paused and self.link.wants_data)

    def deliver(self, pipe: Pipe, data: bytes) -> None:
        """Bytes have arrived; none: the end of the other side."""
        if pipe.to_server:
            if data:
                self.host.receive(self, data)
            else:
                self.host.lost(self)
        elif self.node is not None:
            if data:
                self.node.receive(self, data)
            else:
                self.node.lost(self, None)

    def babble(self, first: bytes, piece: bytes, every: float) -> None:
        """The server's bytes are lost from now on. Instead these come, a piece after so many seconds, while the client listens."""
        self.babbles = True
        self._babble(first, piece, every)

    def _babble(self, data: bytes, piece: bytes, every: float) -> None:
        if self.node is not None and self.session is not None:
            if not self.down.full:
                self.down.send(data)
            self.world.after(every, partial(self._babble, piece, piece, every))

    # -- ends ---------------------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """The client closes, in order: its bytes still arrive, and then the end."""
        self.node = None
        self.down.clear()
        self.up.send(_END)

    def closed_by_server(self) -> None:
        """The server closes, in order."""
        self.session = None
        self.up.clear()
        self.down.send(_END)

    def blow(self, pipe: Pipe) -> None:
        """A fuse has blown: in the middle of something, the connection breaks."""
        kind = "cut in a command" if pipe.to_server else "cut in a reply"
        self.world.fault(kind, f"{self.label} breaks in the middle of what goes to the {_reader(pipe)}")
        self.reset()

    def reset(self) -> None:
        """Both ends lose it at once, and all that is in flight."""
        self.vanish_for_client()
        self.vanish_for_server()

    def vanish_for_client(self) -> None:
        """The client is told that the connection is gone; the server is not."""
        self.up.clear()
        self.down.clear()
        self.up.deaf = self.down.deaf = True
        if self.node is not None:
            self.node.lost(self, ConnectionResetError("reset by the simulator"))

    def leave_client(self) -> None:
        """The client is told that the connection is gone; its bytes still arrive, and then the end."""
        self.down.clear()
        self.down.deaf = True
        self.up.send(_END)
        if self.node is not None:
            self.node.lost(self, ConnectionResetError("reset by the simulator"))

    def vanish_for_server(self) -> None:
        """The server is told that the connection is gone; the client is not, and hears nothing any more."""
        self.up.clear()
        self.down.clear()
        self.up.deaf = self.down.deaf = True
        self.host.lost(self)


def _reader(pipe: Pipe) -> str:
    return "server" if pipe.to_server else "client"
