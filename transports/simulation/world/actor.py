"""A program with an engine: the actor of the simulation, from process to process.

A ``Program`` is a role that outlives its processes. Each process is a ``Node`` with an engine that ``begin`` has made, and dies
with everything that the program remembers in ``forget``. ``look`` is the program's only way to act of itself, called after
each input of its engine: it takes, settles, submits, and tells whether it did something. Slow work is a happening of the
world's heap (``later``), which is forgotten with the process that has begun it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from streamcore import Address, Options
from streamcore.cluster.cluster import Cluster

from .driver import Node, World

if TYPE_CHECKING:
    from streamcore import Engine
    from streamcore.engine.engine import EngineOptions

ADDRESS: Final = Address("server", 6379)
OPTIONS: Final = Options(
    request_timeout=0.5,
    connect_timeout=0.5,
    backoff_initial=0.01,
    backoff_max=0.5,
    keepalive_idle=1.0,
    keepalive_answer=0.5,
)
"""A tenth of the defaults: what takes a minute in life takes six seconds here."""

REFRESH: Final = 1.5
"""Seconds between two questions for the topology of a cluster for no reason."""

LINKS_PER_NODE: Final = (0, 1, 2, 32)
"""How many members of a process may have a link of their own to a node."""

RECOVERY: Final = OPTIONS.keepalive_idle + OPTIONS.keepalive_answer + OPTIONS.backoff_max
"""Seconds within which a link is up again, once nothing hinders it."""


class Program:
    """A role. ``node`` is None between two processes.

    ``seeded_as``: the name under which it draws its lots and writes its keys, if that is not ``name``: it is part of a seed's meaning.
    """

    def __init__(self, world: World, name: str, seeded_as: str = "") -> None:
        self.world = world
        self.name = name
        self.seeded_as = seeded_as or name
        self.node: Node | None = None
        self.incarnation = 0
        self.draw: Random = world.lots(self.seeded_as)
        self.retires = False  # its process is the last one
        self.cluster: Cluster | None = None  # as the present process knows it
        self._comes_back = False

    # -- to be written ------------------------------------------------------------------------------------------------

    def begin(self) -> Engine:
        """A new process: its engine. The memory of an earlier process is forgotten already."""
        raise NotImplementedError

    def look(self) -> bool:
        """Act on a change; whether there was anything to do. Never wait."""
        raise NotImplementedError

    def forget(self) -> None:
        """The process has ended, and its memory is gone."""

    def cancel(self, lot: float) -> str | None:
        """Cancel the program's wait (a timeout, Ctrl-C); its name, None if it does not wait."""

    def leave(self, lot: float) -> bool:
        """End the process in order, if it can; it says ``ended`` when that is done. False: it cannot now."""
        if self.node is None or self.node.paused:
            return False
        self.engine.close()
        self.ended(1.0)
        return True

    def overhears(self, data: bytes) -> None:
        """These replies have come, and something that is none behind them."""

    def paused(self) -> None:
        """The process is about to stand still for a while."""

    def heal(self) -> None:
        """No more faults: from now on handlers are quick, and nothing is refused."""

    def missing(self) -> str:
        """The work that is still to be done before the world may end; an empty text if there is none."""
        return ""

    # -- a life -------------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Any:
        """The engine of the present process, with the type that ``begin`` has given it."""
        assert self.node is not None
        return self.node.engine

    def engine_options(self) -> EngineOptions:
        """The keywords of an engine that needs no name."""
        lots = self.world.lots(f"engine of {self.seeded_label}")
        engine: EngineOptions = {"address": ADDRESS, "options": OPTIONS, "random": lots.random}
        if self.world.seeds:
            links = self.draw.choice(LINKS_PER_NODE)
            self.cluster = Cluster(self.world.seeds, refresh_interval=REFRESH, max_links_per_node=links)
            engine["router"] = self.cluster.router
        return engine

    def named_engine_options(self) -> EngineOptions:
        """The options of an engine that has a name of its own.

        In a quarter of the worlds all such programs seed their generators alike, and draw the same jitter.
        """
        own = self.world.lots(f"engine of {self.seeded_label}")
        jitter = self.world.lots("jitter of all") if self.world.alike else own
        return {**self.engine_options(), "random": jitter.random, "entropy": own.randbytes}

    @property
    def label(self) -> str:
        """Who it is, in the story."""
        return f"{self.name}.{self.incarnation}"

    @property
    def seeded_label(self) -> str:
        """The label under which the present process draws its lots and writes its keys."""
        return f"{self.seeded_as}.{self.incarnation}"

    def start(self) -> None:
        """A process begins."""
        self._comes_back = False
        if self.node is None and not self.retires:
            self.incarnation += 1
            self.draw = self.world.lots(f"{self.seeded_as} {self.incarnation}")
            self.node = Node(self.world, self, self.begin(), self.label, self.seeded_label)
            self.world.tell(self.label, "starts")
            self.node.pump()

    def come_back(self, seconds: float) -> None:
        """Start again, then."""
        if not (self._comes_back or self.retires):
            self._comes_back = True
            self.world.after(seconds, self.start)

    def crash(self, *, silently: bool, away: float) -> None:
        """The process dies, and another takes its place after so many seconds."""
        node, self.node = self.node, None
        if node is not None:
            self.world.tell(self.label, "dies" + (", and its machine with it" if silently else ""))
            self.ends(node)
            node.kill(silently=silently)
            self.forget()
            self.come_back(away)

    def ended(self, away: float) -> None:
        """The process has ended by itself."""
        node, self.node = self.node, None
        if node is not None:
            self.world.tell(self.label, "has ended")
            self.ends(node)
            node.kill()
            self.forget()
            self.come_back(away)

    def ends(self, node: Node) -> None:
        """The last chance to look at an engine whose process ends."""

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Call a function in so many seconds, unless the process has ended by then; a paused process does so afterwards."""
        node = self.node

        def act() -> None:
            if node is not None and node.alive:
                if node.paused:
                    self.world.after(0.02, act)
                else:
                    action()  # what that tells the engine, it has to notice by itself: ``on_wakeup``
                    if not node.is_dead() and self.look():
                        node.pump()

        self.world.after(seconds, act)
