"""Reading ahead of the application: what has arrived and waits for it, and what the engines that read have in common.

Servers bound a reply only by COUNT, so the byte bound stops *further* reads, and these are sized by it (``portions``). A reply over
the limit of all replies halves COUNT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from .arguments import Seconds, encoding, listed, positive, seconds
from .connection import Arguments
from .degradation import Degradation
from .engine import Engine, EngineOptions, Replies, ScriptRunner, Steps, call
from .entries import BaseBatch
from .errors import ReplyError, ReplyTooLarge
from .events import Event, ReadShrunk
from .link import Link
from .portions import Portion, Portions

B = TypeVar("B", bound=BaseBatch[Any, Any])


class Prefetch(Generic[B]):
    """Batches in the order of their arrival: no further read while there are ``reads`` of them, or ``size`` bytes."""

    def __init__(self, reads: int, size: int) -> None:
        self.added = 0  # batches so far
        self._reads = reads
        self._limit = size
        self._size = 0
        self._whole = 0  # of those that are ready, the ones that count as reads
        self._ready: deque[tuple[B, bool, int]] = deque()  # the number is that of the batches up to this one

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def reached(self) -> int:
        """How many of the batches ``added`` are followed only by those that are still here."""
        return self._ready[0][2] - 1 if self._ready else self.added

    def add(self, batch: B, *, whole: bool = True) -> None:
        """A batch has arrived; where it is not ``whole``, it counts together with one that follows."""
        self.added += 1
        self._ready.append((batch, whole, self.added))
        self._size += batch.size
        self._whole += whole

    def put_back(self, batch: B) -> None:
        """A batch that was taken is the next one again; the last one that is put back comes first."""
        self._ready.appendleft((batch, True, self.reached))
        self._size += batch.size
        self._whole += 1

    @property
    def first(self) -> B | None:
        """What ``pop`` would give."""
        return self._ready[0][0] if self._ready else None

    def pop(self) -> B | None:
        """The next batch for the application; None where nothing has arrived."""
        if not self._ready:
            return None
        batch, whole, _ = self._ready.popleft()
        if self._ready:
            self._size -= batch.size
            self._whole -= whole
        else:
            self._size = self._whole = 0
        return batch

    def drop(self, stream: bytes) -> list[B]:
        """Take out what has arrived of a stream."""
        dropped = [batch for batch, *_ in self._ready if batch.key == stream]
        self._ready = deque(kept for kept in self._ready if kept[0].key != stream)
        self.recount()
        return dropped

    def recount(self) -> None:
        """Count anew what is ready: a signal handler may have raised in between."""
        self._size = sum(batch.size for batch, _, _ in self._ready)
        self._whole = sum(whole for _, whole, _ in self._ready)

    def withdraw(self, stream: bytes, ids: set[bytes]) -> None:
        """Take single entries out of what has arrived of a stream."""
        for batch, *_ in self._ready:
            if batch.key == stream:
                batch.raw = [entry for entry in batch.raw if entry[0] not in ids]
        self._ready = deque(kept for kept in self._ready if kept[0].raw)
        self.recount()

    def has_room(self, in_flight: int) -> bool:
        """Whether another read may be sent while ``in_flight`` reads are unanswered."""
        return self._whole + in_flight < self._reads and self._size < self._limit


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
        """Of which streams it is."""
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
        """The next batch, or None where nothing has arrived. Raises what ended the consumer."""
        batch = None if self.paused else self._prefetch.first
        if batch is None:
            self.check()
            self._reading.wake()
            return None
        try:
            self._prefetch.pop()
            self._hand_over(batch)
            self._reading.wake()
        except BaseException:  # a signal handler has raised: nobody gets it
            if self._prefetch.first is not batch:
                self.put_back(batch)
            self._prefetch.recount()
            raise
        return batch

    def put_back(self, batch: B) -> None:
        """Take a batch again that nobody has looked at, before all others."""
        self._prefetch.put_back(batch)
        self._take_back(batch)

    @property
    def now(self) -> float:
        """The time that the driver told last."""
        return self._clock.now

    def random(self) -> float:
        """A number between 0 and 1, from where the driver has it."""
        return self._random()

    def emit(self, event: Event) -> None:
        """For the parts of an engine."""
        self._emit(event)

    def ask(self, *commands: Arguments) -> Steps[Replies]:
        """Part of a script: one exchange, and its replies; a refusal names its command."""
        replies = yield from call(*commands, timeout=self.options.request_timeout)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                reply.command = command[0]
        return replies

    def _report_up(self, link: Link, *, again: bool) -> None:
        super()._report_up(link, again=again)
        if link is self._reading.link:
            self.degradation.begin()
            self._prefetch.recount()

    def _place(self) -> int:
        return self._prefetch.added

    def _reached(self) -> int:
        return self._prefetch.reached

    def _hand_over(self, batch: B) -> None:
        """The application gets a batch."""

    def _take_back(self, batch: B) -> None:
        """It has put back what it was handed over last."""

    def _goes_on_without(self, error: ReplyTooLarge) -> bool:
        """Whether there is a way around an entry that is too large by itself."""
        return False

    def _waiting(self) -> Arguments:
        """How long the server waits for entries; BLOCK 0 would be for ever."""
        return ("BLOCK", max(1, int(self.block * 1000)))

    def _report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if isinstance(error, ReplyTooLarge) and link is self._reading.link:
            may_ask_less = bool(self.asked) and self.portions.too_much(self.asked[0]) and self._splits
            if self.count > 1 or may_ask_less:
                self.count = max(1, self.count // 2)
                self._emit(ReadShrunk(self.count))
            elif not self._goes_on_without(error):
                self.fail(error)
                return
        super()._report_down(link, error, was_up=was_up)
