"""A driver in virtual time, the fourth runtime of ``docs/drivers.md``: keeps a wire for each link of an engine.

After every input it asks the links that have changed for their outputs, and wakes the program, until nothing moves any more. A node can
be *paused*: arriving bytes wait, and no timer fires; and it can be *killed*, with its memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from .issuer import Issuer
from .network import Wire
from .scheduler import Scheduler
from .server_host import RUBBISH, Host, Nowhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamcore import Address, Engine, Link

MANY: Final = 2000
"""Rounds without any time passing: an engine that needs more of them is in a busy loop."""


class World(Scheduler):
    """The machines of a run: the hosts of servers, and the nodes of all processes that live."""

    def __init__(self, seed: int, *, tells: bool = False) -> None:
        super().__init__(seed, tells=tells)
        self.hosts: dict[str, Host] = {}  # by address
        self.nodes: list[Node] = []
        self.issuer: Issuer | None = None  # of the credentials of programs whose login rotates
        self.nowhere = Nowhere()
        self.on_dial: Callable[[Wire], None] = _nothing  # told of each dial
        self.seeds: list[Address] = []  # of the cluster, where there is one


class Application(Protocol):
    """The program of a node."""

    # Act on what has reached the engine; whether there was anything to do.
    def look(self) -> bool: ...

    # Take note of replies that rubbish follows.
    def overhears(self, data: bytes) -> None: ...


class Node:
    """A process with an engine. ``label`` names it and its incarnation in the story, ``seeded_label`` in its lots."""

    def __init__(self, world: World, program: Application, engine: Engine, label: str, seeded_label: str) -> None:
        self.world = world
        self.program = program
        self.engine = engine
        self.label = label
        self.seeded_label = seeded_label
        self.alive = True
        self.paused = False
        self.isolated_until = 0.0  # dials are not answered until then
        self.wires: dict[Link, Wire] = {}
        self.told_at = 0.0  # when the server has written what came last
        self.dials = 0
        self.writes = 0
        self._lots = world.lots(f"driver of {seeded_label}")
        self._connecting: set[int] = set()  # wires whose dial is not answered
        self._asked: dict[int, int] = {}  # by the numbers of wires: the question for credentials that is not answered
        self._questions = 0
        self._left: dict[Link, None] = {}  # more is to be moved, also if they do not change
        self._unheard: list[tuple[Wire, Exception | None]] = []  # connections that were lost during a pause
        self._armed: float | None = None
        self._pumping = False
        self._again = False
        engine.on_wakeup = self._wake
        world.nodes.append(self)

    def is_dead(self) -> bool:
        """Whether the process has ended, perhaps by a call a moment ago."""
        return not self.alive

    # -- what the network tells ---------------------------------------------------------------------------------------

    def receive(self, wire: Wire, data: bytes) -> None:
        """Bytes have come."""
        self.world.saw(data)
        self.told_at = wire.down.left_at
        if data.endswith(RUBBISH):
            self.program.overhears(data)
        wire.link.receive_data(data, self.world.now)
        self.pump()

    def lost(self, wire: Wire, error: Exception | None) -> None:
        """A connection has ended, or could not be made."""
        wire.node = None
        if self.paused:
            self._unheard.append((wire, error))
        elif self.wires.pop(wire.link, None) is not None and self.alive:
            wire.link.connection_lost(error, self.world.now)
            self.pump()

    # -- what the engine wants ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._pumping:
            self._again = True
        elif self.alive and not self.paused:
            self._again = True
            self.world.after(0.0, self.pump)

    def pump(self) -> None:
        """Move the outputs of the engine and its program, until nothing moves any more."""
        if self._pumping or not self.alive or self.paused:
            return
        self._pumping = True
        engine, program = self.engine, self.program
        now = self.world.now
        due: float | None = None
        fruitless = False  # the last look has woken the engine, and nothing else
        for _ in range(MANY):
            self._again = False
            moved = self._move()
            due = engine.next_timeout()
            if due is not None and due <= now:
                engine.handle_timeout(now)
                moved = True
            elif not moved and self._lots.random() < 0.02:
                engine.handle_timeout(now)  # too early, which does no harm
            if self.is_dead() or (fruitless and not moved):
                break
            did = program.look()
            if self.is_dead() or not (did or moved or self._again):
                break
            fruitless = not (did or moved)
        else:
            links = ", ".join(f"{link.name} is {link.state.name}" for link in engine.links())
            wants = f"wants something more for ever, and no time passes (a timer at {due}; {links})"
            self.world.violated("NoBusyLoop", f"{self.label} {wants}")
        self._pumping = False
        if not self.is_dead():
            self._arm(due)

    def _move(self) -> bool:
        moved = False
        left, self._left = self._left, {}
        for link in dict.fromkeys((*left, *self.engine.changed_links())):
            wire = self.wires.get(link)
            if not link.wants_connection:
                if wire is not None:
                    del self.wires[link]
                    wire.hang_up()
                    link.connection_lost(None, self.world.now)
                    moved = True
            elif wire is None:
                self._dial(link)
                moved = True
            elif wire.number not in self._connecting:
                if self.world.issuer is not None:
                    self._ask(wire, self.world.issuer)
                data = link.data_to_send()
                if data:
                    moved |= self._write(wire, bytes(data))
                if wire.down.held and link.wants_data:
                    moved |= wire.down.release()
        return moved

    def _write(self, wire: Wire, data: bytes) -> bool:
        """Write as much as the socket takes."""
        taken = wire.up.takes(len(data))
        if taken:
            wire.link.data_sent(taken)
            self.writes += 1
            wire.up.send(data[:taken])
        if wire.link.data_to_send():
            self._left[wire.link] = None
        if taken < len(data) and wire.up.clogged_until > self.world.now:
            self.world.at(wire.up.clogged_until, self.pump)
        return taken > 0

    def _ask(self, wire: Wire, issuer: Issuer) -> None:
        """Ask the application for credentials, or give the question up, as the link wants."""
        number, link = wire.number, wire.link
        if not link.wants_credentials:
            self._asked.pop(number, None)
        elif number not in self._asked:
            self._questions += 1
            question = self._asked[number] = self._questions
            seconds, answer = issuer.ask()

            def tell() -> None:
                if wire.node is not self or not self.alive or self._asked.get(number) != question:
                    return
                if self.paused:
                    self.world.after(0.05, tell)
                    return
                del self._asked[number]
                if isinstance(answer, Exception):
                    link.credentials_failed(answer, self.world.now)
                else:
                    link.authenticate(answer, self.world.now)
                self.pump()

            self.world.after(seconds, tell)

    def _dial(self, link: Link) -> None:
        self.dials += 1
        world = self.world
        wire = Wire(world, self, link, world.hosts.get(str(link.address), world.nowhere), self.dials)
        self.wires[link] = wire
        world.on_dial(wire)
        self._connecting.add(wire.number)
        world.after(wire.down.delay(), lambda: self._answered(wire))

    def _answered(self, wire: Wire) -> None:
        if wire.node is not self or not self.alive:
            return
        if self.paused:
            self.world.after(0.05, lambda: self._answered(wire))
            return
        self._connecting.discard(wire.number)
        if wire.up.deaf or self.world.now < self.isolated_until:
            self._connecting.add(wire.number)  # for as long as the link has patience
        elif wire.host.accept(wire):
            wire.link.connection_made(self.world.now)
            self.pump()
        else:
            self.lost(wire, ConnectionRefusedError("nobody listens"))

    # -- time ---------------------------------------------------------------------------------------------------------

    def _arm(self, due: float | None) -> None:
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self.world.at(due, self._elapse)

    def _elapse(self) -> None:
        if self._armed is not None and self._armed > self.world.now:
            return  # an earlier one was armed instead of this, and has come
        self._armed = None
        if self.alive and not self.paused:
            due = self.engine.next_timeout()
            if due is not None and due <= self.world.now:
                self.pump()
            else:
                self._arm(due)

    # -- what becomes of the process ----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stand still; the world goes on."""
        self.paused = True

    def resume(self) -> None:
        """Go on, and find out about losses meanwhile."""
        if self.alive and self.paused:
            self.paused = False
            self._left |= dict.fromkeys(self.engine.links())
            unheard, self._unheard = self._unheard, []
            for wire, error in unheard:
                self.lost(wire, error)
            for wire in list(self.wires.values()):
                wire.down.release()
            self.pump()

    def kill(self, *, silently: bool = False) -> None:
        """The process ends. ``silently``: with its machine, so that the server does not notice."""
        self.alive = False
        self.world.nodes.remove(self)
        for wire in list(self.wires.values()):
            if silently:
                wire.node = None
                wire.up.clear()
                wire.up.deaf = wire.down.deaf = True
            else:
                wire.hang_up()
        self.wires.clear()


def _nothing(_: Wire) -> None:
    """Do nothing: there is no listener."""
