"""A machine on which a model server runs: it takes connections, is killed, paused, started again, and passes the bytes on.

``server`` may be replaced by another, as a failover does. All knowledge of its data is read off the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.testing.model import Server, Session
from streamcore.testing.model.faults import Faults

from .network import Wire
from .scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streamcore.testing.model.values import Value


RUBBISH: Final = b"?\r\n"


class Nowhere:
    """The machine at an address where there is none: each dial is refused."""

    paused = False

    def __init__(self) -> None:
        self.wires: dict[Session, Wire] = {}

    def accept(self, wire: Wire) -> bool:
        """Refuse a dial."""
        return False

    def receive(self, wire: Wire, data: bytes) -> None:
        """Not called: there is no connection."""
        raise NotImplementedError

    def lost(self, wire: Wire) -> None:
        """Ignore the end of a dial."""


class Host:
    """Runs a server at an address. ``is_up``: it can be dialled."""

    def __init__(self, world: Scheduler, server: Server, name: str = "server") -> None:
        self.world = world
        self.name = name
        self.server = server
        self.is_up = True
        self.paused = False
        self.wires: dict[Session, Wire] = {}
        self.before: Callable[[bytes], None] | None = None  # called before what a program has sent is done
        self.cuts: Callable[[bytes], bool] | None = (
            None  # whether a connection breaks instead of bringing these replies
        )
        self.on_kill: Callable[[Wire, list[Session]], None] = _nothing  # told of connections that a program has killed
        self._armed: float | None = None
        self._operator = server.connect(world.now)

    # -- connections --------------------------------------------------------------------------------------------------

    def accept(self, wire: Wire) -> bool:
        """Take a dial; False: refused."""
        if not self.is_up:
            return False
        wire.session = self.server.connect(self.world.now)
        self.wires[wire.session] = wire
        return True

    def receive(self, wire: Wire, data: bytes) -> None:
        """Bytes have come."""
        session = wire.session
        if session is None:
            return
        self.world.saw(data)
        if self.before is not None:
            self.before(data)
        others = list(self.server.sessions.values()) if b"KILL" in data else []
        session.receive(data, self.world.now)
        if killed := [one for one in others if not one.is_open and one is not session]:
            self.on_kill(wire, killed)
        self.flush()

    def lost(self, wire: Wire) -> None:
        """A connection has ended."""
        session, wire.session = wire.session, None
        if session is not None:
            self.wires.pop(session, None)
            session.lost()
            self.flush()

    def flush(self) -> None:
        """Send outgoing bytes, and close sessions that have ended."""
        server = self.server
        if server.changed:
            for session in server.take_changed():
                self._write(session)
        self._arm()

    def _write(self, session: Session) -> None:
        wire = self.wires.get(session)
        if wire is None:
            return
        if wire.down.full:
            self.server.changed[session] = None
        elif data := bytes(session.data_to_send()):
            session.data_sent(len(data))
            if wire.babbles:
                data = b""
            elif wire.rubbish:
                wire.rubbish = False
                data += RUBBISH
                self.world.fault(
                    "rubbish", f"{wire.label} is sent something that is no reply, behind {len(data)} bytes that are"
                )
            if self.cuts is not None and self.cuts(data):
                wire.reset()
                return
            if data:
                wire.down.send(data)
        if session.closed:
            del self.wires[session]
            wire.closed_by_server()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        due = self.server.next_timeout()
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self.world.at(due, self._elapse)

    def _elapse(self) -> None:
        self._armed = None
        if self.is_up and not self.paused:
            due = self.server.next_timeout()
            if due is not None and due <= self.world.now:
                self.server.handle_timeout(self.world.now)
            self.flush()

    # -- what becomes of the machine ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """The server is killed: its connections end, and no dial is answered until ``start``."""
        self.is_up, self.paused = False, False
        for wire in list(self.wires.values()):
            wire.session = None
            wire.down.clear()
            wire.closed_by_server()
        self.wires.clear()

    def start(self, server: Server | None = None) -> None:
        """A server runs here again: the same server with its data, or another."""
        if server is None:
            self.server.begin_anew()
        else:
            self.server = server
        self._operator = self.server.connect(self.world.now)
        self.is_up = True
        self._armed = None

    def pause(self) -> None:
        """Everything stands still; connections stay open."""
        self.paused = True

    def resume(self) -> None:
        """Go on."""
        if self.paused:
            self.paused = False
            for wire in list(self.wires.values()):
                wire.up.release()
            self._elapse()

    # -- the data -----------------------------------------------------------------------------------------------------

    def values(self) -> Mapping[bytes, Value]:
        """The values of all keys."""
        return self.server.databases[0].values

    def value(self, key: bytes) -> Value | None:
        """The value of a key; None where it is not there."""
        return self.server.databases[0].values.get(key)

    def takes(self, key: bytes) -> bool:
        """Whether a key can be written: the server runs."""
        return self.is_up and not self.paused

    # -- the operator -------------------------------------------------------------------------------------------------

    def limit_output(self, size: int) -> None:
        """Bound the bytes that the server keeps for a client that does not read."""
        self.server.output_limit = size

    def observe(self, told: Callable[[Session, list[bytes]], None]) -> None:
        """Call a function with each command that the server is about to run for a client; successors of the server tell, too."""
        self.server.on_command = told

    def do(self, *words: bytes) -> None:
        """A stranger has the server run a command; no fault befalls it."""
        server, operator = self.server, self._operator
        faults, server.faults = server.faults, Faults()
        text = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        operator.receive(text, self.world.now)
        operator.data_sent(len(operator.data_to_send()))
        server.faults = faults
        self.flush()

    def clients(self) -> Iterator[Wire]:
        """The connections of programs."""
        return iter(list(self.wires.values()))


def _nothing(wire: Wire, sessions: list[Session]) -> None:
    """Do nothing: there is no listener."""
