"""Invariants of the gaps that members of a group tell: none is kept back, and none is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamcore import StreamId
from streamcore.events import Gap

from ...world.stream_log import Id
from .invariants import GroupOracle

if TYPE_CHECKING:
    from ...world.driver import World
    from ...world.engine_state import Watch
    from ...world.invariants import EventsInOrder
    from .delivery_log import DeliveryLog, Loss
    from .participant import Participant


class GapsAnnounced(GroupOracle):
    """*Undelivered entries trimmed under the group*: ``Gap``, in every case where all members look before every read.

    A member that has begun since does not know earlier entries; so only removals count at which all members knew.
    """

    def look(self) -> None:
        for stream in self.log.streams:
            if self.log.is_known(stream):
                self.log.guarded.add(stream)

    def left(self) -> str:
        for stream, how in self.log.lost_unread.items():
            return f"entries of {stream.decode()} that nobody had read were removed ({how}), and no Gap has told"
        return ""

    def judge(self) -> None:
        if left := self.left():
            self.violated(left)


class SilenceIsAProof(GroupOracle):
    """*Entries are trimmed or deleted before they were delivered*: a member that has looked since tells, as long as they lie ahead.

    The members that knew the stream before; entries that have been passed over when they look may escape them.
    """

    def __init__(self, world: World, log: DeliveryLog, events: EventsInOrder) -> None:
        super().__init__(world, log)
        self._events = events

    def look(self) -> None:
        for stream, recent in self.log.losses.recent.items():
            if stream in self.log.losses.believed:
                continue
            for member in self.log.members:
                if member.node is not None and (watch := member.watch(stream)) is not None:
                    self._check(member, stream, watch, [one for one in recent if member.label in one.witnesses])

    def _check(self, member: Participant, stream: bytes, watch: Watch, lost: list[Loss]) -> None:
        seen, at, reached = watch.seen, watch.at, watch.reached
        ahead = [
            one.id
            for one in lost
            if seen is not one.witnesses[member.label][0]
            and one.removed <= seen.removed
            and at < StreamId(*one.id) <= seen.last
            and (one.witnesses[member.label][1] or reached < StreamId(*one.id))
        ]
        if not ahead:
            return
        gaps = [event for event in self._events.told(member.label) if isinstance(event, Gap) and event.stream == stream]
        for id_ in ahead:
            if not any(_is_within(gap, id_) for gap in gaps):
                self.violated(
                    f"{member.label} has looked, and has not told that {id_[0]}-{id_[1]} of {stream.decode()} is lost"
                )

    def rewinding(self, stream: bytes) -> None:
        """It is another stream now, or is as it was before."""
        self.log.losses.recent.pop(stream, None)

    def judge(self) -> None:
        self.look()


class DamageTold(GroupOracle):
    """*The group vanishes, with its stream*: entries of the stream that the group had not been given are told by a ``Gap``.

    Where all members knew the stream, and none has begun or ended since. The entries that all members had seen ahead lie within
    it. A failover may bring the stream back.
    """

    def __init__(self, world: World, log: DeliveryLog) -> None:
        super().__init__(world, log)
        self._untold: dict[bytes, int] = {}
        self._ahead: dict[bytes, list[Id]] = {}  # that all members had seen, and no gap covers
        self._went: set[bytes] = set()  # just now
        self._lives = ""

    def dropping(self, stream: bytes) -> None:
        """A stream is about to go as a whole."""
        group = self.log.of(stream) if stream in self.log.streams else None
        if group is None or not self.log.is_known(stream):
            return
        if unread := self.log.history.stream(stream).after(group.last, 0):
            self._untold[stream] = len(unread)
            self._ahead[stream] = [id_ for id_ in unread if self._is_seen_ahead(stream, StreamId(*id_))]
            self._went.add(stream)
            self.world.tell("group", f"has not delivered {len(unread)} of what goes now with {stream.decode()}")

    def _is_seen_ahead(self, stream: bytes, id_: StreamId) -> bool:
        """Whether all members have seen the stream go on to an entry, and the group before it."""
        watches = [one.watch(stream) for one in self.log.members if one.node is not None]
        return all(watch.at < id_ <= watch.seen.last for watch in watches if watch is not None)

    def rewinding(self, stream: bytes) -> None:
        """It begins anew, or it is back again."""
        if stream not in self._went:
            self._untold.pop(stream, None)
            self._ahead.pop(stream, None)
        self._went.discard(stream)

    def heard(self, _: str, gap: Gap) -> None:
        """A member tells."""
        self._untold.pop(gap.stream, None)
        self._ahead[gap.stream] = [id_ for id_ in self._ahead.get(gap.stream, ()) if not _is_within(gap, id_)]

    def look(self) -> None:
        lives = " ".join(sorted(one.label for one in self.log.members if one.node is not None))
        if lives != self._lives:
            self._lives = lives
            self._untold.clear()
            self._ahead.clear()

    def left(self) -> str:
        for stream, unread in self._untold.items():
            return f"{unread} entries of {stream.decode()} that nobody had read are gone with it, and no Gap has told"
        for stream, ids in self._ahead.items():
            if ids:
                return f"{len(ids)} entries of {stream.decode()} that had been seen ahead are gone with it, and no Gap covers them"
        return ""

    def judge(self) -> None:
        if left := self.left():
            self.violated(left)


class GapsAreTrue(GroupOracle):
    """*Only what was delivered is trimmed*: no ``Gap`` is certain of entries that were not lost; possible gaps are counted.

    A setting of a stream's counters (XSETID) is believed, as long as that stream is there. A member that was alone in a group when it
    looked last may tell of all that it had not been given, though another one has come since, and was given some of it, before the
    stream went.
    """

    def __init__(self, world: World, log: DeliveryLog) -> None:
        super().__init__(world, log)
        self._false: list[str] = []

    def heard(self, label: str, gap: Gap) -> None:
        """A member tells, from within its engine."""
        lost = sum(_is_within(gap, id_) for id_ in self.log.losses.lost.get(gap.stream, ()))
        if not gap.certain:
            self.world.notes["possible"] += 1
            self.world.notes["in vain"] += not lost
        elif lost < (gap.entries or 1) and not self._is_excused(label, gap):
            self._false.append(f"{label} tells {gap}, and {lost} entries were lost there")

    def _is_excused(self, label: str, gap: Gap) -> bool:
        losses = self.log.losses
        counted = losses.shared.pop((label, gap.stream), 0)
        return gap.stream in losses.believed or (gap.entries is not None and gap.entries <= counted)

    def look(self) -> None:
        for wrong in self._false:
            self.violated(wrong)

    def judge(self) -> None:
        self.look()


def _is_within(gap: Gap, id_: Id) -> bool:
    one = StreamId(*id_)
    return gap.after < one and (gap.before is None or one < gap.before)
