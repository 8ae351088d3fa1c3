"""The delivery log of a group: deliveries, settlements, and the reasons for which an entry may come again.

Members write it, and the nemesis does where it meddles; the invariants read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from streamcore import StreamId
from streamcore.keys import dead_letters

from ...world.invariants import TICK
from ...world.stream_log import ZERO, Id, Key, StreamLog
from .predecessors import Predecessors
from .tenures import Tenures

if TYPE_CHECKING:
    from streamcore.events import Gap
    from streamcore.reading.stream_history import History as Seen
    from streamcore.testing.model import Session
    from streamcore.testing.model.values import Group, Stream

    from ...world.driver import World
    from .participant import Participant


@dataclass(slots=True)
class Fate:
    """The deliveries and the settlement of an entry."""

    times: int = 0  # that somebody was handed it
    strangers: int = 0  # deliveries to members that are no programs of ours
    holder: str = ""  # the process that was handed it last
    at: float = 0.0
    era: int = 0  # that of the group, when it was handed over last
    acked: bool = False  # an application has said so, once
    buried: bool = False  # an application has wanted it to be a dead letter, once
    refused: bool = False  # the one that has it now does not want it
    settled: float = 0.0  # when the server has confirmed that to the process that asked; 0: not yet
    earlier: int = 0  # confirmations that are to come of what its holder has said of it in groups that are gone
    robbed: bool = False  # a stranger has settled it
    passed: bool = False  # a failover has lost its letter, and the group was created again above it
    deliveries: int = 0  # what the one that was handed it last was told of them
    nacked_at: float = 0.0  # refused for long, in a world that is well
    excused: bool = True  # it may be handed over once more
    since: float = 0.0  # when the server had delivered what was handed over last
    doubts: int = 0  # deliveries that the server may have counted, and nobody has got


class Loss(NamedTuple):
    """An entry that was removed unread, as the ``removed``-th of its stream.

    ``witnesses``: the processes that knew the stream then, by their last look; and whether they had seen the group further ahead
    before.
    """

    id: Id
    removed: int
    witnesses: dict[str, tuple[Seen, bool]]


@dataclass
class Losses:
    """The ids of entries that were removed before the group had been given them.

    ``believed``: streams whose counters an operator has set, which mislead members that count by them; ``shared``: of a stream that
    was believed, or went with a group in which there were several, or that was set ahead (``waived``), how much of it a process had
    counted as unread, alone there.
    """

    lost: dict[bytes, list[Id]] = field(default_factory=dict)
    recent: dict[bytes, list[Loss]] = field(default_factory=dict)  # from the streams as they are now
    believed: set[bytes] = field(default_factory=set)
    _former: set[bytes] = field(default_factory=set)  # those that were ever believed
    shared: dict[tuple[str, bytes], int] = field(default_factory=dict)
    waived: set[bytes] = field(default_factory=set)

    def believe(self, stream: bytes) -> None:
        """Note that an operator sets the counters of a stream."""
        self.believed.add(stream)
        self._former.add(stream)

    def go_back(self) -> None:
        """A failover may bring back streams whose counters were set, and that have gone since."""
        self.believed |= self._former

    def add(self, stream: bytes, *ids: Id) -> None:
        """Note entries as lost."""
        self.lost.setdefault(stream, []).extend(ids)


@dataclass
class DeliveryLog:
    """The entries of a group over all its streams. ``over``: processes that have ended, or know that they were replaced."""

    world: World
    history: StreamLog
    group: bytes
    streams: list[bytes]
    fates: dict[Key, Fate] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    resets: dict[bytes, int] = field(default_factory=dict)  # how often the group of a stream was lost, or went back
    reset_at: dict[bytes, float] = field(default_factory=dict)
    wanted_again: dict[bytes, Id] = field(default_factory=dict)  # a stranger wants what is up to these ids once more
    came_again: set[Key] = field(default_factory=set)  # what has come for that reason
    sent: set[bytes] = field(default_factory=set)  # names that a producer was told to append
    # Streams of which an undelivered entry was removed, and how.
    lost_unread: dict[bytes, str] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    on_gap: list[Callable[[str, Gap], None]] = field(default_factory=list)  # called with who tells, and what
    members: list[Participant] = field(default_factory=list)
    guarded: set[bytes] = field(default_factory=set)  # streams whose past all members know
    # Where somebody keeps those of a stream for a while.
    letters_aside: dict[bytes, bytes] = field(default_factory=dict)
    # When a consumer has read behind an id of a stream.
    asked: dict[tuple[bytes, bytes, bytes], float] = field(default_factory=dict)
    lost_letters: set[bytes] = field(default_factory=set)  # the names of those that a failover has lost
    predecessors: Predecessors = field(default_factory=Predecessors)
    handed: int = 0
    again: int = 0
    tenures: Tenures = field(init=False)
    _wanted_before: dict[bytes, Id] = field(default_factory=dict)  # again, in a stream that went as a whole
    _keys: dict[tuple[bytes, bytes], Key] = field(default_factory=dict)  # by stream and id, the last

    def __post_init__(self) -> None:
        self.tenures = Tenures(self)

    def fate(self, key: Key) -> Fate:
        """The fate of an entry; a new fate for an entry that was never handed over."""
        fate = self.fates.get(key)
        if fate is None:
            fate = self.fates[key] = Fate()
            self._keys[key.stream, key.id] = key
        return fate

    def named(self, stream: bytes, ids: Iterable[bytes]) -> list[tuple[Key, Fate]]:
        """The entries with these ids that were handed over, and their fates."""
        keys = [self._keys.get((stream, id_)) for id_ in ids]
        return [(key, self.fates[key]) for key in keys if key is not None]

    def of(self, stream: bytes) -> Group | None:
        """The group as the server has it now."""
        return self.history.group(stream, self.group)

    def key_at(self, stream: bytes, id_: bytes) -> Key | None:
        """The entry that has this id now."""
        ms, _, seq = id_.partition(b"-")
        fields = self.history.stream(stream).fields.get((int(ms), int(seq)))
        return None if fields is None else Key(stream, id_, fields[1])

    def excuse(self, stream: bytes, ids: Iterable[bytes]) -> None:
        """Allow entries to be handed over once more, to any member."""
        for _, fate in self.named(stream, ids):
            fate.excused = True

    def reset(self, stream: bytes) -> None:
        """Note that the group is about to go, or to go back: each entry may come again."""
        self.resets[stream] = self.resets.get(stream, 0) + 1
        self.reset_at[stream] = self.world.now
        self.lost_unread.pop(stream, None)
        self._came_not_yet(stream)

    def is_recounted(self, key: Key) -> bool:
        """Whether the group was lost, or went back, since the entry is there."""
        return self.reset_at.get(key.stream, 0.0) >= self.history.born.get(key.name, 0.0) - TICK

    def before_command(self, session: Session, words: list[bytes]) -> None:
        """Note the owners of entries before the server runs a command, which may change them.

        A member sets the group back that it has created, where that may pass over entries.
        """
        self.predecessors.before_command(session, words)
        if words[0].upper() == b"XCLAIM":
            self.tenures.note()
        if words[0].upper() == b"XREADGROUP" and words[2] == self.group:
            self.asked[words[3], words[-2], words[-1]] = self.world.now
        if words[0].upper() != b"XGROUP" or words[2] not in self.streams or words[3] != self.group:
            return
        group = self.of(words[2])
        if words[1].upper() == b"CREATE" and group is None and words[4] != b"$":
            self._pass_over(words[2], words[4])
        if words[1].upper() == b"SETID" and group is not None:
            self.want_again(words[2], group.last)

    def _pass_over(self, stream: bytes, start: bytes) -> None:
        """A group is created: entries below its start that had their letters in the history that a failover has lost are behind it."""
        last = StreamId.parse(start)
        for key, fate in self.fates.items():
            if key.stream == stream and key.name in self.lost_letters and StreamId.parse(key.id) <= last:
                fate.passed = True

    def want_again(self, stream: bytes, last: Id) -> None:
        """Note that the group is set back from an id: entries up to there come once more."""
        self.wanted_again[stream] = max(self.wanted_again.get(stream, ZERO), last)
        self._came_not_yet(stream)

    def _came_not_yet(self, stream: bytes) -> None:
        """Forget which entries have come again."""
        self.came_again = {key for key in self.came_again if key.stream != stream}

    def comes_again(self, key: Key) -> bool:
        """Whether an entry comes because the group was set back: for that reason it comes once."""
        if key in self.came_again or key.number > self.wanted_again.get(key.stream, ZERO):
            return False
        self.came_again.add(key)
        return True

    def removing(self, stream: bytes, ids: list[Id], how: str) -> None:
        """Note entries before they are removed: a ``Gap`` shall tell of each that was not delivered."""
        group = self.of(stream)
        lost = [id_ for id_ in ids if group is None or id_ > group.last]
        self.losses.add(stream, *lost)
        if lost and group is not None:
            there = self.history.stream(stream)
            removed = there.added - len(there.ids) + len(ids)
            watches = {one.label: one.watch(stream) for one in self.members if one.node is not None}
            known = {
                label: (watch.seen, watch.reached)
                for label, watch in watches.items()
                if watch is not None and _is_of(watch.seen, there)
            }
            self.losses.recent.setdefault(stream, []).extend(
                Loss(id_, removed, {label: (seen, far >= StreamId(*id_)) for label, (seen, far) in known.items()})
                for id_ in lost
            )
        unread = 0 if group is None else len(lost)
        if unread and group is not None and group.last != ZERO and stream in self.guarded:
            self.lost_unread[stream] = f"{unread} by {how}"
            self.world.tell("group", f"has not delivered {unread} of what goes now from {stream.decode()} by {how}")

    def dropping(self, stream: bytes) -> None:
        """Note the entries of a stream before it is deleted."""
        group = self.of(stream)
        self.losses.add(stream, *self.unread(stream))
        wanted, before = self.wanted_again.pop(stream, ZERO), self._wanted_before.get(stream, ZERO)
        self._wanted_before[stream] = max(wanted, before)  # a failover may bring back any of the streams that went
        is_set = stream in self.losses.believed or stream in self.losses.waived
        if group is not None and (len(group.consumers) > 1 or is_set):
            for member in self.members:
                watch = None if member.node is None else member.watch(stream)
                if watch is not None and watch.is_alone:
                    self.losses.shared[member.label, stream] = watch.unread
        self.losses.believed.discard(stream)
        self.losses.waived.discard(stream)

    def failed_over(self, stream: bytes) -> None:
        """A replica has taken over: it may have the stream that went, with the group as it was set."""
        group = self.of(stream)
        if group is not None and group.last < (wanted := self._wanted_before.get(stream, ZERO)):
            self.want_again(stream, wanted)

    def unread(self, stream: bytes) -> list[Id]:
        """The ids of entries that no application was handed: undelivered, or pending unseen."""
        group, there = self.of(stream), self.history.stream(stream)
        if group is None:
            return list(there.ids)
        pending = [
            id_ for id_ in group.pending if (key := self.key_at(stream, b"%d-%d" % id_)) and self._is_unseen(key)
        ]
        return [*pending, *there.after(group.last, 0)]

    def _is_unseen(self, key: Key) -> bool:
        fate = self.fates.get(key)
        return fate is None or not (fate.times or fate.strangers)

    def is_known(self, stream: bytes) -> bool:
        """Whether every member has seen the entries of a stream, and will miss entries that go."""
        members = [one for one in self.members if one.node is not None]
        return bool(members) and all(one.knows(stream) for one in members)

    def hears(self, label: str, gap: Gap) -> None:
        """A member tells of a gap."""
        self.lost_unread.pop(gap.stream, None)
        for told in self.on_gap:
            told(label, gap)

    def changed(self) -> None:
        """Expect no gap for past removals, after a member has begun or ended: it does not know them, or cannot tell."""
        self.lost_unread.clear()
        self.guarded.clear()

    def ends(self, label: str, consumer: bytes) -> None:
        """A process has ended: its entries may come again, and entries that it was about to get may be counted already."""
        self.over.add(label)
        self.tenures.ended(consumer)
        self.changed()
        for stream in self.streams:
            group = self.of(stream)
            if group is None:
                continue
            for id_, delivery in group.pending.items():
                if delivery.consumer == consumer and (key := self.key_at(stream, b"%d-%d" % id_)) is not None:
                    fate = self.fate(key)
                    fate.doubts = max(fate.doubts, delivery.times - fate.times - fate.strangers)

    def letters(self, stream: bytes) -> set[bytes]:
        """The names of the dead letters of a stream, also while a trial keeps them elsewhere."""
        key = self.letters_aside.get(stream, dead_letters(stream))
        return {flat[1] for flat in self.history.stream(key).fields.values()}

    def settled_ids(self, stream: bytes) -> list[bytes]:
        """The ids of settled entries: in the stream, delivered to the group, and not pending."""
        group = self.of(stream)
        if group is None:
            return []
        pending, last = group.pending, group.last
        return [b"%d-%d" % id_ for id_ in self.history.stream(stream).ids if id_ <= last and id_ not in pending]


def _is_of(seen: Seen, stream: Stream) -> bool:
    """Whether this is the stream that was seen, and not a stream that has begun since, as far as its counters tell."""
    return seen.last <= StreamId(*stream.last) and seen.added <= stream.added
