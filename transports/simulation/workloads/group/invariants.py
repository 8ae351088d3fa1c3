"""Invariants of a consumer group: each promise of ``docs/contract.md`` is an oracle of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from streamcore import GroupBatch, GroupConsumer, StreamId
from streamcore.events import DeadLettered, EntriesClaimed, EntriesRecovered, GroupRecreated
from streamcore.group.taken import TOO_OFTEN
from streamcore.keys import dead_letters

from ...world.engine_state import in_flight
from ...world.invariants import Oracle
from ...world.stream_log import Key, fields_of, is_poison
from .delivery_log import DeliveryLog, Fate

if TYPE_CHECKING:
    from ...world.driver import World
    from .participant import Participant


class GroupOracle(Oracle):
    """An oracle that reads a group's delivery log."""

    def __init__(self, world: World, log: DeliveryLog) -> None:
        super().__init__(world)
        self.log = log

    def handed(self, member: Participant, batch: GroupBatch[bytes], entries: list[Any], keys: list[Key]) -> None:
        """Some entries of a batch are handed over."""


class NothingInvented(GroupOracle):
    """*GroupConsumer*: each is an entry of the stream, as its producer has written it."""

    def handed(self, member: Participant, batch: GroupBatch[bytes], entries: list[Any], keys: list[Key]) -> None:
        for id_, fields in entries:
            if fields != fields_of(fields[1]) or fields[1] not in self.log.sent:
                self.violated(f"{member.label} was handed {id_.decode()} with {fields}, which nobody has sent")


class InOrder(GroupOracle):
    """*GroupConsumer*: entries come in the order of their ids; an entry that comes late was told before (EntriesRecovered, EntriesClaimed).

    A batch is in order by itself. A first delivery that is older than a delivery before it follows an event that says why.
    """

    def __init__(self, world: World, log: DeliveryLog) -> None:
        super().__init__(world, log)
        self._last: dict[tuple[str, bytes], tuple[int, int]] = {}
        self._told: dict[tuple[str, bytes], int] = {}

    def heard(self, label: str, event: object) -> None:
        """An event was told."""
        if isinstance(event, (EntriesRecovered, EntriesClaimed)):
            self._told[label, event.stream] = self._told.get((label, event.stream), 0) + event.entries
        elif isinstance(event, GroupRecreated):
            self._last.pop((label, event.stream), None)

    def handed(self, member: Participant, batch: GroupBatch[bytes], entries: list[Any], keys: list[Key]) -> None:
        ids = [StreamId.parse(key.id) for key in keys]
        if any(one >= other for one, other in pairwise(ids)):
            self.violated(f"{member.label} was handed {ids} in one batch, which is out of order")
        place = (member.label, batch.key)
        last = self._last.get(place)
        if last is None or ids[0] > last:
            self._last[place] = ids[-1]
            return
        told = self._told.get(place, 0)
        late = sum(id_ <= last for id_ in ids)
        if batch.deliveries > 1 or late <= told:
            self._told[place] = max(0, told - late)
        elif self.log.fate(keys[0]).era == self.log.resets.get(batch.key, 0) and not self.log.resets.get(batch.key):
            self.violated(f"{member.label} was handed {ids[0]} after {last}, and nothing told that it comes late")


class NoNeedlessRepetition(GroupOracle):
    """*Duplicates*: an entry comes again for a reason only.

    It was refused; its process has ended, or has lost it, or its name, to another; the group was lost, or went back. An entry that
    the server has confirmed as settled is delivered again only in the last case; an earlier delivery may lie in a member's
    memory, until that notices. Entries for which the group was set back may be pending, too, and come once for each of both
    reasons.
    """

    def handed(self, member: Participant, batch: GroupBatch[bytes], entries: list[Any], keys: list[Key]) -> None:
        for key in keys:
            self._check(member, key, self.log.fate(key), member.delivered_at(key, batch.deliveries))

    def _check(self, member: Participant, key: Key, fate: Fate, since: float) -> None:
        if not fate.times or fate.era != self.log.resets.get(key.stream, 0):
            return
        if min(fate.since, since) < self.log.reset_at.get(key.stream, 0.0):
            return  # one of the two was delivered by a group that is gone
        wrong = self._wrong(member, fate, since)
        if wrong and not self.log.comes_again(key):
            self.violated(f"{member.label} was handed {key.id.decode()} ({key.name.decode()}){wrong}")

    def _wrong(self, member: Participant, fate: Fate, since: float) -> str:
        if fate.settled and since >= fate.settled:
            return f", which {fate.holder} has settled, and the server has confirmed it"
        if fate.settled or fate.excused or fate.holder in self.log.over or self._takes_over(member, fate):
            return ""
        if fate.holder == member.label:
            return " once more, and has neither refused nor lost it"
        if not member.may_claim(fate.at):
            return f", which {fate.holder} was handed {self.world.now - fate.at:.3f} s ago, and holds"
        return ""

    def _takes_over(self, member: Participant, fate: Fate) -> bool:
        """Whether its former process has lost its name to this process."""
        others = (one for one in self.log.members if one.label == fate.holder != member.label)
        return any(one.consumer == member.consumer for one in others)


class OnlySaidIsSettled(GroupOracle):
    """*GroupConsumer, manual ack*: nothing is settled unless the application, or a limit, has said so.

    A letter that a failover has lost was there; its entry is passed over where the group was lost as well, and is created again.
    """

    def look(self) -> None:
        log = self.log
        for stream in log.streams:
            letters: set[bytes] | None = None
            for id_ in log.settled_ids(stream):
                key = log.key_at(stream, id_)
                assert key is not None
                fate = log.fates.get(key)
                if fate is not None and (fate.acked or fate.buried or fate.robbed or fate.passed):
                    continue
                if letters is None:
                    letters = self.log.letters(stream)
                if key.name not in letters:
                    self.violated(
                        f"{id_.decode()} ({key.name.decode()}) of {stream.decode()} is settled, or passed over, and "
                        f"nobody has said so; {'it was never handed over' if fate is None else fate}"
                    )

    def judge(self) -> None:
        self.look()


class NothingLost(GroupOracle):
    """*GroupConsumer*: every entry of H is handed over until it is acknowledged or a dead letter.

    Judged when the world has healed: nothing is left that the group has not delivered, and nothing is pending.
    """

    def left(self) -> str:
        """The entries that are still to come; empty if there are none."""
        for stream in self.log.streams:
            there = self.log.history.stream(stream)
            group = self.log.of(stream)
            if group is None:
                if there.ids:
                    return f"{stream.decode()} has {len(there.ids)} entries and no group"
                continue
            if behind := len(there.after(group.last, 0)):
                return f"{behind} entries of {stream.decode()} were not delivered"
            if group.pending:
                id_, one = next(iter(group.pending.items()))
                which = f"{id_[0]}-{id_[1]} for {one.consumer.decode()}, {one.times} times"
                return f"{len(group.pending)} entries of {stream.decode()} are pending, such as {which}"
        return ""

    def judge(self) -> None:
        never = [key for stream in self.log.streams for key in self._never(stream)]
        self.world.notes["lost"] += len(never)
        if left := self.left():
            self.violated(f"{left}, {self.world.now - self.world.healed_at:.2f} s after all was well")
        for key in never:
            self.violated(f"{key.id.decode()} ({key.name.decode()}) of {key.stream.decode()} was never handed over")

    def _never(self, stream: bytes) -> Iterator[Key]:
        """The entries of the stream that no program was ever handed."""
        letters = self.log.letters(stream)
        for id_, fields in self.log.history.stream(stream).fields.items():
            key = Key(stream, b"%d-%d" % id_, fields[1])
            fate = self.log.fates.get(key)
            seen = fate is not None and (fate.times or fate.strangers or fate.robbed)
            if not seen and key.name not in letters:
                yield key


class AttemptsSeen(GroupOracle):
    """*Poison entry*: only attempts that an application saw are counted; a reconnect is not an attempt.

    But for the *Limits*: an entry that a process was given, and was not handed before it ended or another member claimed it, is
    counted once; a failover, and a group that is created again, may recount.
    """

    def look(self) -> None:
        self.log.tenures.note()

    def handed(self, member: Participant, batch: GroupBatch[bytes], entries: list[Any], keys: list[Key]) -> None:
        for key in keys:
            fate, tenures = self.log.fates.get(key), self.log.tenures
            seen = 0 if fate is None else fate.times + fate.strangers
            counted = batch.deliveries - 1
            if counted <= seen or self.log.is_recounted(key):
                continue
            explained = tenures.unseen(key, member.label) + tenures.inherits(key, member)
            if counted > seen + explained:
                self.violated(
                    f"{member.label} was handed {key.id.decode()} ({key.name.decode()}) at delivery {batch.deliveries}; it was "
                    f"handed over {seen} times before, and {explained} were lost with those who had it"
                )


class LettersDeserved(GroupOracle):
    """*Poison entry*: after ``max_deliveries`` attempts that applications saw; a reconnect is no attempt.

    A letter is its entry, with the reason. The counter may be ahead where *Limits* says so (``AttemptsSeen``): a process may end,
    or lose the entry, between counting and handing over. An entry that a process had settled before a failover has brought it back, and
    an entry that another process of the same name has in hand, was not delivered too often, whatever the counter says, unless the connection
    was not found by which that process held the name, or the entry was spared once for such a reason; and an entry that was given to another member before it was refused here for the
    first time, has not failed twice.
    """

    def __init__(self, world: World, log: DeliveryLog, max_deliveries: int | None) -> None:
        super().__init__(world, log)
        self._limit = max_deliveries
        self._read: dict[bytes, tuple[int, int]] = {}
        self.letters = 0

    def look(self) -> None:
        for stream in self.log.streams:
            letters = self.log.history.stream(dead_letters(stream))
            for id_ in letters.after(self._read.get(stream, (0, 0)), 0):
                self._judge(stream, letters.fields[id_])
                self._read[stream] = id_
                self.letters += 1

    def judge(self) -> None:
        self.look()

    def heard(self, member: Participant, event: DeadLettered) -> None:
        """A member has told of a letter; a fault of it is told when its engine has done."""
        for key, fate in self.log.named(event.stream, [event.id]):
            if wrong := self._wrong(member, event, key, fate):
                which = f"{event.id.decode()} ({key.name.decode()})"
                self.world.after(0.0, partial(self.violated, f"{member.label} has buried {which}{wrong}"))

    def _wrong(self, member: Participant, event: DeadLettered, key: Key, fate: Fate) -> str:
        if event.reason != TOO_OFTEN.decode():
            is_early = (
                event.deliveries == 2 and fate.times + fate.strangers < 2 and not (fate.buried or self._limit == 1)
            )
            return " at delivery 2, and nobody was handed it before" if is_early else ""
        if fate.refused or fate.excused or fate.holder in self.log.over:
            return ""
        if fate.holder == member.label:
            return ", which it had settled" if fate.settled else ""
        others = [one for one in self.log.members if one.label == fate.holder and one.consumer == member.consumer]
        in_hand = any(one.node is not None and not one.node.paused for one in others)
        in_hand = in_hand and self.log.tenures.has_begun_after(member.label, fate.at)  # else it does not know yet
        in_hand = in_hand and event.deliveries == self._limit  # else it was spared, once
        is_gone = any(self.log.predecessors.was_gone(_nonce(member), _nonce(one)) for one in others)
        return f", which {fate.holder} has in hand" if in_hand and not is_gone else ""

    def rewound(self, stream: bytes) -> None:
        """Letters may be gone as well."""
        self._read.pop(stream, None)

    def _judge(self, stream: bytes, flat: list[bytes]) -> None:
        name = flat[1]
        about = dict(zip(flat[4::2], flat[5::2], strict=True))
        if flat[:4] != fields_of(name) or about[b"dead:stream"] != stream:
            self.violated(f"a dead letter of {stream.decode()} holds {flat}")
        fate = self.log.fate(Key(stream, about[b"dead:id"], name))
        attempts = int(about[b"dead:attempts"])
        if fate.buried:
            return
        which = f"{about[b'dead:id'].decode()} ({name.decode()})"
        if self._limit is None or attempts < self._limit:
            self.violated(f"{which} is a dead letter after {attempts} attempts, of {self._limit}")
        tried = fate.times + fate.strangers
        key = Key(stream, about[b"dead:id"], name)
        unseen = self.log.tenures.unseen(key)
        if attempts > tried + fate.doubts + unseen + 1 and not self.log.is_recounted(key):
            self.violated(f"{which} is a dead letter after {attempts} attempts, and was handed over {tried} times")
        heirs = [one for one in self.log.members if one.label == fate.holder]
        inherited = any(self.log.tenures.inherits(key, heir) for heir in heirs)
        lost = fate.holder in self.log.over or fate.doubts or unseen or inherited
        if not (is_poison(name) or fate.excused or fate.times > 1 or fate.strangers or lost):
            self.violated(f"{which} is a dead letter, and it was handed over once, and not refused")


class InFlightBounded(GroupOracle):
    """*Slow consumer*: never more in flight than ``max_in_flight`` and a read, nor more ahead than the prefetch."""

    SLACK: Final = 2  # batches that were recovered or claimed, and are no reads

    def look(self) -> None:
        for node in self.world.nodes:
            engine = node.engine
            for entries, most in in_flight(engine) if isinstance(engine, GroupConsumer) else ():
                if entries > most:
                    self.violated(f"{node.label} has {entries} entries in flight, of {most}")


def _nonce(member: Participant) -> bytes:
    """The names of the connections of its present process."""
    engine = None if member.node is None else member.node.engine
    return engine.nonce if isinstance(engine, GroupConsumer) else b""
