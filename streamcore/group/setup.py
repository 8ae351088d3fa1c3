"""Set up a member in the group of each of its streams, on every new connection, and whenever a group has vanished.

- *Name*: take a lease on it; the process that held it before is disconnected, or was told and has stopped.
- *Stale connection*: after a half-open drop the server still holds our previous connection, blocked in XREADGROUP, and
  serves it first. It is closed by the id from its HELLO (``CLIENT KILL``), provided that the server is the same run and
  lists our own name under it.
- *Group*: look at it (``group_looks``), and create it where it is missing (``group_creation``).
"""

from __future__ import annotations

from typing import Any

from ..engine.script import Replies, Steps
from ..engine.together import pages, together
from ..entries import StreamId
from ..errors import NoPermissionError, ReplyError, WrongTypeError, about
from ..events import StreamAwaited
from ..fencing import Identity
from ..stream_id import ZERO
from .absent_streams import AbsentStreams
from .context import GroupContext
from .group_creation import GroupCreation, Outcome
from .group_history import Reached
from .group_looks import GroupLooks
from .name_lease import NameLease
from .recovery import Backlog
from .rounds import Rounds
from .stale_connections import StaleConnections


class Setup:
    """Enters streams, and makes sure of their groups; its state survives reconnects.

    ``present``: the reading link's connection.
    """

    def __init__(
        self,
        context: GroupContext,
        lease: NameLease,
        looks: GroupLooks,
        absent: AbsentStreams,
        backlog: Backlog,
        rounds: Rounds,
    ) -> None:
        self.present: Identity | None = None
        self._context = context
        self._lease = lease
        self._looks = looks
        self._absent = absent
        self._backlog = backlog
        self._rounds = rounds
        self._creation = GroupCreation(context, looks, absent)
        self._stale = StaleConnections(context)
        self._known: set[bytes] = set()  # the streams whose group we have seen

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
            entering = {stream: self.enter_stream(stream, turned_back=turned_back) for stream in page}
            yield from together([self._look_after(stream, part) for stream, part in entering.items()])
        self._rounds.entered(context.now, context.block)

    def enter_stream(self, stream: bytes, *, turned_back: bool = False) -> Steps[None]:
        """Take the name in a stream's group, and make sure that the group exists."""
        assert self.present is not None
        former = yield from self._lease.take(stream, self.present)
        is_gone = yield from self._stale.close(former, self.present)
        if not is_gone:
            self._backlog.spare(stream)
        self._lease.done_with(stream)
        yield from self._ensure_group(stream, turned_back=turned_back)

    def arrive(self, stream: bytes) -> Steps[None]:
        """Make sure of the group of a stream that was waited for; where it is there, its entries have all come since."""
        yield from self._look_after(stream, self._ensure_group(stream))
        if stream in self._known and stream not in self._absent:
            self._backlog.begin(stream, ZERO)
            self._rounds.came(stream)

    def check_name(self, stream: bytes) -> Steps[None]:
        """Check that the name is still ours in a stream's group. Raises ``ConsumerFencedError``."""
        assert self.present is not None
        yield from self._lease.check(stream, self.present)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._known.discard(stream)
        self._creation.forget(stream)
        self._looks.forget(stream)
        self._backlog.forget(stream)
        self._absent.end(stream)
        self._lease.forget(stream)
        self._rounds.forget(stream)

    def _look_after(self, stream: bytes, part: Steps[None]) -> Steps[None]:
        """Run a part about a stream that is read; where it was removed meanwhile, forget also what was noted since."""
        yield from part
        if stream not in self._context.member.streams:
            self.forget(stream)

    # -- the group ----------------------------------------------------------------------------------------------------

    def mend(self) -> Steps[None]:
        """Make sure of all groups, since a read tells only that a group is gone, and doubt that their streams are the same."""
        context = self._context
        for page in pages(context.present, context.looks):
            for stream in page:
                self._looks.doubt(stream)
            yield from together([self._look_after(stream, self._ensure_group(stream)) for stream in page])

    def _ensure_group(self, stream: bytes, *, turned_back: bool = False) -> Steps[None]:
        """Make sure that the group exists (``XINFO GROUPS``), by creating it where that is allowed; tell gaps.

        Raises ``WrongTypeError`` and ``NoPermissionError``, with the name of the stream.
        """
        try:
            is_there = yield from self._look_or_create(stream, turned_back)
        except (WrongTypeError, NoPermissionError) as error:
            raise about(error, "stream", stream) from None
        if is_there:
            self._known.add(stream)
            self._absent.end(stream)
        else:
            self._miss(stream)

    def _look_or_create(self, stream: bytes, turned_back: bool) -> Steps[bool]:
        """Look at the group, or create it; return False where its stream does not exist, and is waited for."""
        looks, group_name = self._looks, self._context.member.group
        self._backlog.quiet.discard(stream)
        was_signed = looks.unsign(stream)  # until the reply has come
        seen = yield from looks.ask(stream, *looks.signature(stream))
        signed, group = seen.signed, seen.group(group_name)
        if group is not None and looks.gaps.is_torn(seen.told, Reached.of(group)):
            seen = yield from looks.ask(stream)
            group = seen.group(group_name)
        elif group is not None and signed == [1]:  # it was listed without us
            group = {**group, b"consumers": group[b"consumers"] + 1}
        if group is None:
            is_lost = stream in self._known
            self._creation.check_leave(stream, is_lost=is_lost)
            if seen.is_absent and self._absent.covers(is_lost=is_lost):
                return False
            return (yield from self._create(stream, seen.told, is_lost=is_lost))
        looks.sign(stream, signed)
        ours, is_another = was_signed and signed == [0], was_signed and signed == [1]
        yield from self._meet(stream, seen.told, group, ours=ours, is_another=is_another)
        if not (looks.note(stream, group, seen.summary) or isinstance(seen.summary, ReplyError)):
            self._backlog.quiet.add(stream)
        delivered = StreamId.parse(group[b"last-delivered-id"])
        if stream not in self._known:
            self._backlog.begin(stream, ZERO if self._context.member.backlog else delivered)
        if turned_back:
            self._backlog.bring_back(stream, delivered)
        return True

    def _create(self, stream: bytes, told: Replies, *, is_lost: bool) -> Steps[bool]:
        """Create the group; return False where its stream has vanished, and is waited for."""
        looks, group_name = self._looks, self._context.member.group
        outcome = yield from self._creation.create(stream, told, is_lost=is_lost)
        if outcome is Outcome.ABSENT:
            return False
        if outcome is Outcome.CREATED:
            self._backlog.quiet.add(stream)
        else:
            seen = yield from looks.ask(stream)
            if (group := seen.group(group_name)) is not None:
                yield from self._meet(stream, seen.told, group, is_another=is_lost)
                looks.note(stream, group, seen.summary)
        self._backlog.begin(stream, ZERO)
        return True

    def _meet(
        self, stream: bytes, told: Replies, group: dict[bytes, Any], *, ours: bool = False, is_another: bool
    ) -> Steps[None]:
        """Judge a group that exists, by the replies; perhaps it ``is_another`` group than the known group, created since."""
        mark, reached = self._looks.low_water.of(stream), Reached.of(group)
        above = mark.id if is_another and mark is not None else None
        if (founding := self._creation.untold(stream)) is not None:
            told = told or (yield from self._looks.ask_history(stream))
            event = yield from self._creation.tell(founding, told)
            above, reached = None, reached if event is founding else Reached(ZERO)
        self._looks.gaps.hear(stream, told, reached, ours=ours, another=is_another, above=above)

    def _miss(self, stream: bytes) -> None:
        """Wait for a stream that does not exist; tell the gap if it did exist."""
        context, absent = self._context, self._absent
        mark = self._looks.low_water.end(stream)
        if stream not in absent:
            absent.begin(stream)
            context.emit(StreamAwaited(stream, context.member.group))
        if stream in self._known:
            self._looks.gaps.vanished(stream, None if mark is None else mark.pending)
