"""Reads that wait for entries on a shared link: all of them are asked again and again, in a single write, until they find some.

The next round leaves at once after a round that has found something, else after a pause that doubles; a round that takes long
makes the pause as long, so that half of the time at most goes into asking in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link
from ..engine.lane import WaitingRead
from ..engine.router import RouterContext

SHORTEST: Final = 0.002
LONGEST: Final = 0.05
"""Seconds between two rounds that find nothing."""


class Round(Exchange):
    """The reads of a round, in their order."""

    __slots__ = ("began", "reads")

    def __init__(self, reads: list[WaitingRead], began: float) -> None:
        timeout = max([read.timeout for read in reads])
        super().__init__([read.commands[0] for read in reads], timeout, b"".join([read.data for read in reads]))
        self.reads = reads
        self.began = began


class WaitingReads:
    """The reads that wait on a link, each ``until`` a time. ``answer`` is called with a read that has found something, or waits no more."""

    def __init__(self, context: RouterContext, link: Link, answer: Callable[[WaitingRead], None]) -> None:
        self.until: dict[WaitingRead, float] = {}
        self._clock = context.clock
        self._link = link
        self._answer = answer
        self._timer = context.new_timer(self._ask)
        self._asked: Round | None = None
        self._pause = SHORTEST

    def add(self, read: WaitingRead) -> None:
        """Ask a read again and again; first at once."""
        self.until[read] = self._clock.now + read.wait
        if self._asked is None:
            self._timer.set(AT_ONCE)

    def end(self, read: WaitingRead, *, is_next: bool) -> None:
        """End a read with what it has found: nothing, or what the present round brings.

        Unless it ``is_next``, replies to its script are due before: then it ends with the next round, behind these.
        """
        if self.is_asked(read):
            self.until[read] = -inf
        elif not is_next:
            self.until[read] = -inf
            if self._asked is None:
                self._timer.set(AT_ONCE)
        else:
            del self.until[read]
            read.replies = [None]
            self._answer(read)

    def is_asked(self, read: WaitingRead) -> bool:
        """Whether the present round asks a read: it may bring entries."""
        return self._asked is not None and read in self._asked.reads

    def forget(self, read: WaitingRead) -> None:
        """Drop a read, whose script has ended."""
        self.until.pop(read, None)

    def clear(self) -> None:
        """Forget all reads: the connection is lost."""
        self.until.clear()
        self._asked, self._pause = None, SHORTEST
        self._timer.set(inf)

    def answered(self, asked: Round) -> None:
        """Take the replies of a round, and plan the next."""
        now = self._clock.now
        found = sum([reply is not None for reply in asked.replies])
        self._asked = None
        self._pause = SHORTEST if found else min(2 * self._pause, LONGEST)
        for read, reply in zip(asked.reads, asked.replies, strict=True):
            until = self.until.get(read)
            if until is not None and (reply is not None or until <= now):
                del self.until[read]
                read.replies, read.nbytes = [reply], asked.nbytes // max(found, 1)
                self._answer(read)
        if self.until:
            self._timer.set(now + (0.0 if found else max(self._pause, now - asked.began)))

    def _ask(self, now: float) -> None:
        self._timer.set(inf)
        if self.until:
            self._asked = Round(list(self.until), now)
            self._link.send(self._asked)
