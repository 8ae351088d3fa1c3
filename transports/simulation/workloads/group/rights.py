"""Commands that the user of the programs may not run, and whether programs tell which they do without.

Some are refused for a while (``server_faults.deny``), and in some worlds a command is refused for good, also where a script runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore import GroupConsumer
from streamcore.events import Connected, Degraded, Event, Reconnected

from ...faults.server import faults_of
from ...world.engine_state import has_entered
from ...world.invariants import EventsInOrder, Oracle

if TYPE_CHECKING:
    from ...context import Scene
    from ...world.driver import Node, World

LASTING: Final = ("HMGET",)
"""What every member of a group sends when it enters, and can do without: the lease on its name begins with it, in a script."""
SHARE: Final = 0.15
"""In how many worlds one of these is refused for good."""


def refuse_for_good(scene: Scene) -> None:
    """In some worlds, the user has no right to a command, and never gets it."""
    lots = scene.world.lots("rights of the user")
    if lots.random() < SHARE:
        scene.refused_for_good.add(lots.choice(LASTING))
        faults_of(scene).denied |= scene.refused_for_good


class DegradedTold(Oracle):
    """*Permissions*: a feature that is done without is told, once in the life of a connection, and not at each audit.

    The feature was refused: a server that is full refuses every script, and the next audit asks again.
    """

    def __init__(self, world: World, events: EventsInOrder, scene: Scene) -> None:
        super().__init__(world)
        self._events = events
        self._scene = scene

    def judge(self) -> None:
        for label, told in self._events.all_told():
            self._once(label, told)
        for node in self.world.nodes:
            self._at_all(node)

    def _once(self, label: str, told: list[Event]) -> None:
        known: set[Event] = set()
        for event in told:
            if _is_up(event):
                known.clear()
            elif isinstance(event, Degraded):
                if event in known:
                    self.violated(f"{label} has told {event} twice over one connection")
                known.add(event)

    def _at_all(self, node: Node) -> None:
        engine = node.engine
        if not isinstance(engine, GroupConsumer) or not has_entered(engine):
            return
        told = self._events.told(node.label.partition("/")[0])  # of an application's engines, one is a member
        since = max((at for at, event in enumerate(told) if _is_up(event)), default=0)
        missing = {event.missing for event in told[since:] if isinstance(event, Degraded)}
        sessions = [wire.session for link, wire in node.wires.items() if link.name == "main"]
        refused = faults_of(self._scene).refused
        for command in self._scene.refused_for_good:
            is_refused = any((session, command) in refused for session in sessions if session is not None)
            if is_refused and f"+{command.lower()}" not in missing:
                self.violated(f"{node.label} may not run {command}, and has not told what it does without")


def _is_up(event: Event) -> bool:
    return isinstance(event, (Connected, Reconnected)) and event.link == "main"
