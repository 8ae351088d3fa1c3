"""Create a group (``XGROUP CREATE``) where that is allowed, and tell of it once, also where the reply was lost.

A group that has vanished is created again just below its low-water mark, never at ``$``; at the beginning of a stream that is
not provably the known stream. A stream that begins anew while that is under way has its group set back (``XGROUP SETID``).
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TypeAlias

from ..engine.script import Replies, Steps, checked
from ..entries import StreamId
from ..errors import BusyGroupError, NoGroupError, ReplyError
from ..events import GroupCreated, GroupRecreated
from ..stream_id import ZERO
from .absent_streams import AbsentStreams
from .context import GroupContext
from .group_history import Reached
from .group_looks import GroupLooks, is_missing

Founding: TypeAlias = GroupCreated | GroupRecreated
"""The event of a creation, with the id that the group begins behind."""


class Outcome(Enum):
    """The outcome of a creation. ``TAKEN``: another consumer was faster; ``ABSENT``: the stream has vanished, and is waited for."""

    CREATED = auto()
    TAKEN = auto()
    ABSENT = auto()


class GroupCreation:
    """Creates the group of a stream; a creation without a reply is remembered until a look has shown it."""

    def __init__(self, context: GroupContext, looks: GroupLooks, absent: AbsentStreams) -> None:
        self._context = context
        self._looks = looks
        self._gaps = looks.gaps
        self._low_water = looks.low_water
        self._absent = absent
        self._untold: dict[bytes, Founding] = {}  # by stream whose group we are creating

    def check_leave(self, stream: bytes, *, is_lost: bool) -> None:
        """Check that a group may be created; ``is_lost``: it was there before. Raises ``NoGroupError``."""
        member = self._context.member
        if not member.create or (is_lost and member.on_group_lost == "raise"):
            group, key = member.group.decode(errors="replace"), stream.decode(errors="replace")
            what = "has lost its group" if is_lost else "has no group"
            remedy = "pass on_group_lost='recreate'" if member.create else "pass create=True"
            raise NoGroupError("NOGROUP", f"stream {key!r} {what} {group!r}; create it, or {remedy}")

    def create(self, stream: bytes, told: Replies, *, is_lost: bool) -> Steps[Outcome]:
        """Create the group of a stream, by the replies to ``GroupGaps.questions``, and tell the gaps; ``is_lost``: it was there before."""
        context, member, gaps = self._context, self._context.member, self._gaps
        start = "0" if stream in self._absent else member.start  # all its entries have come while it was waited for
        if is_lost:
            told = told or (yield from self._looks.ask_history(stream))
            gaps.hear(stream, told, None)
            start = self._low_water.restart_point(stream, told)
        founding = self._untold[stream] = (GroupRecreated if is_lost else GroupCreated)(stream, member.group, start)
        waits = self._absent.covers(is_lost=is_lost)
        create = ("XGROUP", "CREATE", stream, member.group, start, *(() if waits else ("MKSTREAM",)))
        signature = self._looks.signature(stream)
        questions = gaps.questions(stream, group_is_gone=is_lost)
        reply, *replies = yield from context.ask(create, *signature, *questions)
        signed, seen, told = replies[: len(signature)], told, replies[len(signature) :]
        if isinstance(reply, ReplyError):
            self._untold.pop(stream, None)
        if isinstance(reply, BusyGroupError):
            return Outcome.TAKEN
        if waits and is_missing(reply):  # it was there a moment ago
            if is_lost:
                gaps.hear(stream, seen, Reached(ZERO), another=True)
            return Outcome.ABSENT
        checked(reply)
        self._looks.sign(stream, signed)
        mark = self._low_water.of(stream)
        event = yield from self.tell(founding, told)
        if is_lost:
            reached = Reached(StreamId.parse(event.start))
            pending = None if mark is None else mark.pending
            gaps.hear(stream, told, reached, another=True, pending=pending)
            self._low_water.note(stream, reached.id, None)
        elif start != "$":
            gaps.hear(stream, told, Reached(StreamId.parse(start)))
        return Outcome.CREATED

    def untold(self, stream: bytes) -> Founding | None:
        """The creation of a group whose reply was lost; None for any other group."""
        return self._untold.get(stream)

    def tell(self, founding: Founding, told: Replies) -> Steps[Founding]:
        """Tell that we have created a group; set it back first (``XGROUP SETID``) where the stream has begun anew meanwhile."""
        context, member, stream = self._context, self._context.member, founding.stream
        is_past = isinstance(founding, GroupRecreated) and StreamId.parse(founding.start) != ZERO
        event = founding
        if is_past and self._low_water.restart_point(stream, told) != event.start:
            event = replace(event, start="0")
            checked(*(yield from context.ask(("XGROUP", "SETID", stream, member.group, event.start))))
        self._untold.pop(stream, None)
        context.emit(event)
        return event

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._untold.pop(stream, None)
