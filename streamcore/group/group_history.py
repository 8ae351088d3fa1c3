"""What one group has lost of one stream, judged from look to look.

The server counts how many entries were ever added and how many are there; the others were removed. While nothing at or
below the group's last-delivered id is left, whatever was removed beyond the group's *place* (how many entries there were up
to that id) is lost, and the count is exact. While something is left there, only XDEL can take entries ahead of the group,
and the server knows the highest id that XDEL took.

Where the place is not known exactly, there are bounds to it. What was removed beyond the upper one is lost for certain; between
the two a loss is possible, unless something else proves that nothing ahead of the group was touched, and that is told as well:
*silence is a proof*. So is what a stream had that is another one now.

A gap that grows is told again, by what it has grown. What we have seen delivered is no loss, though the group be set back, or
created again at a lower id; as long as it has not come so far again, that may have been lost in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..entries import StreamId
from ..events import Gap
from ..reading.stream_history import History
from ..reading.stream_identity import Sameness, StreamIdentity
from ..stream_id import ZERO


class Reached(NamedTuple):
    """How far a group is, as XINFO GROUPS tells: its last-delivered id, and its place (None: the server lost count).

    ``alone``: it has one consumer, or none. ``lag``: how many entries it has to read yet (None: the server does not know).
    """

    id: StreamId
    place: int | None = None
    alone: bool = False
    lag: int | None = None

    @classmethod
    def of(cls, info: Mapping[bytes, Any]) -> Reached:
        id_ = StreamId.parse(info[b"last-delivered-id"])
        return cls(id_, info[b"entries-read"], info[b"consumers"] < 2, info.get(b"lag"))

    def refutes(self, history: History) -> bool:
        """Tell whether the stream that was asked just before had another history than the one of this group.

        The server knows no lag while XDEL has taken something ahead of the group, and entries that are added make it larger.
        """
        if self.lag is None or history.first is None:
            return False
        if history.deleted > max(self.id, history.first):
            return True
        return self.place is not None and history.first <= self.id and self.place + self.lag < history.added


class GroupHistory:
    """Watches one group of one stream; ``judge`` compares what the server says with what it said before.

    A ``forgetful`` server counts deliveries and calls that the group's place: too low once the group has passed over a gap,
    and any number below the true one after a failover or a restart. Its word is exact only from a time at which the group
    was seen at the end of the stream, over the same connection; before that it is a lower bound.
    """

    def __init__(self, stream: bytes, *, forgetful: bool) -> None:
        self.identity = StreamIdentity(stream)
        self.breaks = 0  # how often the stream was found not to be provably the one that it was
        self._stream = stream
        self._reached: StreamId = ZERO  # the highest id that was ever delivered to the group
        self._at: StreamId = ZERO  # where it was at the last look: below that, if it was set back
        self._place: int | None = None  # the server's word on that
        self._sure: StreamId = (
            ZERO  # up to here nothing was lost that is not told; a forgetful server lets us know late
        )
        self._least = 0  # how many entries there were up to there, and were told as lost beyond: at least,
        self._most: int | None = 0  # and at most; None: nobody knows
        self._deleted: StreamId = ZERO  # up to here it was told that XDEL took entries ahead
        self._ahead = 0  # told, not yet passed over, and never to be counted by a forgetful server
        self._hidden: int | None = 0  # what the server's place lacks; None: unknown
        self._is_alone = False  # nobody else was in the group, at the last two looks
        self._was_alone = False  # at the last one: others may have been about to come
        self._is_strict = (
            False  # what the group has passed since the last look, we may have passed, and not have looked
        )
        self.connected(forgetful=forgetful)

    def connected(self, *, forgetful: bool, strict: bool = False, same_run: bool = False) -> None:
        """The connection is a new one, perhaps to another server, unless that is known to be in the ``same_run``.

        ``strict``: we look before every read, and the reply of a look may have been lost with that of its read.
        """
        self._forgetful = forgetful
        self._hidden = None if forgetful else 0
        self._is_strict |= strict
        self.identity.reconnected(same_run=same_run)

    def judge(
        self,
        history: History,
        group: Reached,
        *,
        anchored: bool | None = None,
        ours: bool = False,
        another: bool = False,
        above: StreamId | None = None,
        pending: StreamId | None = None,
    ) -> list[Gap]:
        """Tell the gaps since the last look; at the first, those ahead of the group.

        ``anchored`` and ``ours``: see ``StreamIdentity.judge``. ``another``: the group is not the one that was seen before. Somebody
        else has created it, and perhaps passed over what is ``above`` an id; or we have, and ``pending`` was the lowest id
        that was pending in the former one.
        """
        was_noticed = self.identity.doubted
        is_set = self._is_set(group, is_ours=ours or not was_noticed)
        if group.id < max(self._at, self.identity.delivered):
            self.identity.doubt()  # a group that was set back may as well be that of another stream
        seen, sameness = self.identity.seen, self.identity.judge(history, anchored=anchored, ours=ours)
        self.breaks += sameness is not Sameness.SAME
        if seen is None or sameness is Sameness.BACK:
            gaps = self._begin(history, group)
        elif sameness is Sameness.SAME:
            if another or is_set:
                self._count_anew(group)
            gaps = self._go_on(history, group, seen)
            if above is not None and group.id > above:
                gaps = self._widen(gaps, above, None)
            if pending is not None and not _is_whole(history, pending):
                gaps = self._widen(gaps, group.id, _end(history))
            if another or is_set:
                # In between the group may have been further ahead, and have been given what is gone.
                gaps = [replace(gap, entries=None, certain=False) for gap in gaps]
        else:
            is_counted = was_noticed and sameness is Sameness.OTHER
            is_new = self.identity.is_absent  # what the former one has lost is told
            former = [] if is_new else [self._former(history, seen, self._unread(seen) if is_counted else 0)]
            gaps = [*former, *self._begin(history, group)]
            if sameness is Sameness.OTHER and history.removed and (is_new or group.id == ZERO):
                lost = None if is_new else history.removed
                gaps.append(Gap(self._stream, ZERO, _end(history), lost, certain=False))
        self._at, self._place, self._is_strict = group.id, group.place, False
        self._is_alone, self._was_alone = group.alone and self._was_alone, group.alone
        self.identity.settle(history)
        return gaps

    def vanish(self, pending: StreamId | None) -> list[Gap]:
        """Tell what went with the stream: there is none under its name now. ``pending``: see ``judge``."""
        self.identity.vanish()
        gaps = self.judge(History(), Reached(ZERO), another=True, pending=pending)
        self.identity.miss()
        return gaps

    def _is_set(self, group: Reached, *, is_ours: bool) -> bool:
        """Whether the group may have been further ahead since the last look, and have been given what is gone.

        A group that stays where it is keeps its place, whatever is removed: whoever sets it, or creates it again, changes that; or
        sets it back to where it was, and we have been given once more what it had been given.
        """
        if self.identity.delivered_from is not None and self.identity.delivered_from <= self._at:
            return True
        if group.id != self._at:
            return group.place is None or group.id < max(self._at, self.identity.delivered)
        return group.id < self.identity.delivered or group.place != self._place or (group.place is None and not is_ours)

    def _possible(self, after: StreamId, before: StreamId | None) -> Gap:
        return Gap(self._stream, after, before, None, certain=False)

    def _former(self, history: History, seen: History, unread: int) -> Gap:
        """The gap at the end of the stream that was known, as far as that can be told.

        It begins where the group was, that may have been set back. The other one may begin at lower ids; or be an earlier state of
        the same one, which has some of that still.
        """
        end, after = _end(history), self._at
        before = end if end is not None and end > max(self._reached, seen.last) else None
        is_gone = history.first is None or history.first > seen.last or history.last <= after
        return Gap(self._stream, after, before, unread or None, certain=bool(unread) and self._is_alone and is_gone)

    def _unread(self, seen: History) -> int:
        """How many entries were there at the last look that had not been delivered, and were not delivered to us since."""
        if self._most != self._least or self._at != self._reached:
            return 0
        return max(0, seen.added - self._least - self.identity.own)

    # -- one and the same stream --------------------------------------------------------------------------------------

    def _go_on(self, history: History, group: Reached, seen: History) -> list[Gap]:
        gaps: list[Gap] = []
        after, reached, least = self._sure, self._reached, self._least
        if group.id > reached:
            is_skipped = self._is_strict or self._has_skipped(history, group)
            self._follow(history, group)
            if is_skipped and not _is_untouched(history, seen, reached, least):
                gaps.append(self._possible(after, _end(history)))
        if self._reached == history.last:
            gaps = self._caught_up(history, group) or gaps
        else:
            gaps += self._lost(history, group, seen)
        if group.id < self._reached and not _is_untouched(history, seen, group.id, 0):
            gaps = self._widen(gaps, group.id, _end(history))
        return gaps

    def _has_skipped(self, history: History, group: Reached) -> bool:
        """Whether a group with no member but us has gone further than by what we were given of it."""
        if self._least != self._most or not (self._is_alone and group.alone) or self.identity.doubted:
            return False
        at_end = group.id == history.last
        place = history.added if at_end else None if self._forgetful else group.place
        return place is not None and place > self._least + self.identity.own

    def _widen(self, gaps: list[Gap], after: StreamId, before: StreamId | None) -> list[Gap]:
        """Add a gap that is possible, in the place of those that are no more than that, and lie behind its beginning."""
        kept = [gap for gap in gaps if gap.certain or gap.after < after]
        return [*kept, self._possible(after, before)]

    def _follow(self, history: History, group: Reached) -> None:
        """The group has gone on."""
        if not self._forgetful:
            self._sure = group.id
        elif history.first is not None and history.first <= self._sure >= history.deleted:
            self._sure = self._reached  # and not more: others may have passed a gap since the stream was asked
        self._reached, self._deleted = group.id, max(self._deleted, group.id)
        self._hidden = None if self._hidden is None else self._hidden + self._ahead
        self._ahead = 0
        self._locate(group, self._least)

    def _count_anew(self, group: Reached) -> None:
        """The server counts from a place that the group was given, or from one that it will find by itself."""
        self._hidden = None if self._forgetful and group.place is not None else 0
        self._ahead = 0

    def _locate(self, group: Reached, least: int) -> None:
        """Where the group is: exactly, or no less than that."""
        if group.place is None:
            self._hidden = 0  # once the server finds its place again, nothing is lacking
            self._least, self._most = least, None
        elif self._hidden is None:
            self._least, self._most = max(least, group.place), None
        else:
            self._least = self._most = group.place + self._hidden

    def _caught_up(self, history: History, group: Reached) -> list[Gap]:
        """The group is at the end of the stream, so its place is known, and what a forgetful server did not count."""
        self._least = self._most = history.added
        self._ahead = 0
        after, self._sure = self._sure, self._reached
        if not self._forgetful or group.place is None or group.id != self._reached:
            return []
        known, self._hidden = self._hidden, history.added - group.place
        passed = 0 if known is None else self._hidden - known
        return [Gap(self._stream, after, self._reached, passed)] if passed > 0 else []

    def _lost(self, history: History, group: Reached, seen: History | None) -> list[Gap]:
        """Tell the gaps ahead of the group."""
        after, removed = self._sure, history.removed - (0 if seen is None else seen.removed)
        is_all_gone = history.last > self._reached and (history.first is None or history.first > self._reached)
        gaps: list[Gap] = []
        if is_all_gone and self._most is not None and history.removed > self._most:
            missing = history.removed - self._most
            gaps = [Gap(self._stream, after, _end(history), missing if self._least == self._most else None)]
            self._sure = self._reached
            self._ahead += missing if self._forgetful and group.place is not None else 0
        elif history.deleted > self._deleted and (seen is not None or group.place is not None):
            # A place is kept only while nothing ahead of it is deleted: XDEL has come after the last delivery.
            gaps = [Gap(self._stream, after, _end(history), 1 if removed == 1 and seen is not None else None)]
            self._least += 1
            self._hidden = None if self._forgetful else 0  # some XDELs are counted, others are not
        elif not _is_untouched(history, seen, self._reached, self._least):
            gaps = [self._possible(after, _end(history))]
            self._hidden = None if self._forgetful else 0
        self._deleted = max(self._deleted, history.deleted)
        self._account(history, is_all_gone, removed if gaps else 0)
        return gaps

    def _account(self, history: History, is_all_gone: bool, more: int) -> None:
        """Count the gaps ahead of the group as told. ``more`` entries may have been removed there while older entries stand."""
        if self._reached <= history.last and (history.newest is None or history.newest <= self._reached):
            self._least = self._most = history.added  # nothing is left ahead
        elif is_all_gone:
            self._least = self._most = history.removed
        elif self._most is not None:
            self._most += more

    # -- the first look -----------------------------------------------------------------------------------------------

    def _begin(self, history: History, group: Reached) -> list[Gap]:
        """The first look at a stream, or at another one under its name."""
        self._hidden = None if self._forgetful else 0
        self._reached = self._sure = group.id
        self._deleted = group.id
        self._ahead = 0
        self._locate(group, 0)
        if group.id == history.last:
            return self._caught_up(history, group)
        if group.id == ZERO:
            self._least = self._most = history.removed  # whoever begins at the beginning takes what is there
            self._deleted = history.deleted
            return []
        return self._lost(history, group, None)


def _is_untouched(history: History, seen: History | None, mark: StreamId, least: int) -> bool:
    """Whether it is proven that nothing above an id was removed since the last look; ``least`` entries are accounted for."""
    before = History() if seen is None else seen
    removed = history.removed - before.removed
    if not removed or history.last <= mark:
        return True
    if history.first is None or history.first > mark:
        return history.removed <= least
    # Trimming begins at the oldest entry, and has not come so far. Only XDEL can have taken something above.
    is_oldest = removed == 1 and before.first is not None and before.first != history.first and before.first <= mark
    return is_oldest or history.deleted <= mark


def _is_whole(history: History, lowest: StreamId) -> bool:
    """Whether everything is there from an id on."""
    is_there = history.first is not None and history.first <= lowest and history.deleted < lowest
    return is_there or not history.removed


def _end(history: History) -> StreamId | None:
    """Below it is what was removed, as far as anybody can tell."""
    first, deleted = history.first, history.deleted
    return first if first is None or first > deleted else StreamId(deleted.ms, deleted.seq + 1)
