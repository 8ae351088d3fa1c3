"""Set up a member in the group of each of its streams, on every new connection, and whenever a group has vanished.

- *Name*: take a lease on it; the process that held it before is disconnected, or was told and has stopped.
- *Stale connection*: after a half-open drop the server still holds our previous connection, blocked in XREADGROUP, and
  serves it first. It is closed by the id from its HELLO (``CLIENT KILL``), provided that the server is the same run and
  lists our own name under it.
- *Group*: create it (``XGROUP CREATE``) where asked for; a group that has vanished just below its low-water mark, never
  at ``$``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..connection.exchange import Arguments
from ..engine.degradation import GAPS
from ..engine.script import Replies, Steps, checked
from ..engine.together import pages, together
from ..entries import StreamId
from ..errors import BusyGroupError, NoGroupError, NoPermissionError, ReplyError, WrongTypeError, about
from ..events import GroupCreated, GroupRecreated, StreamAwaited
from ..fencing import Identity
from ..stream_id import ZERO
from .absent_streams import AbsentStreams
from .context import GroupContext
from .gap_detection import GroupGaps
from .group_history import Reached
from .idle_consumers import IdleConsumers
from .low_water import LowWater
from .name_lease import NameLease
from .recovery import Backlog
from .rounds import Rounds
from .stale_connections import StaleConnections


class Setup:
    """Enters streams, and makes sure of their groups; its state survives reconnects.

    ``present``: the reading link's connection. ``quiet``: streams of which nothing was pending for us when we entered.
    """

    def __init__(
        self,
        context: GroupContext,
        lease: NameLease,
        gaps: GroupGaps,
        absent: AbsentStreams,
        backlog: Backlog,
        rounds: Rounds,
        idle_consumers: IdleConsumers,
    ) -> None:
        self.present: Identity | None = None
        self.quiet: set[bytes] = set()
        self._context = context
        self._lease = lease
        self._gaps = gaps
        self._absent = absent
        self._backlog = backlog
        self._rounds = rounds
        self._idle_consumers = idle_consumers
        self._low_water = LowWater(gaps)
        self._stale = StaleConnections(context)
        self._known: set[bytes] = set()  # the streams whose group we have seen
        self._signed: set[bytes] = set()  # the streams whose group has a consumer of our name
        self._founded: dict[bytes, GroupCreated | GroupRecreated] = {}  # by stream whose group we are creating

    # -- on every new connection --------------------------------------------------------------------------------------

    def enter(self, present: Identity, *, turned_back: bool) -> Steps[None]:
        """Enter all streams on a new connection of the reading link, before anything else but the lineage is asked.

        ``turned_back``: the server may have taken settlements back (see ``Lineage``).
        """
        context = self._context
        # Where INFO is forbidden, the audit finds the entries that a stale connection might take.
        former, self.present = self.present, present
        yield from self._stale.close(former, present)
        # All members in the same order, the first stream by itself: of two that begin together, one holds every name in the end.
        streams = sorted(context.member.streams)
        for page in (streams[:1], *pages(streams[1:], context.looks)):
            yield from together([self.enter_stream(stream, turned_back=turned_back) for stream in page])
        self._rounds.entered(context.now, context.block)

    def enter_stream(self, stream: bytes, *, turned_back: bool = False) -> Steps[None]:
        """Take the name in a stream's group, and make sure that the group exists."""
        assert self.present is not None
        former = yield from self._lease.take(stream, self.present)
        is_gone = yield from self._stale.close(former, self.present)
        if not is_gone:
            self._backlog.spare(stream)
        self._lease.done_with(stream)
        yield from self.ensure_group(stream, turned_back=turned_back)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._known.discard(stream)
        self._signed.discard(stream)
        self._founded.pop(stream, None)
        self._low_water.end(stream)
        self._gaps.forget(stream)
        self._absent.end(stream)
        self._idle_consumers.forget(stream)
        self._lease.forget(stream)
        self._rounds.forget(stream)

    # -- the group ----------------------------------------------------------------------------------------------------

    def ensure_group(self, stream: bytes, *, turned_back: bool = False) -> Steps[None]:
        """Make sure that the group exists (``XINFO GROUPS``), by creating it where that is allowed; tell gaps.

        Raises ``WrongTypeError`` and ``NoPermissionError``, with the name of the stream.
        """
        try:
            yield from self._ensure_group(stream, turned_back)
        except (WrongTypeError, NoPermissionError) as error:
            raise about(error, "stream", stream) from None

    def _ensure_group(self, stream: bytes, turned_back: bool) -> Steps[None]:
        context, absent = self._context, self._absent
        self.quiet.discard(stream)
        was_signed = stream in self._signed
        self._signed.discard(stream)  # until the reply has come
        told, groups, summary, created = yield from self.ask_about(stream, *self._signature(stream))
        group = find_group(context.member.group, groups)
        if group is not None and self._gaps.is_torn(told, Reached.of(group)):
            told, groups, summary, _ = yield from self.ask_about(stream)
            group = find_group(context.member.group, groups)
        elif group is not None and created == [1]:  # it was listed without us
            group = {**group, b"consumers": group[b"consumers"] + 1}
        if group is None and _is_missing(groups) and absent.covers(is_lost=stream in self._known):
            self._check_leave(stream)
            self._miss(stream)
            return
        if group is None:
            if not (yield from self._create_group(stream, told)):
                return
            self._backlog.begin(stream, ZERO)
        else:
            self._signs(stream, created)
            signed = created if was_signed else []
            yield from self._meet(stream, told, group, ours=signed == [0], is_another=signed == [1])
            ours = self.note(stream, group, summary)
            if not (ours or isinstance(summary, ReplyError)):
                self.quiet.add(stream)
            delivered = StreamId.parse(group[b"last-delivered-id"])
            if stream not in self._known:
                self._backlog.begin(stream, ZERO if context.member.backlog else delivered)
            if turned_back:
                self._backlog.bring_back(stream, delivered)
        self._known.add(stream)
        absent.end(stream)

    def mend(self) -> Steps[None]:
        """Make sure of all groups, since a read tells only that a group is gone, and doubt that their streams are the same."""
        context = self._context
        for page in pages(context.present, context.looks):
            for stream in page:
                self._gaps.doubt(stream)
                self._rounds.came(stream)
            yield from together([self.ensure_group(stream) for stream in page])

    def _miss(self, stream: bytes) -> None:
        """Wait for a stream that does not exist; tell the gap if it did exist."""
        context, absent = self._context, self._absent
        mark = self._low_water.end(stream)
        if stream not in absent:
            absent.begin(stream)
            context.emit(StreamAwaited(stream, context.member.group))
        if stream in self._known:
            self._gaps.vanished(stream, None if mark is None else mark.pending)

    def _signature(self, stream: bytes) -> tuple[Arguments, ...]:
        """Build the command that puts our name into the group (``XGROUP CREATECONSUMER``).

        While the name is found there, the group is the known group, and so is its stream.
        """
        member = self._context.member
        is_wanted = self._gaps.is_on
        return (("XGROUP", "CREATECONSUMER", stream, member.group, member.name),) if is_wanted else ()

    def _signs(self, stream: bytes, replies: Replies) -> None:
        if replies in ([0], [1]):
            self._signed.add(stream)
        elif replies:
            self._context.degradation.is_forbidden(GAPS, self._signature(stream)[0], replies[0])

    def ask_about(self, stream: bytes, *more: Arguments) -> Steps[tuple[Replies, Any, Any, Replies]]:
        """Ask about a stream, its groups (``XINFO``) and the pending entries (``XPENDING``); and send more commands behind.

        The stream first: a read between the replies makes a loss look smaller, and no delivery look like a loss.
        """
        group = self._context.member.group
        questions = self._gaps.questions(stream)
        replies = yield from self._context.ask(
            *questions, ("XINFO", "GROUPS", stream), ("XPENDING", stream, group), *more
        )
        at = len(questions)
        return replies[:at], replies[at], replies[at + 1], replies[at + 2 :]

    def _ask_history(self, stream: bytes) -> Steps[Replies]:
        """Ask about a stream whose group is gone (``XINFO STREAM``), to find out whether it is the known stream."""
        questions = self._gaps.questions(stream, group_is_gone=True)
        return (yield from self._context.ask(*questions)) if questions else []

    def _meet(
        self, stream: bytes, told: Replies, group: dict[bytes, Any], *, ours: bool = False, is_another: bool
    ) -> Steps[None]:
        """Judge a group that exists, by the replies; perhaps it ``is_another`` group than the known group, created since."""
        mark, reached = self._low_water.of(stream), Reached.of(group)
        above = mark.id if is_another and mark is not None else None
        if (founded := self._founded.get(stream)) is not None:  # created by us, and the reply was lost
            told = told or (yield from self._ask_history(stream))
            event = yield from self._tell_founded(stream, told, founded)
            above, reached = None, reached if event is founded else Reached(ZERO)
        self._gaps.hear(stream, told, reached, ours=ours, another=is_another, above=above)

    def _check_leave(self, stream: bytes) -> None:
        """Raises ``NoGroupError`` where no group may be created."""
        member, is_lost = self._context.member, stream in self._known
        if not member.create or (is_lost and member.on_group_lost == "raise"):
            group, key = member.group.decode(errors="replace"), stream.decode(errors="replace")
            what = "has lost its group" if is_lost else "has no group"
            remedy = "pass on_group_lost='recreate'" if member.create else "pass create=True"
            raise NoGroupError("NOGROUP", f"stream {key!r} {what} {group!r}; create it, or {remedy}")

    def _create_group(self, stream: bytes, told: Replies) -> Steps[bool]:
        """Create the group (``XGROUP CREATE``); return False where its stream has vanished, and is waited for."""
        context, member, gaps = self._context, self._context.member, self._gaps
        is_lost = stream in self._known
        self._check_leave(stream)
        start = "0" if stream in self._absent else member.start  # all its entries have come while it was waited for
        if is_lost:
            told = told or (yield from self._ask_history(stream))
            gaps.hear(stream, told, None)
            start = self._low_water.restart_point(stream, told)
        self._founded[stream] = (GroupRecreated if is_lost else GroupCreated)(stream, member.group, start)
        waits = self._absent.covers(is_lost=is_lost)
        create = ("XGROUP", "CREATE", stream, member.group, start, *(() if waits else ("MKSTREAM",)))
        signature = self._signature(stream)
        questions = gaps.questions(stream, group_is_gone=is_lost)
        reply, *replies = yield from context.ask(create, *signature, *questions)
        signed, seen, told = replies[: len(signature)], told, replies[len(signature) :]
        if isinstance(reply, ReplyError):
            del self._founded[stream]
        if isinstance(reply, BusyGroupError):  # another consumer was faster
            told, groups, summary, _ = yield from self.ask_about(stream)
            if (found := find_group(member.group, groups)) is not None:
                yield from self._meet(stream, told, found, is_another=is_lost)
                self.note(stream, found, summary)
            return True
        if waits and _is_missing(reply):  # it was there a moment ago
            if is_lost:
                gaps.hear(stream, seen, Reached(ZERO), another=True)
            self._miss(stream)
            return False
        checked(reply)
        self.quiet.add(stream)
        self._signs(stream, signed)
        mark = self._low_water.of(stream)
        event = yield from self._tell_founded(stream, told, self._founded[stream])
        if is_lost:
            reached = Reached(StreamId.parse(event.start))
            pending = None if mark is None else mark.pending
            gaps.hear(stream, told, reached, another=True, pending=pending)
            self._low_water.note(stream, reached.id, None)
        elif start != "$":
            gaps.hear(stream, told, Reached(StreamId.parse(start)))
        return True

    def _tell_founded(
        self, stream: bytes, told: Replies, event: GroupCreated | GroupRecreated
    ) -> Steps[GroupCreated | GroupRecreated]:
        """Tell that we have created a group; set it back first (``XGROUP SETID``) where the stream has begun anew meanwhile."""
        context, member = self._context, self._context.member
        is_lost = isinstance(event, GroupRecreated)
        is_past = is_lost and StreamId.parse(event.start) != ZERO
        if is_past and self._low_water.restart_point(stream, told) != event.start:
            event = replace(event, start="0")
            checked(*(yield from context.ask(("XGROUP", "SETID", stream, member.group, event.start))))
        del self._founded[stream]
        context.emit(event)
        return event

    def note(self, stream: bytes, group: dict[bytes, Any], summary: Any) -> int:
        """Note the low-water mark and the number of consumers; return how many entries are pending for us.

        Where the group moves on between the replies, the mark is low.
        """
        if isinstance(summary, NoGroupError):  # the next read meets it as well, and mends it
            return 0
        total, lowest, *_ = checked(summary)
        self._idle_consumers.note(stream, group[b"consumers"])
        delivered = StreamId.parse(group[b"last-delivered-id"])
        self._low_water.note(stream, delivered, StreamId.parse(lowest) if total else None)
        return pending_for(self._context.member.name, summary)


def pending_for(name: bytes, summary: Any) -> int:
    """How many entries are pending for a consumer, by the reply of ``XPENDING``."""
    return next((int(count) for consumer, count in summary[3] or () if consumer == name), 0)


def find_group(name: bytes, groups: Any) -> dict[bytes, Any] | None:
    """Find a group in the reply of ``XINFO GROUPS``; None where it, or the stream, does not exist."""
    listed: list[dict[bytes, Any]] = [] if _is_missing(groups) else checked(groups)
    return next((group for group in listed if group[b"name"] == name), None)


def _is_missing(reply: Any) -> bool:
    """Whether XINFO found no such key."""
    return isinstance(reply, ReplyError) and reply.code == "ERR"
