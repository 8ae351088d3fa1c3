"""Entries that were handed over before, here or elsewhere, and wait to be handed over once more: one at a time.

The server's counter of deliveries says how often an entry was tried. It must rise before the application has the entry,
which may kill the process, and must not rise for the entries behind it. So nothing is read ahead: only when the
application asks for more, the first one is read from our own pending entries (``XREADGROUP`` with the id before it), which
counts, hands over the data, and finds out whether the entry is still ours, in one step. Where the answer is lost with its
connection, the counter is set back on the next one: that of the entry, or of the next one of ours, which the server has
counted in its stead where another member had claimed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .engine import Steps, checked
from .entries import StreamId
from .errors import NoGroupError
from .events import Tombstones

if TYPE_CHECKING:
    from .group_reading import GroupReading


class Waiting(NamedTuple):
    """An entry, and how often it was handed over so far. ``is_unsure``: that once, perhaps nobody has seen it."""

    stream: bytes
    id: bytes
    deliveries: int
    is_unsure: bool = False


class Redelivery:
    """The queue of one consumer; true while there is something in it."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._queue: deque[Waiting] = deque()
        self._wanted = False
        self._in_doubt: Waiting | None = None  # asked for, and not answered

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def due(self) -> bool:
        """Whether the application waits for the first one."""
        return self._wanted and bool(self._queue)

    def want(self) -> None:
        """The application has nothing else to do."""
        self._wanted = True

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Entries that are pending for us."""
        self._queue.extend(waiting)

    def ids(self, stream: bytes) -> set[bytes]:
        """What waits of a stream."""
        return {one.id for one in self._queue if one.stream == stream}

    def streams(self) -> set[bytes]:
        """Those of which anything waits."""
        return {one.stream for one in self._queue}

    def forget(self, stream: bytes, ids: set[bytes] | None = None) -> None:
        """These, or all of a stream, are not ours any more."""
        gone = self.ids(stream) if ids is None else ids
        self._queue = deque(one for one in self._queue if one.stream != stream or one.id not in gone)

    def clear(self, stream: bytes | None = None) -> list[Waiting]:
        """Hand over nothing more, of one stream or at all; what was waiting."""
        left = [one for one in self._queue if stream in {None, one.stream}]
        self._queue = deque(one for one in self._queue if one not in left)
        return left

    def recover(self) -> Steps[None]:
        """Take back what a lost answer may have counted; before anything else is done about what is pending for us."""
        if (asked := self._in_doubt) is None:
            return
        consumer, member = self._consumer, self._consumer.member
        with suppress(NoGroupError):
            page = ("XPENDING", asked.stream, member.group, asked.id, "+", 1, member.name)
            [rows] = yield from consumer.ask(page)
            for id_, *_ in checked(rows):
                if (known := self._deliveries(asked.stream, id_)) is not None:
                    yield from self._set_back(asked.stream, id_, known)
        self._in_doubt = None

    def _deliveries(self, stream: bytes, id_: bytes) -> int | None:
        """How often an entry of ours was handed over, as far as we know of it."""
        waits = next((one.deliveries for one in self._queue if (one.stream, one.id) == (stream, id_)), None)
        return self._consumer.pending.deliveries(stream, id_) if waits is None else waits

    def run(self) -> Steps[None]:
        """Hand over the first one; only when it is ``due``, and with nothing in flight."""
        consumer, first = self._consumer, self._queue[0]
        consumer.settling.at_once = True
        yield from consumer.settling.send()  # what is done by now shall not count once more if this one kills us
        if not self._queue or self._queue[0] is not first:
            return
        self._in_doubt = first
        consumer.fetching = first[:3]
        try:
            entry = yield from self._read(first)
        except NoGroupError:  # the next read meets it as well, and mends it
            self.forget(first.stream)
            self._in_doubt = consumer.fetching = None
            return
        self._in_doubt = consumer.fetching = None
        if not self._queue or self._queue[0] is not first:  # we are leaving, and have given it back
            if entry is not None:  # perhaps over the other link, and before it was counted
                consumer.returns.add_waiting(*first[:3])
                consumer.settling.flush_soon()
            return
        self._wanted = False
        self._queue.popleft()
        if entry is None:
            return
        if entry[1] is None:  # its data is gone, and the server keeps it as pending
            consumer.emit(Tombstones(first.stream, (first.id,)))
            consumer.pending.clear(first.stream, [first.id])
            consumer.settling.flush_soon()
        else:
            consumer.deliver(first.stream, [entry], deliveries=first.deliveries + 1, is_unsure=first.is_unsure)

    def _read(self, first: Waiting) -> Steps[list[Any] | None]:
        """The entry, counted as handed over; None if it is not ours any more."""
        consumer = self._consumer
        head = ("XREADGROUP", "GROUP", consumer.member.group, consumer.member.name, "COUNT", 1, "STREAMS")
        [reply] = yield from consumer.ask((*head, first.stream, bytes(StreamId.parse(first.id).before())))
        found: list[Any] = checked(reply)[first.stream]
        if not found or found[0][0] == first.id:
            return found[0] if found else None
        if found[0][1] is not None:  # the next one of ours was counted in its stead
            yield from self._set_back(first.stream, found[0][0])
        return None

    def _set_back(self, stream: bytes, id_: bytes, known: int = 0) -> Steps[None]:
        """Take back one delivery that was counted, if there were more than we know of."""
        consumer, member = self._consumer, self._consumer.member
        [rows] = yield from consumer.ask(("XPENDING", stream, member.group, id_, id_, 1))
        for _, owner, idle, times in checked(rows):
            if owner == member.name and times > known:
                # No other member's, whose claim would have made it less idle.
                claim = ("XCLAIM", stream, member.group, member.name, idle, id_, "RETRYCOUNT", times - 1, "JUSTID")
                yield from consumer.ask(claim)
