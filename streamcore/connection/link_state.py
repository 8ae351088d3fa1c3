"""The states in the life of a link."""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """The states of a link; the diagram in ``link`` has the transitions."""

    RESTING = auto()
    DIALLING = auto()
    GREETING = auto()
    UP = auto()
    DROPPING = auto()
    BACKING_OFF = auto()
