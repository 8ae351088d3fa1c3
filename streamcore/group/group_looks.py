"""Look at the group of a stream: the questions of a look, and the notes of what they tell.

A look asks about the stream, where gaps are to be told (``XINFO STREAM``), then about its groups (``XINFO GROUPS``) and the
pending entries (``XPENDING``). The stream first: a read between the replies makes a loss look smaller, and no delivery look
like a loss. A member that enters puts its name into the group behind that (``XGROUP CREATECONSUMER``): while the name is found
there, the group is the known group, and so is its stream.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..connection.exchange import Arguments
from ..engine.degradation import GAPS
from ..engine.script import Replies, Steps, checked
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from .context import GroupContext
from .gap_detection import GroupGaps
from .idle_consumers import IdleConsumers
from .low_water import LowWater
from .rounds import Rounds


class Seen(NamedTuple):
    """The replies of a look. ``told``: to ``GroupGaps.questions``; ``signed``: to the signature, if it was sent."""

    told: Replies
    groups: Any
    summary: Any
    signed: Replies

    def group(self, name: bytes) -> dict[bytes, Any] | None:
        """Find a group in the reply of ``XINFO GROUPS``; None where it, or the stream, does not exist."""
        listed: list[dict[bytes, Any]] = [] if self.is_absent else checked(self.groups)
        return next((group for group in listed if group[b"name"] == name), None)

    @property
    def is_absent(self) -> bool:
        """Whether the stream does not exist."""
        return is_missing(self.groups)


class GroupLooks:
    """The looks at the groups of a member's streams, and the low-water marks that they leave."""

    def __init__(self, context: GroupContext, gaps: GroupGaps, rounds: Rounds, idle_consumers: IdleConsumers) -> None:
        self.gaps = gaps
        self.low_water = LowWater(gaps)
        self._context = context
        self._rounds = rounds
        self._idle_consumers = idle_consumers
        self._signed: set[bytes] = set()  # the streams whose group has a consumer of our name

    def ask(self, stream: bytes, *more: Arguments) -> Steps[Seen]:
        """Look at the group of a stream, and send more commands behind."""
        group = self._context.member.group
        questions = self.gaps.questions(stream)
        replies = yield from self._context.ask(
            *questions, ("XINFO", "GROUPS", stream), ("XPENDING", stream, group), *more
        )
        at = len(questions)
        return Seen(replies[:at], replies[at], replies[at + 1], replies[at + 2 :])

    def ask_history(self, stream: bytes) -> Steps[Replies]:
        """Ask about a stream whose group is gone (``XINFO STREAM``), to find out whether it is the known stream."""
        questions = self.gaps.questions(stream, group_is_gone=True)
        return (yield from self._context.ask(*questions)) if questions else []

    def note(self, stream: bytes, group: dict[bytes, Any], summary: Any) -> int:
        """Note the low-water mark and the number of consumers; return how many entries are pending for us.

        Where the group moves on between the replies, the mark is low.
        """
        if isinstance(summary, NoGroupError):  # the next read meets it as well, and mends it
            return 0
        total, lowest, *_ = checked(summary)
        self._idle_consumers.note(stream, group[b"consumers"])
        delivered = StreamId.parse(group[b"last-delivered-id"])
        self.low_water.note(stream, delivered, StreamId.parse(lowest) if total else None)
        return pending_for(self._context.member.name, summary)

    def doubt(self, stream: bytes) -> None:
        """Doubt that the group, and its stream, are the known ones: the next turn of the audit looks at them."""
        self.gaps.doubt(stream)
        self._rounds.came(stream)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self.gaps.forget(stream)
        self.low_water.end(stream)
        self._idle_consumers.forget(stream)
        self._signed.discard(stream)

    # -- our name in the group ----------------------------------------------------------------------------------------

    def signature(self, stream: bytes) -> tuple[Arguments, ...]:
        """Build the command that puts our name into the group, where gaps are to be told."""
        member = self._context.member
        return (("XGROUP", "CREATECONSUMER", stream, member.group, member.name),) if self.gaps.is_on else ()

    def sign(self, stream: bytes, replies: Replies) -> None:
        """Note by the replies to the signature that our name is in the group."""
        if replies in ([0], [1]):
            self._signed.add(stream)
        elif replies:
            self._context.degradation.is_forbidden(GAPS, self.signature(stream)[0], replies[0])

    def unsign(self, stream: bytes) -> bool:
        """Doubt, until the next reply, that our name is in the group; return whether it was."""
        was_signed = stream in self._signed
        self._signed.discard(stream)
        return was_signed


def pending_for(name: bytes, summary: Any) -> int:
    """How many entries are pending for a consumer, by the reply of ``XPENDING``."""
    return next((int(count) for consumer, count in summary[3] or () if consumer == name), 0)


def is_missing(reply: Any) -> bool:
    """Whether the server found no such key."""
    return isinstance(reply, ReplyError) and reply.code == "ERR"
