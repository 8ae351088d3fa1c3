"""The base of engines that read streams: options, prefetched batches, pause and resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Generic, TypedDict, Unpack

from ..arguments import Seconds, encoding, listed, positive, seconds
from ..connection.exchange import Arguments
from ..connection.link import Link
from ..engine.degradation import Degradation
from ..engine.engine import Engine, EngineOptions
from ..engine.script import Replies, ScriptRunner, Steps, call
from ..errors import ReplyError, ReplyTooLarge
from ..events import CountReduced, Event
from .portions import Portion, Portions
from .prefetch import B, Prefetch


class ReaderOptions(TypedDict, total=False):
    """Keywords of every engine that reads streams."""

    count: int
    """At most so many entries of each stream in one read (100)."""
    block: Seconds | None
    """Seconds that a read waits in the server for entries (5). None, with ``stop_on_idle``: reads do not wait."""
    prefetch: int
    """At most so many reads ahead of the application (2; with ``ack="none"``, 1)."""
    prefetch_bytes: int
    """No more is read ahead of the application while so many bytes are (67,108,864)."""


class Reader(Engine, Generic[B]):
    """An engine that reads streams over one link, ``_reading``, ahead of the application.

    ``count`` entries per stream and read; ``block`` seconds of waiting in the server; ``prefetch`` batches or
    ``prefetch_bytes`` ahead of the application.
    """

    _reading: ScriptRunner
    _names: Collection[bytes] = ()

    def __init__(
        self,
        *,
        count: int = 100,
        block: Seconds | None = 5.0,
        prefetch: int = 2,
        prefetch_bytes: int = 64 << 20,
        decode: str | None = None,
        **engine: Unpack[EngineOptions],
    ) -> None:
        super().__init__(**engine)
        self.is_ready = False
        self.paused = False
        self.degradation = Degradation(self.emit)
        self.count = positive("count", count)
        self.polls = block is None  # reads never wait in the server
        self.block = 0.0 if block is None else seconds("block", block)
        self._check_block(self.block)
        self._encoding = encoding(decode)
        self._prefetch: Prefetch[B] = Prefetch(
            positive("prefetch", prefetch), positive("prefetch_bytes", prefetch_bytes)
        )
        self.portions = Portions(prefetch_bytes // 2)  # two reads may be in flight
        self.asked: deque[Portion] = deque()  # by the reads that are in flight
        self._splits = True  # a read may be about a part of the streams

    @property
    def title(self) -> str:
        """The label with the names of the streams."""
        return f"{self.label} of {listed(self._names)}" if self._names else self.label

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return bool(self._prefetch) and not self.paused

    def pause(self) -> None:
        """Hand over nothing, and read nothing more, until ``resume``."""
        self.paused = True

    def resume(self) -> None:
        """Go on after ``pause``."""
        self.paused = False
        self._reading.wake()
        self.on_wakeup()

    def take(self) -> B | None:
        """Take the next batch; None where nothing has arrived. Raises the error that ended the consumer."""
        batch = None if self.paused else self._prefetch.first
        if batch is None:
            self.check()
            self._reading.wake()
            return None
        try:
            self._prefetch.pop()
            self._hand_over(batch)
            self._reading.wake()
        except BaseException:  # a signal handler has raised: the batch was not returned
            if self._prefetch.first is not batch:
                self.put_back(batch)
            self._prefetch.recount()
            raise
        return batch

    def put_back(self, batch: B) -> None:
        """Put back the batch taken last, before all others."""
        self._prefetch.put_back(batch)
        self._take_back(batch)

    @property
    def now(self) -> float:
        """The time that the driver told last, in seconds."""
        return self._clock.now

    def random(self) -> float:
        """Draw a number between 0 and 1, from the driver's ``random``."""
        return self._random()

    def emit(self, event: Event) -> None:
        """Emit an event, for the parts of the engine."""
        self._emit(event)

    def ask(self, *commands: Arguments) -> Steps[Replies]:
        """Send commands as one exchange and return its replies, as a part of a script; a refusal names its command."""
        replies = yield from call(*commands, timeout=self.options.request_timeout)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                reply.command = command[0]
        return replies

    def report_up(self, link: Link, *, again: bool) -> None:
        super().report_up(link, again=again)
        if link is self._reading.link:
            self.degradation.begin()
            self._prefetch.recount()

    def _place(self) -> int:
        return self._prefetch.added

    def _reached(self) -> int:
        return self._prefetch.reached

    def _hand_over(self, batch: B) -> None:
        """Note that the application takes a batch."""

    def _take_back(self, batch: B) -> None:
        """Note that the application has put back the batch it took last."""

    def _goes_on_without(self, error: ReplyTooLarge) -> bool:
        """Tell whether the reader can leave out an entry that is too large by itself."""
        return False

    def _waiting(self) -> Arguments:
        """Return BLOCK with its milliseconds, at least 1: BLOCK 0 would be for ever."""
        return ("BLOCK", max(1, int(self.block * 1000)))

    def report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if isinstance(error, ReplyTooLarge) and link is self._reading.link:
            may_ask_less = bool(self.asked) and self.portions.too_much(self.asked[0]) and self._splits
            if self.count > 1 or may_ask_less:
                self.count = max(1, self.count // 2)
                self._emit(CountReduced(self.count))
            elif not self._goes_on_without(error):
                self.fail(error)
                return
        super().report_down(link, error, was_up=was_up)
