"""Whether what we hold, and are about to settle, is still what the server has under these ids.

Settlements carry ids only, and they are repeated on the next connection. A failover, or a restart without the last writes, takes
entries back; and where its clock is behind, the server gives the same ids to others. So each connection asks for the server's
run and replication ids. While both are what they were, nothing was taken back. Where one of them is another, the history is
compared before anything is said: the highest entry that we hold, or have said something of, is read again. A copy lacks the end of
its original and nothing else; so if that entry is the same, all below it are. If it is not, each is read, and what is another
one by now, or is gone and may be given anew, is not ours: nothing is said of it.

Two entries under one id are the same if their fields are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..engine.degradation import CLOSING_FORMER, COMPARING
from ..engine.script import Steps, checked
from ..entries import StreamId
from ..errors import UNAVAILABLE, ReplyError
from ..events import OwnershipLost

if TYPE_CHECKING:
    from .read_loop import GroupReading

PAGE: Final = 1000
"""Entries that are read again in one exchange."""


class Origin(NamedTuple):
    """A server's run, and the history that it continues; empty where it does not tell."""

    run_id: bytes = b""
    history: bytes = b""

    def continues(self, former: Origin | None) -> bool:
        """Whether nothing can have been taken back since."""
        return former is not None and self == former and bool(self.run_id)


class Lineage:
    """The history that one consumer's entries come from; it survives reconnects."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._proven: Origin | None = None  # of the server for which all that we hold is proven
        self._is_current = False  # the reading link is connected to it

    def ask(self) -> Steps[Origin]:
        """Ask for the server's run, and for its history, on the link that this script runs on."""
        consumer, command = self._consumer, ("INFO", "server", "replication")
        [info] = yield from consumer.ask(command)
        consumer.degradation.is_forbidden(CLOSING_FORMER, command, info)
        if isinstance(info, ReplyError):  # where it is forbidden, everything is compared on each connection
            return Origin()
        told = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        return Origin(told.get(b"run_id", b""), told.get(b"master_replid", b""))

    def goes_on(self, origin: Origin) -> bool:
        """Whether a server is still the one, in the same run, with which the reading link was connected before."""
        return origin.continues(self._proven)

    def disconnected(self) -> None:
        """The reading link is down."""
        self._is_current = False

    def prove(self, origin: Origin) -> Steps[None]:
        """On a new connection of the reading link, before anything is said: find out what is still the same."""
        consumer = self._consumer
        if self._proven is not None and not origin.continues(self._proven):
            for stream in consumer.pending.streams():
                yield from self._prove(stream)
        self._proven, self._is_current = origin, True
        consumer.settling.proven()

    def may_tell(self, origin: Origin) -> bool:
        """Whether settlements may leave over another link. Raises ``ReplyError`` where that has to be dialled again."""
        proven = self._proven
        if not self._is_current:
            return self.goes_on(origin)
        assert proven is not None
        if origin.run_id and proven.run_id and origin.run_id != proven.run_id:
            raise ReplyError("TRYAGAIN", "the acknowledging link has reached another server than the reading one")
        return True

    def _prove(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        bodies = consumer.pending.bodies(stream)
        if not bodies:
            lost = consumer.pending.ids(stream)
        else:
            highest = max(bodies, key=StreamId.parse)
            [found] = yield from consumer.ask(("XRANGE", stream, highest, highest))
            consumer.degradation.is_forbidden(COMPARING, ("XRANGE", stream), found)
            if _is(found, bodies[highest]):
                bound = StreamId.parse(highest)
                lost = {id_ for id_ in consumer.pending.ids(stream) if StreamId.parse(id_) > bound}
            else:
                same = yield from self._compare(stream, bodies)
                lost = consumer.pending.ids(stream) - same
        consumer.void(stream, lost)
        if told := lost & bodies.keys():
            consumer.emit(OwnershipLost(stream, tuple(sorted(told, key=StreamId.parse))))

    def _compare(self, stream: bytes, bodies: dict[bytes, list[bytes]]) -> Steps[set[bytes]]:
        """Those that are the same; or gone for good, so that it does no harm to speak of them."""
        consumer = self._consumer
        command = ("XINFO", "STREAM", stream)
        [info] = yield from consumer.ask(command)
        consumer.degradation.is_forbidden(COMPARING, command, info)
        _refuse(info)
        last = None if isinstance(info, ReplyError) else StreamId.parse(info[b"last-generated-id"])
        ids, same = list(bodies), set[bytes]()
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            found = yield from consumer.ask(*(("XRANGE", stream, id_, id_) for id_ in page))
            for id_, entries in zip(page, found, strict=True):
                is_gone = entries == [] and last is not None and StreamId.parse(id_) <= last
                if is_gone or _is(entries, bodies[id_]):
                    same.add(id_)
        return same


def _refuse(reply: Any) -> None:
    """Wait where the server cannot answer now; what it will never answer proves nothing."""
    if isinstance(reply, ReplyError) and reply.code in UNAVAILABLE:
        checked(reply)


def _is(reply: Any, fields: list[bytes]) -> bool:
    """Whether an entry was found, and holds these fields."""
    _refuse(reply)
    return not isinstance(reply, ReplyError) and [entry[1] for entry in reply] == [fields]
