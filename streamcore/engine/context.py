"""The context of the parts of an engine that have links of their own: all that they may ask of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from ..connection.common import Clock
from ..connection.link import Link, Owner
from ..events import Event
from ..options import Options
from .lane import Lane, LaneOwner
from .router import ANYWHERE, Route
from .timers import DerivedTimer, Timer


class EngineContext(Protocol):
    """Makes links, reports events, wakes the driver, ends the engine, and knows the time, its options and chance."""

    on_wakeup: Callable[[], None]

    @property
    def options(self) -> Options: ...

    @property
    def closed(self) -> bool: ...

    @property
    def label(self) -> str: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def event_numbers(self) -> Iterator[int]: ...

    def random(self) -> float:
        """Draw a number between 0 and 1, from the driver's ``random``."""
        ...

    def new_timer(self, act: Callable[[float], None]) -> Timer:
        """Make a timer that is off until it is set; ``act`` is called with the time, in seconds."""
        ...

    def new_derived_timer(self, derive: Callable[[], float], act: Callable[[float], None]) -> DerivedTimer:
        """Make a timer whose deadline, in seconds, is what ``derive`` returns; ``act`` is called with the time."""
        ...

    def new_link(self, owner: Owner, name: str = "main", route: Route = ANYWHERE) -> Link:
        """Make a link that belongs to ``owner``, to a server that ``route`` leads to."""
        ...

    def new_lane(self, owner: LaneOwner, name: str = "main", route: Route = ANYWHERE, *, shared: bool = False) -> Lane:
        """Make the lane of a script to a server that ``route`` leads to."""
        ...

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Give a link another route, and redirect it where that leads to another server; its connection is lost by ``reason``."""
        ...

    def report(self, event: Event) -> None:
        """Append an event to the queue of the engine, and call ``on_event`` with it."""
        ...

    def check_block(self, block: float) -> None:
        """Raise ``InvalidArgument`` for a ``block`` in seconds that is longer than the keep-alive."""
        ...

    def fail(self, error: Exception) -> None:
        """End the engine by ``error``."""
        ...
