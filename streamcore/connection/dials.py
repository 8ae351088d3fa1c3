"""How many links are dialled at a time.

A consumer may want a thousand links at once, at its beginning or when a server has come back. Servers accept a few connections
in each round of their loop, and what waits beside that has a bound as well: the system drops the rest, and each of these dials
comes a second later, or is late. So an engine dials and greets with ``MOST`` links at a time, and the others wait, in the order in
which they asked. Addresses do not wait for each other: a server that is silent keeps no link from another server.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

MOST: Final = 64
"""Links to an address that are dialled, or greeted, at a time: fewer than fit into the backlog of a server, which is 128 to 511, and
many enough where it is far, since each turn is two round trips."""


class Dialled(Protocol):
    """A link that asks for its turn to be dialled."""

    @property
    def is_dialling(self) -> bool:
        """Whether it dials, or greets."""
        ...

    def dial(self) -> None:
        """Dial: it is the link's turn; once more does nothing."""
        ...


class Queue:
    """The links to an address that are dialled, and those that wait for it."""

    def __init__(self) -> None:
        self.under_way: dict[Dialled, None] = {}
        self.waiting: dict[Dialled, None] = {}


class Dials:
    """Gives links their turns to be dialled: ``MOST`` to each address at a time.

    A signal handler may raise between two changes. So a link is in both places rather than in none, and a turn that was not given
    back counts only while its link dials.
    """

    def __init__(self) -> None:
        self._to: dict[Hashable, Queue] = {}
        self._of: dict[Dialled, Hashable] = {}  # the addresses that were asked for

    def ask(self, link: Dialled, address: Hashable) -> None:
        """Have a link dialled, at once or in its turn."""
        self._of[link] = address
        queue = self._to.setdefault(address, Queue())
        queue.waiting[link] = None
        self._go_on(queue)

    def end(self, link: Dialled) -> None:
        """Give back the turn of a link, or its place among those that wait."""
        address = self._of.pop(link, None)
        queue = self._to.get(address)
        if queue is None:
            return
        queue.waiting.pop(link, None)
        queue.under_way.pop(link, None)
        self._go_on(queue)
        if not (queue.under_way or queue.waiting):
            self._to.pop(address, None)

    def _go_on(self, queue: Queue) -> None:
        if len(queue.under_way) >= MOST:
            for link in [link for link in queue.under_way if not link.is_dialling]:
                del queue.under_way[link]
        while queue.waiting and len(queue.under_way) < MOST:
            link = next(iter(queue.waiting))
            queue.under_way[link] = None
            link.dial()
            queue.waiting.pop(link, None)
