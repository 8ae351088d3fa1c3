"""The life of a member of a group: whether it reads, hands over only what it has, or gives that back.

::

    READING ───────────────────── leave ──> LEAVING
    HISTORY ──┬────────────────── leave ──>    │
           recovered                         drain
              v                                v
    THROUGH ───────────────────── leave ──> LEAVING_AT_END
    DRAINING ──────────────────── leave ──>

``drain`` leads from READING, HISTORY and THROUGH to DRAINING. HISTORY hands over what an earlier run has left, and nothing
else (``history_only``). THROUGH, DRAINING and LEAVING_AT_END have an end: when everything that is here is handed over.
"""

from __future__ import annotations

from enum import Enum, auto


class Stage(Enum):
    """A stage of that life."""

    READING = auto()
    HISTORY = auto()
    THROUGH = auto()
    DRAINING = auto()
    LEAVING = auto()
    LEAVING_AT_END = auto()


class Phase:
    """The stage that a member is in, and what follows from it."""

    def __init__(self, *, history_only: bool) -> None:
        self.stage = Stage.HISTORY if history_only else Stage.READING

    def recovered(self) -> None:
        """Note that everything an earlier run has left is fetched, or waits to be."""
        if self.stage is Stage.HISTORY:
            self.stage = Stage.THROUGH

    def drain(self) -> None:
        """Read no more, and hand over what is here."""
        self.stage = Stage.LEAVING_AT_END if self.is_leaving else Stage.DRAINING

    def leave(self) -> None:
        """Read no more, hand over nothing."""
        if not self.is_leaving:
            self.stage = Stage.LEAVING_AT_END if self.ends else Stage.LEAVING

    @property
    def stops(self) -> bool:
        """Whether nothing is read any more, but for what an earlier run has left."""
        return self.stage is not Stage.READING

    @property
    def is_leaving(self) -> bool:
        """Whether the application has left."""
        return self.stage in {Stage.LEAVING, Stage.LEAVING_AT_END}

    @property
    def takes_nothing(self) -> bool:
        """Whether what is found now is given back: the member drains, or leaves."""
        return self.is_leaving or self.stage is Stage.DRAINING

    @property
    def ends(self) -> bool:
        """Whether nothing is handed over any more once what is here has been."""
        return self.stage in {Stage.THROUGH, Stage.DRAINING, Stage.LEAVING_AT_END}
