"""The states in the life of a link."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """The states of a link; the diagram in ``link`` has the transitions."""

    RESTING = auto()
    QUEUED = auto()
    DIALLING = auto()
    GREETING = auto()
    UP = auto()
    DROPPING = auto()
    BACKING_OFF = auto()


ENTERING: Final = frozenset({State.QUEUED, State.DIALLING, State.GREETING})
"""The states of a link that waits for its turn to be dialled, or has it."""

WANTING: Final = frozenset({State.DIALLING, State.GREETING, State.UP})
"""The states in which a link wants a connection."""
