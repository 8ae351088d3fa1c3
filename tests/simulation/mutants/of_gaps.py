"""What goes wrong in telling what a group has lost."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

GAPS: Final = "streamcore.group.gap_detection"
HISTORY: Final = "streamcore.group.group_history"

GROUP_GAPS: Final = (
    Mutant(
        "group-gap-untold",
        GAPS,
        "for gap in watch.judge(history, group, anchored=anchored, **known):",
        "for gap in watch.judge(history, group, anchored=anchored, **known)[:0]:",
        "all clients: entries trimmed before the group came to them are missed in silence",
    ),
    Mutant(
        "possible-gap-untold",
        HISTORY,
        "elif not _is_untouched(history, seen, self._reached, self._least):",
        "elif False:",
        "where the server has lost count of a group, it is silent about what was trimmed ahead of it",
    ),
    Mutant(
        "gap-of-a-lost-look-untold",
        HISTORY,
        "is_skipped = self._is_strict or self._has_skipped(history, group)",
        "is_skipped = False",
        "what was passed over by a read whose reply was lost, together with that of the look before it",
    ),
    Mutant(
        "gap-ahead-of-a-group-set-back-untold",
        HISTORY,
        "if group.id < self._reached and not _is_untouched(history, seen, group.id, 0):",
        "if False:",
        "what was delivered once, by a group that is gone, is taken for processed",
    ),
    Mutant(
        "what-is-possible-told-as-certain",
        HISTORY,
        "gaps = [replace(gap, entries=None, certain=False) for gap in gaps]",
        "pass",
        "what others were given meanwhile, and was deleted then, is told as lost",
    ),
    Mutant(
        "place-that-has-changed-unnoticed",
        HISTORY,
        "group.id < self.identity.delivered or group.place != self._place or (group.place is None and not is_ours)",
        "False",
        "a group that was set back to where it was at the last look: what it was given since, and was deleted, is told as lost",
    ),
    Mutant(
        "another-stream-untold",
        HISTORY,
        "gaps = [*former, *self._begin(history, group)]",
        "gaps = self._begin(history, group)",
        "a stream that was deleted, and began anew: 940 unread entries are gone without a word",
    ),
    Mutant(
        "group-that-gives-once-more-was-not-set-back",
        HISTORY,
        "if self.identity.delivered_from is not None and self.identity.delivered_from <= self._at:",
        "if False:",
        "seed 2002081: a group that was created again and has come to where it was had been further ahead; a loss is certain that is none",
    ),
    Mutant(
        "former-stream-that-is-back-is-gone",
        HISTORY,
        "certain=bool(unread) and self._is_alone and is_gone)",
        "certain=bool(unread) and self._is_alone)",
        "seed 2008642: a failover has taken a stream back, and what is there still is told as lost for certain",
    ),
    Mutant(
        "former-gap-begins-where-the-group-had-been",
        HISTORY,
        "end, after = _end(history), self._at",
        "end, after = _end(history), self._reached",
        "seed 2010945: a group was set back, its stream is another one, and what came again is gone without a word",
        scenario="applications",
    ),
    Mutant(
        "place-of-another-group-lacks-what-the-former-one-did",
        HISTORY,
        "self._is_recounted |= self._hidden != 0 or self._ahead != 0\n        self._hidden = None if self._forgetful and group.place is not None else 0\n",
        "pass\n",
        "seed 2011931: a forgetful server counts a new group anew, and a loss is taken for one that was passed over long ago",
        scenario="applications",
    ),
    Mutant(
        "count-of-a-former-group-believed",
        HISTORY,
        "self._possible(after, reached) if was_recounted else Gap(self._stream, after, reached, passed)",
        "Gap(self._stream, after, reached, passed)",
        "seed 2021154: a failover brings a group back whose count lacks what it passed over long ago, and that is told as lost",
        scenario="applications",
    ),
    Mutant(
        "torn-look-believed",
        "streamcore.group.setup",
        "if group is not None and looks.gaps.is_torn(seen.told, Reached.of(group)):",
        "if False:",
        "seed 2003724: a failover comes between the two replies of a look, and what was never lost is told as lost for certain",
    ),
)
