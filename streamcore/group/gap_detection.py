"""Gap detection of a member: the history of the group in each stream (``group_history``), and the questions that feed it.

A look asks ``XINFO STREAM``, ``XRANGE`` at the anchor of a doubted stream, and ``XINFO GROUPS``. Each audit looks; with
``detect_gaps="always"`` a look precedes each read; and a member that enters a stream, for the first time, after a lost
connection, or because the group is gone, looks before anything else.

The stream must be asked before the group: members who read in between make a loss look smaller, and never a delivery look
like a loss. The anchor is asked for behind the stream: an entry that still stands then stood before. Replies of two
histories, with a failover between them, are left to the next look, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from ..connection.exchange import Arguments, Exchange
from ..connection.features import Feature
from ..engine.degradation import GAPS, Degradation
from ..entries import StreamId
from ..errors import UNAVAILABLE, ReplyError, WrongTypeError
from ..events import Event
from ..reading.stream_history import History
from ..reading.stream_identity import Sameness
from .group_history import GroupHistory, Reached
from .options import Membership


class Look(Exchange):
    """The exchange of a look before a read; ``parts``: how many of its commands are about each stream."""

    __slots__ = ("parts",)

    def __init__(self, questions: Mapping[bytes, Sequence[Arguments]], timeout: float) -> None:
        super().__init__([command for commands in questions.values() for command in commands], timeout)
        self.parts = {stream: len(commands) for stream, commands in questions.items()}


class Known(TypedDict, total=False):
    """Knowledge of a group beside its counters, explained at ``GroupHistory.judge``."""

    ours: bool
    another: bool
    above: StreamId | None
    pending: StreamId | None


class GroupGaps:
    """The gap detection of a member. Where XINFO STREAM is forbidden, ``Degraded`` says so once, and the stream is left out.

    With ``detect_gaps=None`` no look is made; yet a member that creates a group again must know its stream, so the histories
    are kept.
    """

    def __init__(self, member: Membership, emit: Callable[[Event], None], degradation: Degradation) -> None:
        self._member = member
        self._emit = emit
        self._degradation = degradation
        self._forgetful = True
        self._histories: dict[bytes, GroupHistory] = {}
        self._forbidden: set[bytes] = set()
        self._torn: set[bytes] = set()  # streams whose last look had replies of two histories

    def connected(self, server: Mapping[bytes, Any], *, same_run: bool = False) -> None:
        """Begin a connection, by the server's reply to HELLO; ``same_run``: it is known to be the run of the last connection."""
        self._forgetful = not Feature.GROUP_PLACE.of(server)
        self._forbidden.clear()
        strict = self._member.detect_gaps == "always"
        for history in self._histories.values():
            history.connected(forgetful=self._forgetful, strict=strict, same_run=same_run)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._histories.pop(stream, None)
        self._forbidden.discard(stream)
        self._torn.discard(stream)

    def received(self, stream: bytes, entries: list[Any]) -> None:
        """Note new entries that were delivered to us."""
        if (watch := self._histories.get(stream)) is not None:
            watch.identity.received(entries)

    @property
    def is_on(self) -> bool:
        """Whether gaps are to be told (``detect_gaps``)."""
        return self._member.detect_gaps is not None

    def doubt(self, stream: bytes) -> None:
        """Doubt a stream whose group has not answered a read: both may be others by now."""
        if (watch := self._histories.get(stream)) is not None:
            watch.identity.doubt()

    # -- entering, and the audit --------------------------------------------------------------------------------------

    def questions(self, stream: bytes, *, group_is_gone: bool = False) -> tuple[Arguments, ...]:
        """Build the questions that precede XINFO GROUPS: XINFO STREAM, and XRANGE at the anchor of a doubted stream."""
        if stream in self._forbidden or not (self.is_on or group_is_gone):
            return ()
        watch = self._histories.get(stream)
        anchor = watch.identity.question() if watch is not None and watch.identity.doubted else None
        return (("XINFO", "STREAM", stream), *(() if anchor is None else (anchor,)))

    def breaks(self, stream: bytes) -> int:
        """How often a stream was found not to be provably the known stream.

        Notes of it from before the last time, such as the low-water mark, are void.
        """
        watch = self._histories.get(stream)
        return 0 if watch is None else watch.breaks

    def sameness(self, stream: bytes, replies: Sequence[Any]) -> Sameness:
        """Compare a stream without our group with the known stream, by the replies to ``questions``."""
        watch = self._histories.get(stream)
        if watch is None or not replies or isinstance(replies[0], ReplyError):
            return Sameness.OTHER
        return watch.identity.judge(History.of(replies[0]), anchored=_is_anchored(replies))

    def hear(
        self,
        stream: bytes,
        replies: Sequence[Any],
        group: Reached | None,
        **known: Unpack[Known],
    ) -> None:
        """Judge the replies to ``questions``, and how far the group is (None: there is no group); emit the gaps.

        ``known``: see ``GroupHistory.judge``.
        """
        if replies and isinstance(replies[0], ReplyError):
            self._refused(stream, replies[0])
        elif group is not None and not self.is_on:
            self._watch(stream).identity.settle_at(group.id)
        elif replies and group is not None:
            self._degradation.is_forbidden(GAPS, ("XRANGE", stream), replies[-1])
            history, anchored = History.of(replies[0]), _is_anchored(replies)
            watch = self._watch(stream)
            if self._waits(stream, watch, is_torn=group.refutes(history) and not known.get("another")):
                watch.identity.doubt()
                return
            for gap in watch.judge(history, group, anchored=anchored, **known):
                self._emit(gap)

    def is_torn(self, told: Sequence[Any], group: Reached) -> bool:
        """Whether the replies about a stream and its group are of two histories: a failover has come between them."""
        return bool(told) and not isinstance(told[0], ReplyError) and group.refutes(History.of(told[0]))

    def _waits(self, stream: bytes, watch: GroupHistory, *, is_torn: bool) -> bool:
        """Tell whether to leave the judgement of a known stream to the next look, once, since the replies are torn."""
        waits = is_torn and watch.identity.seen is not None and stream not in self._torn
        (self._torn.add if waits else self._torn.discard)(stream)
        return waits

    def vanished(self, stream: bytes, pending: StreamId | None) -> None:
        """Emit the gaps of a known stream that is gone, and not put back; ``pending`` was the lowest pending id of its group."""
        if (watch := self._histories.get(stream)) is None:
            return
        if not self.is_on or stream in self._forbidden:
            watch.identity.vanish()
            return
        for gap in watch.vanish(pending):
            self._emit(gap)

    # -- before each read ---------------------------------------------------------------------------------------------

    def look(self, streams: Sequence[bytes], timeout: float) -> Look | None:
        """Build the look before a read of streams; None where ``detect_gaps`` is not ``"always"``, or nothing may be asked."""
        if self._member.detect_gaps != "always":
            return None
        asked = {
            stream: (*self.questions(stream), ("XINFO", "GROUPS", stream))
            for stream in streams
            if stream not in self._forbidden
        }
        return Look(asked, timeout) if asked else None

    def saw(self, look: Look) -> None:
        """Judge the replies of a look, stream by stream."""
        at = 0
        for stream, count in look.parts.items():
            *told, groups = look.replies[at : at + count]
            at += count
            listed: list[dict[bytes, Any]] = [] if isinstance(groups, ReplyError) else groups
            group = next((one for one in listed if one[b"name"] == self._member.group), None)
            self.hear(stream, told, None if group is None else Reached.of(group))

    def _watch(self, stream: bytes) -> GroupHistory:
        watch = self._histories.get(stream)
        if watch is None:
            watch = self._histories[stream] = GroupHistory(stream, forgetful=self._forgetful)
        return watch

    def _refused(self, stream: bytes, error: ReplyError) -> None:
        """Note the error of XINFO STREAM: the stream is gone, or its history is forbidden to us."""
        if error.code == "ERR":  # there is no such stream; another may come
            self._watch(stream).identity.vanish()
        elif stream not in self._forbidden and not (error.code in UNAVAILABLE or isinstance(error, WrongTypeError)):
            self._forbidden.add(stream)
            if self.is_on:
                self._degradation.refused(GAPS, ("XINFO", "STREAM", stream), error)


def _is_anchored(replies: Sequence[Any]) -> bool | None:
    """Whether XRANGE has found the anchor; None where it was not asked for, or not answered."""
    return None if len(replies) < 2 or isinstance(replies[1], ReplyError) else bool(replies[1])
