"""Invariants of every program: oracles that know engines, drivers and time, and nothing of entries.

An oracle is a class whose docstring begins with the row of ``docs/contract.md`` that it stands for. ``look`` is called every
``TICK`` of virtual time, ``judge`` at the end, when the world has healed; programs tell oracles that want more. A fault
is told by ``violated``, which ends the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from streamcore.events import (
    ConnectAttemptFailed,
    Connected,
    Disconnected,
    Event,
    EventsDropped,
    Reconnected,
)

from .actor import OPTIONS, RECOVERY
from .engine_state import arrivals, departures

if TYPE_CHECKING:
    from streamcore import Engine, Link

    from .driver import Node, World

TICK: Final = 0.25
"""Seconds between two looks."""


class Oracle:
    """A promise. ``name`` is that of its class."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__

    def __init__(self, world: World) -> None:
        self.world = world

    def violated(self, message: str) -> None:
        """The promise is broken."""
        self.world.violated(self.name, message)

    def look(self) -> None:
        """Some time has passed."""

    def judge(self) -> None:
        """The world has healed, and everything should be done."""

    def left(self) -> str:
        """The work that is still to come, once all is well, before the world may end; an empty text if there is none."""
        return ""


class NoCrash(Oracle):
    """*All interfaces*: with any bytes from the network, an engine goes on; it ends with an error of ours that says why.

    Told by a program that gets an error out of an engine, and by the world for an error that an engine raises into its driver.
    """


class NoHotLoop(Oracle):
    """*All interfaces*: while a server fails, a program asks for a connection, and sends commands, now and then only."""

    DIALS: Final = 60  # in a second: full jitter over a first back-off of 10 ms, and up to four links
    OF_LINK: Final = 12  # where there are more
    WRITES: Final = 1500

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._before: dict[str, tuple[float, int, int]] = {}

    def look(self) -> None:
        now = self.world.now
        for node in self.world.nodes:
            since, dials, writes = self._before.get(node.label, (now, 0, 0))
            if now - since >= 1.0 or node.label not in self._before:
                seconds = max(1.0, now - since)
                links = len(node.engine.links())
                for what, done, most in (
                    ("dials", node.dials - dials, max(self.DIALS, self.OF_LINK * links)),
                    ("writes", node.writes - writes, self.WRITES),
                ):
                    if done > most * seconds:
                        self.violated(
                            f"{node.label}: {done} {what} within {seconds:.2f} s, and {most} a second are plenty"
                        )
                self._before[node.label] = (now, node.dials, node.writes)


class Recovers(Oracle):
    """*All interfaces*: a dead link is found within the keep-alive, and is up again within the back-off's cap.

    A link that was opened a moment ago, such as a leased link, is not late yet: its time counts from when it
    was first seen to be down.
    """

    PATIENCE: Final = RECOVERY + 2 * OPTIONS.request_timeout + OPTIONS.connect_timeout

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._down: dict[Link, float] = {}  # since when

    def look(self) -> None:
        links = [link for node in self.world.nodes for link in node.engine.links()]
        self._down = {
            link: self._down.get(link, self.world.now) for link in links if link.wants_connection and not link.is_up
        }

    def judge(self) -> None:
        self.look()
        for node in self.world.nodes:
            for link in node.engine.links():
                since = max(self._down.get(link, self.world.now), self.world.healed_at)
                if self.world.now - since >= self.PATIENCE:
                    self.violated(f"{node.label}: link {link.name} is {link.state.name}, for {self.PATIENCE:g} s")


class EventsInOrder(Oracle):
    """*Every gap is an in-band event, in order with the data*: each event is told once by each way, in the same order.

    And a link's life is told as it is: up, down, attempts, up again.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._heard: dict[str, list[Event]] = {}
        self._places: dict[str, list[int]] = {}  # how many batches had come before each
        self._taken: dict[str, int] = {}
        self._taken_in_place: dict[str, int] = {}
        self._up: dict[tuple[str, str], bool] = {}

    def listen(self, label: str, engine: Engine) -> None:
        """Hear the events of a new engine, after its present listener."""
        heard: list[Event] = []
        self._heard[label] = heard
        places: list[int] = []
        self._places[label] = places
        former = engine.on_event

        def hear(event: Event) -> None:
            heard.append(event)
            places.append(arrivals(engine))
            self._check(label, event)
            former(event)

        engine.on_event = hear

    def _check(self, label: str, event: Event) -> None:
        if isinstance(event, (Connected, Reconnected, Disconnected, ConnectAttemptFailed)):
            key = (label, event.link)
            if event.link.startswith("lease"):
                return  # closed in silence when nobody leases it
            was_up, before = self._up.get(key), key in self._up
            match event:
                case Connected():
                    if was_up:
                        self.violated(f"{label}: link {event.link} is up twice")
                    self._up[key] = True
                case Reconnected():
                    if not before or was_up:
                        self.violated(f"{label}: link {event.link} is up again without having been lost")
                    self._up[key] = True
                case Disconnected():
                    if not was_up:
                        self.violated(f"{label}: link {event.link} is lost, and was not up")
                    self._up[key] = False
                case _:
                    if was_up:
                        self.violated(f"{label}: link {event.link} could not be brought up, and is up")

    def all_told(self) -> Iterable[tuple[str, list[Event]]]:
        """The events of each engine, by its label."""
        return self._heard.items()

    def told(self, label: str) -> list[Event]:
        """All that an engine has told so far."""
        return self._heard.get(label, [])

    def take_in_place(self, node: Node) -> None:
        """For programs that take events in their places, from the beginning: none comes before a batch that came before it."""
        engine: Any = node.engine
        heard, at = self._heard[node.label], self._taken_in_place.get(node.label, 0)
        while at < len(heard) and (event := engine.next_event_in_place()) is not None:
            if isinstance(event, EventsDropped):
                at += event.events
                continue
            place = self._places[node.label][at]
            if heard[at] is not event:
                self.violated(
                    f"{node.label}: next_event_in_place() gives {event}, and it is not the next that was told"
                )
            if departures(engine) < place:
                self.violated(f"{node.label}: {event} is told before a batch that came before it")
            at += 1
        self._taken_in_place[node.label] = at

    def take(self, node: Node) -> list[Event]:
        """For programs: the next events, as an application takes them."""
        engine, heard = node.engine, self._heard[node.label]
        at = self._taken.get(node.label, 0)
        if at == len(heard):
            return []
        taken: list[Event] = []
        while (event := engine.next_event()) is not None:
            if isinstance(event, EventsDropped):
                at += event.events
            elif at >= len(heard) or heard[at] is not event:
                self.violated(f"{node.label}: next_event() gives {event}, and it is not the next that was told")
            else:
                at += 1
            taken.append(event)
        self._taken[node.label] = at
        return taken
