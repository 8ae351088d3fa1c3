"""Entries that were handed over before, here or elsewhere, and wait to be handed over once more.

The server's counter of deliveries says how often an entry was tried. It must rise before the application has the entry,
which may kill the process, and must not rise for the entries behind it. So nothing is read ahead: only when the
application asks for more, the first one is read from our own pending entries (``XREADGROUP`` with the id before it), which
counts, hands over the data, and finds out whether the entry is still ours, in one step. Where the answer is lost with its
connection, the counter is set back on the next one: that of the entry, or of the next one of ours, which the server has
counted in its stead where another member had claimed it.

Where no counter condemns (``max_deliveries`` is None), entries that were handed over once before come as a batch: they are
asked for in one round trip, each by a command of its own, and each counts when the batch is handed over. Whoever dies with
such a batch has counted them all; from then on they come one at a time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..connection.exchange import Arguments, Exchange
from ..engine.script import Steps, checked
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from ..events import PendingEntriesDeleted

if TYPE_CHECKING:
    from .read_loop import GroupReading


MOST: Final = 100
"""Entries that one round trip asks for."""
TRIES: Final = 3
"""Attempts to set a counter back: where the server's clock is set back, entries become less idle by themselves."""


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
        self._in_doubt: list[Waiting] = []  # asked for, and not answered

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

    def waiting(self, stream: bytes) -> list[bytes]:
        """The same, in the order in which it waits."""
        return [one.id for one in self._queue if one.stream == stream]

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
        if not self._in_doubt:
            return
        member, stream = self._consumer.member, self._in_doubt[0].stream
        with suppress(NoGroupError):
            # The server has counted the first of ours from an id on.
            pages = [("XPENDING", stream, member.group, one.id, "+", 1, member.name) for one in self._in_doubt]
            listed = yield from self._consumer.ask(*pages)
            rows = [row for page in listed for row in checked(page)]
            counted = Counter(row[0] for row in rows)
            known = {one.id: one.deliveries for one in self._queue if one.stream == stream}
            for id_ in counted.keys() - known.keys():
                known[id_] = self._consumer.pending.deliveries(stream, id_) or 0
            yield from self._set_back(stream, [row for row in rows if known[row[0]]], counted, known)
        self._in_doubt = []

    def run(self) -> Steps[None]:
        """Hand over the first one, or a batch; only when it is ``due``, and with nothing in flight."""
        consumer = self._consumer
        yield from consumer.returns.run()
        if not self._queue:
            return
        asked = self._in_doubt = self._next()
        first = asked[0]
        consumer.fetching = first[:3] if len(asked) == 1 else None
        try:
            read = yield from self._read(asked)
        except NoGroupError:  # the next read meets it as well, and mends it
            yield from self.recover()  # it may have answered for others of them
            self.forget(first.stream)
            consumer.fetching = None
            return
        found = yield from self._found(asked, read)
        self._in_doubt, consumer.fetching = [], None
        left = set(asked).difference(self._queue)
        for one in asked:
            if one in left and one.id in found:  # we are leaving, and have given it back, perhaps before it was counted
                consumer.returns.add_waiting(one)
                consumer.settling.flush_soon()
        if len(left) < len(asked):
            self._wanted = False
        self._queue = deque(one for one in self._queue if one not in asked)
        self._hand_over(first, [found[one.id] for one in asked if one not in left and one.id in found], read.nbytes)

    def _next(self) -> list[Waiting]:
        """What is asked for in one round trip."""
        consumer, first = self._consumer, self._queue[0]
        asked = [first]
        if first.deliveries > 1 or consumer.member.max_deliveries is not None:
            return asked
        for one in islice(self._queue, 1, min(MOST, consumer.room.page)):
            if one._replace(id=first.id) != first or StreamId.parse(one.id) <= StreamId.parse(asked[-1].id):
                break
            asked.append(one)
        return asked

    def _read(self, asked: list[Waiting]) -> Steps[Exchange]:
        """Count entries as handed over, and fetch them; behind what is done by now, which shall not count if these kill us."""
        consumer, member = self._consumer, self._consumer.member
        head = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", 1, "STREAMS")
        reads: list[Arguments] = [(*head, one.stream, bytes(StreamId.parse(one.id).before())) for one in asked]
        read = Exchange(reads, consumer.options.request_timeout)
        yield from consumer.settling.send_before(read)
        for reply in read.replies:
            if isinstance(reply, ReplyError):
                reply.command = "XREADGROUP"
                raise reply
        return read

    def _found(self, asked: list[Waiting], read: Exchange) -> Steps[dict[bytes, list[Any]]]:
        """What has come, by id; nothing for an entry that is not ours any more."""
        stream = asked[0].stream
        found: dict[bytes, list[Any]] = {}
        counted: Counter[bytes] = Counter()
        for one, reply in zip(asked, read.replies, strict=True):
            replies: Any = reply
            for entry in replies[stream]:
                if entry[0] == one.id:
                    found[one.id] = entry
                elif entry[1] is not None:  # the next one of ours was counted in its stead
                    counted[entry[0]] += 1
        if counted:
            group = self._consumer.member.group
            listed = yield from self._consumer.ask(*(("XPENDING", stream, group, id_, id_, 1) for id_ in counted))
            yield from self._set_back(stream, [row for page in listed for row in checked(page)], counted, {})
        return found

    def _hand_over(self, first: Waiting, entries: list[list[Any]], nbytes: int) -> None:
        consumer = self._consumer
        gone = [entry[0] for entry in entries if entry[1] is None]
        if gone:  # its data is gone, and the server keeps it as pending
            consumer.emit(PendingEntriesDeleted(first.stream, tuple(gone)))
            consumer.pending.clear(first.stream, gone)
            consumer.settling.flush_soon()
        if there := [entry for entry in entries if entry[1] is not None]:
            deliveries = first.deliveries + 1
            consumer.deliver(first.stream, there, nbytes, deliveries=deliveries, is_unsure=first.is_unsure)

    def _set_back(
        self, stream: bytes, rows: list[Any], counted: Counter[bytes], known: dict[bytes, int]
    ) -> Steps[None]:
        """Take back deliveries that were ``counted``, as far as there were more than are ``known``."""
        member = self._consumer.member
        for _ in range(TRIES):
            claims: dict[bytes, Arguments] = {}
            for id_, owner, idle, times in rows:
                over = min(counted[id_], times - known.get(id_, 0))
                if owner == member.name and over > 0:
                    # No other member's, whose claim would have made it less idle.
                    at = ("XCLAIM", stream, member.group, member.name, idle, id_)
                    claims[id_] = (*at, "RETRYCOUNT", times - over, "JUSTID")
            claimed = (yield from self._consumer.ask(*claims.values())) if claims else []
            missed = [id_ for id_, reply in zip(claims, claimed, strict=True) if reply == []]
            if not missed:
                return
            listed = yield from self._consumer.ask(*(("XPENDING", stream, member.group, i, i, 1) for i in missed))
            rows = [row for page in listed for row in checked(page)]
