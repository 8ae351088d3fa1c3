"""The tasks that wait for an engine on an event loop: each has a future, and says which changes are worth a look."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Any


class Waiters(dict["Future[bool]", Callable[[], bool]]):
    """The futures of waiting tasks. A future leaves when it is woken; a task that waits no longer takes its own out."""

    def wake(self) -> None:
        """Wake the tasks to which the last change of the engine is worth a look."""
        if not self:
            return
        for future in [future for future, worth in self.items() if worth()]:
            del self[future]
            resolve(future, True)


def resolve(future: Future[Any], value: Any) -> None:
    """Give a future its value, unless its task was cancelled."""
    if not future.done():
        future.set_result(value)
