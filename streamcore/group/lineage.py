"""Lineage: before entries are settled, prove that the server still has the same entries under their ids.

Settlements carry ids only, and they are repeated on the next connection. A failover, or a restart without the last writes,
takes entries back; and where the clock of the new server is behind, it gives their ids to other entries. So each connection
asks for the server's run id and replication id (``INFO``). While both are the same, nothing was taken back. Where either has
changed, the history is compared before any settlement leaves: the highest entry that we hold, or have a settlement of, is
read again (``XRANGE``). A copy lacks the end of its original and nothing else; so if that entry is the same, all entries
below it are. If it is not, each entry is read; an entry that is another by now, or is gone so that its id may be given anew,
is not ours, and its settlement is dropped.

Two entries under an id are the same if their fields are.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..engine.degradation import CLOSING_FORMER, COMPARING
from ..engine.script import Steps, checked
from ..entries import StreamId
from ..errors import UNAVAILABLE, ReplyError
from .context import GroupContext
from .pending import Pending

PAGE: Final = 1000
"""Entries that are read again in an exchange."""


class Origin(NamedTuple):
    """A server's run, and the history that it continues; empty where it does not tell.

    ``INFO`` calls them ``run_id`` and ``master_replid``.
    """

    run_id: bytes = b""
    history: bytes = b""

    def continues(self, former: Origin | None) -> bool:
        """Whether no write can have been taken back since ``former`` was told: the run and the history are the same."""
        return former is not None and self == former and bool(self.run_id)


class Lost(NamedTuple):
    """The ``ids`` that mean other entries by now, or none; ``told``: the ids of these whose fields we hold, in their order."""

    ids: set[bytes]
    told: tuple[bytes, ...]


class Lineage:
    """The history of the server that a member's entries come from; it survives reconnects."""

    def __init__(self, context: GroupContext, pending: Pending) -> None:
        self._context = context
        self._pending = pending
        self._proven: Origin | None = None  # of the server that is proven to have every entry in hand
        self._is_current = False  # the reading link is connected to it

    def ask(self) -> Steps[Origin]:
        """Ask for the server's run, and for its history (``INFO``), on the link that this script runs on."""
        context, command = self._context, ("INFO", "server", "replication")
        [info] = yield from context.ask(command)
        context.degradation.is_forbidden(CLOSING_FORMER, command, info)
        if isinstance(info, ReplyError):  # where it is forbidden, everything is compared on each connection
            return Origin()
        told = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        return Origin(told.get(b"run_id", b""), told.get(b"master_replid", b""))

    def goes_on(self, origin: Origin) -> bool:
        """Whether a server is in the run, and has the history, to which the reading link was connected before."""
        return origin.continues(self._proven)

    def may_be_turned_back(self, origin: Origin) -> bool:
        """Whether a server may have taken back settlements that were confirmed on the last connection of the reading link."""
        return self._proven is not None and not origin.continues(self._proven)

    def disconnected(self) -> None:
        """Note that the reading link is down."""
        self._is_current = False

    def doubted(self, origin: Origin) -> list[bytes]:
        """The streams in which entries have to be compared, on a new connection of the reading link."""
        return self._pending.streams() if self.may_be_turned_back(origin) else []

    def prove(self, origin: Origin) -> None:
        """Note that this server has every entry in hand, under its id."""
        self._proven, self._is_current = origin, True

    def may_tell(self, origin: Origin) -> bool:
        """Whether settlements may leave over another link. Raises ``ReplyError`` where that link has to be dialled again."""
        proven = self._proven
        if not self._is_current:
            return self.goes_on(origin)
        assert proven is not None
        if origin.run_id and proven.run_id and origin.run_id != proven.run_id:
            raise ReplyError("TRYAGAIN", "the acknowledging link has reached another server than the reading one")
        return True

    def compare(self, stream: bytes) -> Steps[Lost]:
        """Find out which entries of a stream the server does not have any more, as we hold them (``XRANGE``)."""
        context, pending = self._context, self._pending
        bodies = pending.bodies(stream)
        if not bodies:
            lost = pending.ids(stream)
        else:
            highest = max(bodies, key=StreamId.parse)
            [found] = yield from context.ask(("XRANGE", stream, highest, highest))
            context.degradation.is_forbidden(COMPARING, ("XRANGE", stream), found)
            if _is(found, bodies[highest]):
                bound = StreamId.parse(highest)
                lost = {id_ for id_ in pending.ids(stream) if StreamId.parse(id_) > bound}
            else:
                same = yield from self._compare(stream, bodies)
                lost = pending.ids(stream) - same
        return Lost(lost, tuple(sorted(lost & bodies.keys(), key=StreamId.parse)))

    def _compare(self, stream: bytes, bodies: dict[bytes, list[bytes]]) -> Steps[set[bytes]]:
        """The ids whose entries are the same (``XRANGE``), or gone for good, so that it does no harm to settle them."""
        context = self._context
        command = ("XINFO", "STREAM", stream)
        [info] = yield from context.ask(command)
        context.degradation.is_forbidden(COMPARING, command, info)
        _refuse(info)
        last = None if isinstance(info, ReplyError) else StreamId.parse(info[b"last-generated-id"])
        ids, same = list(bodies), set[bytes]()
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            found = yield from context.ask(*(("XRANGE", stream, id_, id_) for id_ in page))
            for id_, entries in zip(page, found, strict=True):
                is_gone = entries == [] and last is not None and StreamId.parse(id_) <= last
                if is_gone or _is(entries, bodies[id_]):
                    same.add(id_)
        return same


def _refuse(reply: Any) -> None:
    """Raise the error of a server that cannot answer now (the script waits); any other error proves nothing."""
    if isinstance(reply, ReplyError) and reply.code in UNAVAILABLE:
        checked(reply)


def _is(reply: Any, fields: list[bytes]) -> bool:
    """Whether XRANGE has found an entry, and it has these fields."""
    _refuse(reply)
    return not isinstance(reply, ReplyError) and [entry[1] for entry in reply] == [fields]
