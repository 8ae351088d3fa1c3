"""The keywords of a consumer, and the interruptions of its iteration."""

from __future__ import annotations

from enum import Enum, auto

from ..reading.reader import ReaderOptions
from .cursor import FollowOptions


class Interruption(Enum):
    """The reason why an iteration stops for something else than entries."""

    IDLE = auto()
    """A read came back empty."""
    ENDED = auto()
    """The same, with ``stop_on_idle``."""


class ConsumerOptions(ReaderOptions, FollowOptions, total=False):
    """Keywords of ``Consumer``, explained there."""
