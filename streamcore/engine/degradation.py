"""What an engine does without because its user may not do it, told by ``Degraded`` once in the life of a connection.

Everything that an engine does beside what it was asked for can be done without, and comes back with the right to it: what was refused
is tried again on the next connection. What it cannot do without, such as ``XREADGROUP``, is an error that ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from ..errors import NoPermissionError, ReplyError
from ..events import Degraded, Event
from ..rights import missing_in, spoken

Arguments: TypeAlias = Sequence[Any]

CLOSING_FORMER: Final = "closing former connections"
COMPARING: Final = "comparing entries after a reconnect"
DELAYS: Final = "delays of retries"
DELETIONS: Final = "telling deleted entries"
ENDING_READS: Final = "ending blocked reads"
GAPS: Final = "gap detection"
GIVING_BACK: Final = "giving back on leaving"
GUARD: Final = "guarding the name"
KEY_EVENTS: Final = "checking notify-keyspace-events"
LETTERS: Final = "dead letters"
MARKING: Final = "marking what is published again"
REMOVING: Final = "removing consumers"
UNSUBSCRIBING: Final = "ending subscriptions on the server"
ASKING_WINDOW: Final = "asking for the window of idempotence"


class Degradation:
    """Knows what was told since ``begin``."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._told: set[Degraded] = set()

    def begin(self) -> None:
        """A new connection is up: what was refused may be granted by now."""
        self._told.clear()

    def tell(self, what: str, missing: str) -> None:
        """Tell that ``what`` is done without, for the lack of ``missing``; again does nothing."""
        event = Degraded(what, missing)
        if event not in self._told:
            self._told.add(event)
            self._emit(event)

    def is_without(self, what: str) -> bool:
        """Whether ``what`` is known to be done without."""
        return any(event.what == what for event in self._told)

    def refused(self, what: str, command: Arguments, error: ReplyError) -> None:
        """Tell that ``what`` is done without, because the server has refused a command."""
        self.tell(what, missing_for(error, command))

    def is_forbidden(self, what: str, command: Arguments, reply: Any) -> bool:
        """Whether the user has no right to a command; tells that ``what`` is done without."""
        if not isinstance(reply, NoPermissionError):
            return False
        self.refused(what, command, reply)
        return True


def missing_for(error: ReplyError, command: Arguments) -> str:
    """The command, key or right without which the server has refused a command."""
    return missing_in(error.message, command) if isinstance(error, NoPermissionError) else spoken(command)
