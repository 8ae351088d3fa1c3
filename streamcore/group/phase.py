"""The life of a member of a group: whether it reads, hands over only the entries that it has, or gives them back.

::

    READING ───────────────────── leave ──> LEAVING
    HISTORY ──┬────────────────── leave ──>    │
           recovered                         drain
              v                                v
    THROUGH ───────────────────── leave ──> LEAVING_AT_END
    DRAINING ──────────────────── leave ──>

``drain`` leads from READING, HISTORY and THROUGH to DRAINING. HISTORY hands over the backlog of an earlier run, and nothing
else (``history_only``). THROUGH, DRAINING and LEAVING_AT_END have an end: when every entry that is here is handed over.
"""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """A stage of a member's life, as a row of a table.

    ``stops``: nothing is read any more, but for the backlog of an earlier run. ``takes_nothing``: entries that come now are
    given back. ``is_leaving``: the application has left. ``ends``: nothing is handed over after the entries that are here.
    """

    READING = (False, False, False, False)
    HISTORY = (True, False, False, False)
    THROUGH = (True, False, False, True)
    DRAINING = (True, True, False, True)
    LEAVING = (True, True, True, False)
    LEAVING_AT_END = (True, True, True, True)

    def __init__(self, *row: bool) -> None:
        self.stops, self.takes_nothing, self.is_leaving, self.ends = row


class Phase:
    """The stage that a member is in, shared by its parts."""

    def __init__(self, *, history_only: bool) -> None:
        self.stage = Stage.HISTORY if history_only else Stage.READING

    def recovered(self) -> None:
        """Note that every entry of an earlier run is fetched, or waits in the redelivery queue."""
        if self.stage is Stage.HISTORY:
            self.stage = Stage.THROUGH

    def drain(self) -> None:
        """Read no more, and hand over the entries that are here."""
        self.stage = Stage.LEAVING_AT_END if self.stage.is_leaving else Stage.DRAINING

    def leave(self) -> None:
        """Read no more, hand over no more entries."""
        if not self.stage.is_leaving:
            self.stage = Stage.LEAVING_AT_END if self.stage.ends else Stage.LEAVING
