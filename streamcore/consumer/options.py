"""The keywords of a consumer, and the interruptions of its iteration."""

from __future__ import annotations

from enum import Enum, auto

from ..reading.reader import ReaderOptions
from .cursor import FollowOptions


class Interruption(Enum):
    """The reason why an iteration stops without a batch."""

    IDLE = auto()
    """A read came back empty."""
    ENDED = auto()
    """A read came back empty, with ``stop_on_idle``: the iteration is over."""


class ConsumerOptions(ReaderOptions, FollowOptions, total=False):
    """Keywords of ``Consumer``, explained there."""
