"""The acking link: settlements leave over it, and entries are renewed, while a read blocks the reading link.

It exists from the first time on that this is so, beside the reading link; a member that is never idle never opens it.
"""

from __future__ import annotations

from typing import Any

from ..engine.router import Beside
from ..engine.script import WAIT, Script, ScriptRunner, Steps
from ..reading.reader import Reader
from .context import GroupContext
from .in_flight import InFlight
from .lineage import Lineage
from .renewal import Renewal
from .settling import Settling


class AckLoop:
    """Settles and renews on the acking link, once the reading link has proven what the member holds."""

    def __init__(
        self,
        reader: Reader[Any],
        context: GroupContext,
        in_flight: InFlight,
        lineage: Lineage,
        renewal: Renewal,
        settling: Settling,
    ) -> None:
        self._reader = reader
        self._context = context
        self._in_flight = in_flight
        self._lineage = lineage
        self._renewal = renewal
        self._settling = settling
        self._runner: ScriptRunner | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a command that has left over the acking link is unanswered."""
        return self._runner is not None and bool(self._runner.link.unanswered)

    def wake(self) -> None:
        """Go on where there is an acking link; open it, where a read blocks the reading link."""
        if self._runner is None and self._in_flight.blocked:
            beside = Beside(self._reader.runner.link)
            self._runner = ScriptRunner(self._reader, self.settle, "acks", beside, shared=True)
            self._runner.link.open()
        if self._runner is not None:
            self._runner.wake()

    def settle(self) -> Script:
        """Return the script of the acking link."""
        assert self._runner is not None
        lineage = self._lineage
        origin = yield from lineage.ask()
        while True:
            while not lineage.may_tell(origin):
                yield WAIT
            yield from self._renew()
            yield from self._settling.send()
            self._runner.link.succeeded()

    def _renew(self) -> Steps[None]:
        """Renew what is in hand while the reading link cannot do it: its read waits in the server."""
        while self._context.now >= self._renewal.at and self._in_flight.blocked:
            yield from self._renewal.run()
            if self._settling.at_once:
                yield from self._settling.send()
