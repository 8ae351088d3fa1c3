"""Find the gaps of a group in a stream: entries that were removed (by trimming or ``XDEL``) before any member had them.

A *look* compares the counters of the stream (``XINFO STREAM``) and of the group (``XINFO GROUPS``) with the look before. The
server counts how many entries were ever added and how many are there; the others were removed. The group's *place* is how
many entries there were up to its last-delivered id. While no entry at or below that id is left, every entry that was removed
beyond the place is lost, and the count is exact. While an entry is left there, only XDEL can take entries ahead of the group,
and the server knows the highest id that XDEL took.

Where the place is not known exactly, it has bounds. Entries that were removed beyond the upper bound are lost for certain.
Between the bounds a loss is possible, and is told as an uncertain ``Gap``, unless something else proves that no entry ahead
of the group was touched: *silence is a proof*. The entries of a stream whose name another stream has by now are told in the
same way.

A gap that grows is told again, by its growth. An entry that was delivered to us is no loss, though the group be set back
(``XGROUP SETID``), or created again at a lower id; until the group has come as far again, entries in between may be lost, and
that is told.
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
    """How far a group is, by XINFO GROUPS: its last-delivered id, and its place (None: the server lost count).

    ``alone``: it has a single consumer, or none. ``lag``: how many entries it has to read yet (None: the server does not
    know).
    """

    id: StreamId
    place: int | None = None
    alone: bool = False
    lag: int | None = None

    @classmethod
    def of(cls, info: Mapping[bytes, Any]) -> Reached:
        """Parse a group's row of the reply to ``XINFO GROUPS``."""
        id_ = StreamId.parse(info[b"last-delivered-id"])
        return cls(id_, info[b"entries-read"], info[b"consumers"] < 2, info.get(b"lag"))

    def refutes(self, history: History) -> bool:
        """Tell whether the stream, asked just before, had another history than this group's: a failover came between.

        The server knows no lag while XDEL has taken an entry ahead of the group, and entries that are added make it larger.
        """
        if self.lag is None or history.first is None:
            return False
        if history.deleted > max(self.id, history.first):
            return True
        return self.place is not None and history.first <= self.id and self.place + self.lag < history.added


class GroupHistory:
    """The history of a group in a stream; ``judge`` compares the server's counters with its counters at the last look.

    A ``forgetful`` server counts deliveries and calls that the group's place (``entries-read``): too low once the group has
    passed over a gap, and any number below the true place after a failover or a restart. Its word is exact only from a time
    at which the group was seen at the end of the stream, over the same connection; before that it is a lower bound. Likewise
    where its place was too low, and it has lost count since: a failover may bring back the group that it counted before.
    """

    def __init__(self, stream: bytes, *, forgetful: bool) -> None:
        self.identity = StreamIdentity(stream)
        self.breaks = 0  # looks at which the stream was not provably the known stream
        self._stream = stream
        self._reached: StreamId = ZERO  # the highest id that was ever delivered to the group
        self._at: StreamId = ZERO  # its last-delivered id at the last look: below ``_reached`` if it was set back
        self._place: int | None = None  # ``entries-read`` at the last look
        self._sure: StreamId = ZERO  # every loss up to this id is told; a forgetful server lets us know late
        self._least = 0  # how many entries there were up to ``_reached``, or are told as lost beyond: at least,
        self._most: int | None = 0  # and at most; None: unknown
        self._deleted: StreamId = ZERO  # entries that XDEL took ahead of the group are told up to this id
        self._ahead = 0  # entries told as lost, not yet passed over, which a forgetful server never counts
        self._hidden: int | None = 0  # entries that ``entries-read`` lacks; None: unknown
        self._is_recounted = False  # the place was too low, and the server has lost count since
        self._is_alone = False  # the group had no other consumer, at the last two looks
        self._was_alone = False  # at the last look: others may have been about to come
        self._is_strict = False  # we may have passed over entries since the last look, and the reply of a look be lost
        self.connected(forgetful=forgetful)

    def connected(self, *, forgetful: bool, strict: bool = False, same_run: bool = False) -> None:
        """Begin a connection, perhaps to another server, unless the server is known to be in the ``same_run``.

        ``strict``: a look precedes every read, and its reply may have been lost with the reply of its read.
        """
        self._forgetful = forgetful
        self._hidden = None if forgetful else 0
        self._is_recounted = False
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
        """Compare the counters with the last look, and return the gaps since; at the first look, the gaps ahead of the group.

        ``anchored`` and ``ours``: see ``StreamIdentity.judge``. ``another``: the group is not the known group, but was
        created since: by another client, which may have passed over the entries ``above`` an id; or by us, and ``pending``
        was the lowest pending id of the former group.
        """
        was_noticed = self.identity.doubted
        is_set = self._is_set(group, is_ours=ours or not was_noticed)
        if group.id < max(self._at, self.identity.delivered):
            self.identity.doubt()  # a group that was set back may be the group of another stream
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
                # In between the group may have been further ahead, and have been delivered entries that are gone.
                gaps = [replace(gap, entries=None, certain=False) for gap in gaps]
        else:
            is_counted = was_noticed and sameness is Sameness.OTHER
            is_new = self.identity.is_absent  # the losses of the former stream are told
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
        """Return the gaps that a stream leaves which does not exist any more. ``pending``: see ``judge``."""
        self.identity.vanish()
        gaps = self.judge(History(), Reached(ZERO), another=True, pending=pending)
        self.identity.miss()
        return gaps

    def _is_set(self, group: Reached, *, is_ours: bool) -> bool:
        """Tell whether the group may have been further ahead since the last look, and have been delivered entries that are gone.

        A group that stays at its id keeps its place, also when entries are removed. To set it (``XGROUP SETID``), or to create it
        again, changes the place; or sets it back to the same id, and the entries up to there are delivered to us once more.
        """
        if self.identity.delivered_from is not None and self.identity.delivered_from <= self._at:
            return True
        if group.id != self._at:
            return group.place is None or group.id < max(self._at, self.identity.delivered)
        return group.id < self.identity.delivered or group.place != self._place or (group.place is None and not is_ours)

    def _possible(self, after: StreamId, before: StreamId | None) -> Gap:
        """Make a gap that is possible, of an unknown number of entries."""
        return Gap(self._stream, after, before, None, certain=False)

    def _former(self, history: History, seen: History, unread: int) -> Gap:
        """Make the gap at the end of the known stream, when another stream has its name; ``unread``: its proven size.

        It begins at the group's last id, which may have been set back. The other stream may begin at lower ids; or be an
        earlier state of the known stream (after a failover), which still has some of these entries.
        """
        end, after = _end(history), self._at
        before = end if end is not None and end > max(self._reached, seen.last) else None
        is_gone = history.first is None or history.first > seen.last or history.last <= after
        return Gap(self._stream, after, before, unread or None, certain=bool(unread) and self._is_alone and is_gone)

    def _unread(self, seen: History) -> int:
        """Count the entries that were not delivered at the last look, nor to us since; 0 where the place is not exact."""
        if self._most != self._least or self._at != self._reached:
            return 0
        return max(0, seen.added - self._least - self.identity.own)

    # -- the same stream -----------------------------------------------------------------------------------------------

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
        """Tell whether a group without other members has passed over entries that were not delivered to us."""
        if self._least != self._most or not (self._is_alone and group.alone) or self.identity.doubted:
            return False
        at_end = group.id == history.last
        place = history.added if at_end else None if self._forgetful else group.place
        return place is not None and place > self._least + self.identity.own

    def _widen(self, gaps: list[Gap], after: StreamId, before: StreamId | None) -> list[Gap]:
        """Add a possible gap, in the place of the possible gaps that begin behind its beginning; certain gaps stay."""
        kept = [gap for gap in gaps if gap.certain or gap.after < after]
        return [*kept, self._possible(after, before)]

    def _follow(self, history: History, group: Reached) -> None:
        """Note that the group has gone on to a higher id, and locate its new place."""
        if not self._forgetful:
            self._sure = group.id
        elif history.first is not None and history.first <= self._sure >= history.deleted:
            self._sure = self._reached  # and not more: others may have passed a gap since the stream was asked
        self._reached, self._deleted = group.id, max(self._deleted, group.id)
        self._hidden = None if self._hidden is None else self._hidden + self._ahead
        self._ahead = 0
        self._locate(group, self._least)

    def _count_anew(self, group: Reached) -> None:
        """Note that the group was set or created: the server counts from the place that it was given, or finds it by itself."""
        self._is_recounted |= self._hidden != 0 or self._ahead != 0
        self._hidden = None if self._forgetful and group.place is not None else 0
        self._ahead = 0

    def _locate(self, group: Reached, least: int) -> None:
        """Set the bounds of the group's place by ``entries-read``: exact, or no less than ``least``."""
        if group.place is None:
            self._is_recounted |= self._hidden != 0
            self._hidden = 0  # once the server finds its place again, nothing is lacking
            self._least, self._most = least, None
        elif self._hidden is None or self._is_recounted:
            self._least, self._most = max(least, group.place), None
        else:
            self._least = self._most = group.place + self._hidden

    def _caught_up(self, history: History, group: Reached) -> list[Gap]:
        """Set the place of a group at the end of the stream: all entries ever added. Return the gap that the server hid."""
        self._least = self._most = history.added
        self._ahead = 0
        after, self._sure = self._sure, self._reached
        if not self._forgetful or group.place is None or group.id != self._reached:
            return []
        known, self._hidden = self._hidden, history.added - group.place
        passed = 0 if known is None else self._hidden - known
        was_recounted, self._is_recounted = self._is_recounted, False
        if passed <= 0:
            return []
        reached = self._reached
        return [self._possible(after, reached) if was_recounted else Gap(self._stream, after, reached, passed)]

    def _lost(self, history: History, group: Reached, seen: History | None) -> list[Gap]:
        """Return the gaps ahead of the group: entries that were removed there since the last look (``seen``), or ever."""
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
        """Begin at the first look at a stream, or at another stream under its name; return the gaps ahead of the group."""
        self._hidden = None if self._forgetful else 0
        self._reached = self._sure = group.id
        self._deleted = group.id
        self._ahead = 0
        self._locate(group, 0)
        self._is_recounted = False
        if group.id == history.last:
            return self._caught_up(history, group)
        if group.id == ZERO:
            self._least = self._most = history.removed  # a group at 0 reads every entry that is there
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
    """Tell whether no entry was removed from an id on."""
    is_there = history.first is not None and history.first <= lowest and history.deleted < lowest
    return is_there or not history.removed


def _end(history: History) -> StreamId | None:
    """Return the id below which the removed entries lie, as far as the counters tell; None: up to the end of the stream."""
    first, deleted = history.first, history.deleted
    return first if first is None or first > deleted else StreamId(deleted.ms, deleted.seq + 1)
