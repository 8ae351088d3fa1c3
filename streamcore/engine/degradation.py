"""Optional work that an engine leaves out for want of a right, told by ``Degraded`` once in the life of a connection.

Everything that an engine does beside its task can be left out, and comes back with the right to it: a refused command
is tried again on the next connection. A refusal of a necessary command, such as ``XREADGROUP``, is an error that ends
the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from ..errors import NoPermissionError, ReplyError
from ..events import Degraded, Event
from ..rights import missing_in, spoken

Arguments: TypeAlias = Sequence[Any]

CLOSING_FORMER: Final = "closing former connections"
CUT_OFF: Final = "finding nodes that are cut off"
COMPARING: Final = "comparing entries after a reconnect"
DELAYS: Final = "delays of retries"
DELETIONS: Final = "telling deleted entries"
ENDING_READS: Final = "ending blocked reads"
GAPS: Final = "gap detection"
GIVING_BACK: Final = "giving back on leaving"
GUARD: Final = "guarding the name"
KEY_EVENTS: Final = "checking notify-keyspace-events"
HEARING: Final = "hearing of switches at once"
LETTERS: Final = "dead letters"
MARKING: Final = "marking what is published again"
REMOVING: Final = "removing consumers"
UNSUBSCRIBING: Final = "ending subscriptions on the server"
ASKING_WINDOW: Final = "asking for the window of idempotence"


class Degradation:
    """The ``Degraded`` events emitted since ``begin``, each of them once."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._told: set[Degraded] = set()

    def begin(self) -> None:
        """Clear the record on a new connection: a refused command may be granted by now."""
        self._told.clear()

    def tell(self, work: str, missing: str) -> None:
        """Emit ``Degraded(work, missing)``, unless it was emitted on this connection."""
        event = Degraded(work, missing)
        if event not in self._told:
            self._told.add(event)
            self._emit(event)

    def is_without(self, work: str) -> bool:
        """Tell whether the work named ``work`` is left out on this connection."""
        return any(event.what == work for event in self._told)

    def refused(self, work: str, command: Arguments, error: ReplyError) -> None:
        """Emit ``Degraded`` for the work named ``work``, because the server has refused ``command``."""
        self.tell(work, missing_for(error, command))

    def is_forbidden(self, work: str, command: Arguments, reply: Any) -> bool:
        """Tell whether the reply is a ``NoPermissionError``; if so, emit ``Degraded`` for the work named ``work``."""
        if not isinstance(reply, NoPermissionError):
            return False
        self.refused(work, command, reply)
        return True


def missing_for(error: ReplyError, command: Arguments) -> str:
    """Return the command, key or right without which the server has refused ``command``."""
    return missing_in(error.message, command) if isinstance(error, NoPermissionError) else spoken(command)
