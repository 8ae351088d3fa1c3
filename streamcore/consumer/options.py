"""The keywords of a consumer, and why its iteration may have something else to tell than entries."""

from __future__ import annotations

from enum import Enum, auto

from ..reading.reader import ReaderOptions
from .cursor import FollowOptions


class Interruption(Enum):
    """Why an iteration may have something else to tell than entries."""

    IDLE = auto()
    """A read came back empty."""
    ENDED = auto()
    """The same, with ``stop_on_idle``."""


class ConsumerOptions(ReaderOptions, FollowOptions, total=False):
    """Keywords of ``Consumer``, explained there."""
