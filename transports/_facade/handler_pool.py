"""The next entry of ``GroupConsumer.run``, for tasks and threads alike, and the verdict on a failure.

A ``Pool`` holds entries that were taken from the engine and not begun, in *lines*: a line for each stream, of which a single entry is
handled at a time, or, in free order, a line for all. Workers ask it (``look``, ``begin``), tell it (``finish``, ``fail``) and wait in
between; it never waits itself. When they have ended, the engine gets back the entries that were not begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from inspect import iscoroutine
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from streamcore.arguments import Seconds, one_of, positive, seconds
from streamcore.entries import GroupBatch, GroupEntry
from streamcore.errors import InvalidArgument

E = TypeVar("E", bound=GroupEntry[Any])

Order: TypeAlias = Literal["free", "stream"]
Verdict: TypeAlias = Literal["nack", "dead_letter", "raise"]
MAX_REASON: Final = 1000


class Source(Protocol):
    """The calls of an engine that a pool needs."""

    @property
    def ended(self) -> bool: ...
    def take(self) -> GroupBatch[Any] | None: ...
    def split(self, batch: GroupBatch[Any], at: int) -> GroupBatch[Any]: ...
    def put_back(self, batch: GroupBatch[Any]) -> None: ...


class Line(Generic[E]):
    """Batches whose entries are begun in their order."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.batches: deque[GroupBatch[Any]] = deque()
        self.begun = 0  # entries of the first batch
        self._entries: Iterator[Any] = iter(())

    def add(self, batch: GroupBatch[Any]) -> None:
        """Append a batch."""
        self.batches.append(batch)
        if len(self.batches) == 1:
            self._entries = iter(batch)

    def begin(self) -> E:
        """Begin the next entry of the line, which is not empty."""
        entry: E = next(self._entries)
        self.begun += 1
        if self.begun == len(self.batches[0]):
            self.batches.popleft()
            self.begun = 0
            self._entries = iter(self.batches[0] if self.batches else ())
        return entry


class Pool(Generic[E]):
    """The work of a call of ``run``. Not for several threads at once: they take a lock first."""

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float],
        *,
        concurrency: int,
        order: Order,
        on_error: Verdict | Callable[[E, Exception], Verdict | None],
        nack_delay: Seconds,
        grace: Seconds,
    ) -> None:
        self.concurrency = positive("concurrency", concurrency)
        self.error: BaseException | None = None
        self.waiting = 0  # workers that have nothing to do
        self._by_stream = one_of("order", order, "free", "stream") == "stream"
        if not callable(on_error):
            one_of("on_error", on_error, "nack", "dead_letter", "raise")
        self._on_error: Verdict | Callable[[E, Exception], Verdict | None] = on_error
        self._nack_delay = seconds("nack_delay", nack_delay, zero=True)
        self._grace = seconds("grace", grace, zero=True)
        self._source = source
        self._clock = clock
        self._deadline: float | None = None
        self._halted = False
        self._lines: dict[bytes, Line[E]] = {}  # those that hold something, or are being worked at
        self._ready: deque[Line[E]] = deque()  # those of which an entry may be begun
        self._batches = 0  # of which an entry may still be begun
        self._calls = False  # those that wait might find something now

    # -- what to do ---------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Whether a worker need not wait: there is an entry to begin, or the end. Raises the error that has ended the engine."""
        while not (self._ready or self.stops):
            batch = self._source.take() if self._batches < self.concurrency else None
            if batch is None:
                return self._source.ended
            self._add(batch)
        return True

    @property
    def has_work(self) -> bool:
        """Whether a worker shall begin something, now or later.

        At the end, entries of lines that are being worked at are left to the workers there.
        """
        return not self.stops and (bool(self._ready) or not self._source.ended)

    def begin(self) -> tuple[Line[E], E] | None:
        """Begin an entry; None where no entry may be begun now."""
        if not self._ready or self.stops:
            return None
        line = self._ready[0]
        held = len(line.batches)
        entry = line.begin()
        if len(line.batches) < held:
            self._calls |= self._batches == self.concurrency  # there is room for another batch again
            self._batches -= 1
        if self._by_stream or not line.batches:
            self._ready.popleft()
        self._calls |= self._by_stream and bool(self._ready)
        return line, entry

    def calls_others(self) -> bool:
        """Whether waiting workers shall look again, because of an entry that was begun; to be asked after ``begin``."""
        calls, self._calls = self._calls, False
        return calls and self.waiting > 0

    def finish(self, line: Line[E]) -> None:
        """End an entry of a line, whose next entry may be begun then."""
        if self._by_stream and line.batches:
            self._ready.append(line)  # behind the others
        elif self._by_stream:
            del self._lines[line.key]

    def _add(self, batch: GroupBatch[Any]) -> None:
        key = batch.key if self._by_stream else b""
        self._batches += 1
        line = self._lines.get(key)
        if line is None or not self._by_stream:
            line = self._lines[key] = Line(key)
            self._ready.append(line)
        line.add(batch)

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def stops(self) -> bool:
        """Whether nothing more may be begun."""
        return self._halted or (self._deadline is not None and self._clock() >= self._deadline)

    def drain(self) -> None:
        """Begin the entries that are here for ``grace`` seconds, and then nothing more."""
        if self._deadline is None:
            self._deadline = self._clock() + self._grace

    def halt(self) -> None:
        """Begin nothing more."""
        self._halted = True

    def give_back(self) -> None:
        """Return to the engine the entries that were not begun."""
        for line in reversed(self._lines.values()):
            for at, batch in reversed(list(enumerate(line.batches))):
                begun = 0 if at else line.begun
                self._source.put_back(self._source.split(batch, begun) if begun else batch)
        self._lines.clear()
        self._ready.clear()
        self._batches = 0

    # -- failures -----------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """Begin nothing more, and raise this in the end; of several, the first."""
        self._halted = True
        if self.error is None:
            self.error = error
        elif self.error is not error:
            self.error.add_note(f"then, before all handlers had ended: {type(error).__name__}: {error}")

    def settle(self, entry: E, error: Exception) -> Verdict | None:
        """Nack, bury or leave an entry whose handler has failed, by the verdict of ``on_error``, which is returned."""
        on_error = self._on_error
        try:
            verdict: Verdict | None = on_error(entry, error) if callable(on_error) else on_error
            reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
            if verdict == "nack":
                entry.nack(delay=self._nack_delay, reason=reason)
            elif verdict == "dead_letter":
                entry.dead_letter(reason=reason)
            elif verdict == "raise":
                self.fail(error)
            else:
                _check_none(verdict)
        except Exception as other:  # noqa: BLE001  # whatever the callable raises is raised by ``run``
            self.fail(other)
            return "raise"
        return verdict

    def report(self, entry: E, error: Exception, verdict: Verdict | None) -> tuple[str, Exception | None]:
        """A line for the log, and the error whose traceback goes with it: none, where the application's own ``on_error`` has had it."""
        stream: bytes = entry._batch.key  # noqa: SLF001  # a part of the face
        where = f"{entry.raw_id.decode()} of {stream.decode(errors='replace')}"
        if callable(self._on_error):
            return f"handler failed on {where}, {verdict or 'left to on_error'}: {type(error).__name__}: {error}", None
        return f"handler failed on {where}, {verdict}:", error


def acknowledge(item: object) -> None:
    """Acknowledge an entry, or a batch, as far as the application has not refused it; events are left alone.

    Of a refusal and an acknowledgement, the engine goes by the latter, in either order.
    """
    if isinstance(item, GroupEntry):
        refusals = item._batch.refusals  # noqa: SLF001  # a part of the face
        if not (refusals and any(refusal.id == item.raw_id for refusal in refusals)):
            item.ack()
    elif isinstance(item, GroupBatch):
        if item.refusals:
            for entry in item:
                acknowledge(entry)
        else:
            item.ack()


def check_handler(handler: object) -> None:
    """Raises ``InvalidArgument`` for a handler that cannot be called, such as the coroutine of a handler that was called by mistake."""
    if not callable(handler):
        raise InvalidArgument(f"handler must be something to call, not {handler!r}; pass the function itself")


def refuse_coroutine(result: object) -> None:
    """Raises ``InvalidArgument`` where a handler in a thread was a coroutine function: its work was not begun."""
    if iscoroutine(result):
        result.close()
        raise InvalidArgument("the handler is a coroutine function, which threads cannot run; give a plain function")


def _check_none(answer: object) -> None:
    if answer is not None:
        raise InvalidArgument(f"on_error answered {answer!r}; answer 'nack', 'dead_letter', 'raise', or None: as it is")
