"""The view that a node has of its cluster: which nodes there are, their roles and epochs, and who owns each slot.

Views differ until gossip has brought them together. A node tells of itself only (``Header``): its role, its epoch and its slots;
a claim of a higher epoch wins, and a claim that is outdated is answered by the owner's own. A slot whose owner has ceased to claim it
stays with that owner in the view; the next node that claims it has it, by whatever epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from streamcore.commands.cluster import SLOTS


@dataclass(slots=True)
class Member:
    """A node as another knows it. ``primary``: the id of a replica's primary.

    ``hostname`` is announced beside ``host``, empty for none. ``is_suspected`` (``fail?``) is an opinion of this view,
    ``is_failed`` (``fail``) of the majority.
    """

    id: bytes
    host: bytes
    port: int
    hostname: bytes = b""
    primary: bytes | None = None
    epoch: int = 0
    is_suspected: bool = False
    is_failed: bool = False


class Header(NamedTuple):
    """The message of a node about itself: its role, its epoch, its slots; and the nodes that it knows."""

    member: Member
    current_epoch: int
    slots: frozenset[int]
    known: tuple[Member, ...]


class Change(NamedTuple):
    """Slots that got another owner in a view; None: no owner."""

    slots: frozenset[int]
    old: bytes | None
    new: bytes | None


@dataclass(eq=False)
class View:
    """A node's view. ``owners`` has the id of each slot's owner, None where no node owns it.

    ``migrating`` and ``importing`` name the other node of slots that are on their way, with Valkey in the views of replicas too. ``changes`` collects the slots that
    changed hands, until the node takes them. ``forgotten``: ids that are not learned again. ``unclaimed``: slots that their
    owners have ceased to claim. ``is_cut_off``: the node does not reach the majority of the primaries.
    """

    myself: Member
    members: dict[bytes, Member] = field(default_factory=dict[bytes, Member])
    owners: list[bytes | None] = field(default_factory=lambda: [None] * SLOTS)
    owned: dict[bytes, set[int]] = field(default_factory=dict[bytes, set[int]])
    migrating: dict[int, bytes] = field(default_factory=dict[int, bytes])
    importing: dict[int, bytes] = field(default_factory=dict[int, bytes])
    changes: list[Change] = field(default_factory=list[Change])
    forgotten: set[bytes] = field(default_factory=set[bytes])
    unclaimed: set[int] = field(default_factory=set[int])
    current_epoch: int = 0
    is_cut_off: bool = False

    def __post_init__(self) -> None:
        self.members[self.myself.id] = self.myself

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def is_down(self) -> bool:
        """Whether the node refuses all keys: a slot is not served, or it is cut off (``cluster_state:fail``)."""
        if self.is_cut_off or sum(map(len, self.owned.values())) < SLOTS:
            return True
        return any(slots and self.members[id_].is_failed for id_, slots in self.owned.items())

    def slots_of(self, id_: bytes) -> set[int]:
        """The slots of a node."""
        return self.owned.get(id_, set())

    def owner(self, slot: int) -> Member | None:
        """The owner of a slot."""
        id_ = self.owners[slot]
        return None if id_ is None else self.members[id_]

    def shard(self, id_: bytes) -> list[Member]:
        """A primary and its replicas."""
        return [one for one in self.members.values() if id_ in (one.id, one.primary)]

    @property
    def primary(self) -> bytes:
        """The id of the primary of the node's own shard: itself, or its primary's."""
        return self.myself.primary or self.myself.id

    def voters(self) -> list[Member]:
        """The primaries that have slots, whose majority decides."""
        return [one for one in self.members.values() if one.primary is None and self.slots_of(one.id)]

    def ranges(self, id_: bytes | None = None) -> Iterator[tuple[int, int, bytes]]:
        """The slots in ranges of a common owner: first, last, owner; of a single node, or of all."""
        first, owner = 0, self.owners[0]
        for slot in range(1, SLOTS + 1):
            other = self.owners[slot] if slot < SLOTS else None
            if other != owner or slot == SLOTS:
                if owner is not None and (id_ is None or id_ == owner):
                    yield first, slot - 1, owner
                first, owner = slot, other

    def copy_slots(self, other: View) -> None:
        """Take over the owners of another view's slots, without changes to tell: a cluster begins so."""
        self.owners = other.owners.copy()
        self.owned = {id_: slots.copy() for id_, slots in other.owned.items()}
        self.current_epoch = other.current_epoch

    # -- changing -----------------------------------------------------------------------------------------------------

    def assign(self, slots: Iterable[int], id_: bytes | None) -> None:
        """Give slots to a node, or to none."""
        left = frozenset(slots)
        groups: list[tuple[bytes | None, frozenset[int]]] = [(None, left.difference(*self.owned.values()))]
        groups += [(old, left & own) for old, own in self.owned.items()]
        for old, group in groups:
            if group and old != id_:
                self._pass_on(group, old, id_)

    def _pass_on(self, slots: frozenset[int], old: bytes | None, new: bytes | None) -> None:
        if old is not None:
            self.owned[old] -= slots
        if new is not None:
            self.owned.setdefault(new, set()).update(slots)
        for slot in slots:
            self.owners[slot] = new
        self.unclaimed -= slots
        if old == self.primary and new != self.myself.id:
            for slot in slots & self.migrating.keys():
                del self.migrating[slot]
        self.changes.append(Change(slots, old, new))

    def bump(self) -> None:
        """Make the node's own claims the newest (``CLUSTER BUMPEPOCH``)."""
        self.current_epoch += 1
        self.myself.epoch = self.current_epoch

    def claim(self, primary: bytes) -> None:
        """Take the place of a primary, with its slots, as its replica that was elected."""
        self.myself.primary = None
        self.bump()
        self.assign(self.slots_of(primary), self.myself.id)

    def follow(self, primary: bytes) -> None:
        """Become a replica of another node, without slots."""
        self.myself.primary = primary
        self.assign(self.slots_of(self.myself.id), primary)

    def remove(self, id_: bytes) -> None:
        """Forget a node (``CLUSTER FORGET``); its slots are not served."""
        self.assign(self.slots_of(id_), None)
        self.owned.pop(id_, None)
        self.members.pop(id_, None)
        self.forgotten.add(id_)

    # -- gossip -------------------------------------------------------------------------------------------------------

    def header(self) -> Header:
        """Make the node's message about itself."""
        me = self.myself
        return Header(
            _copy(me), self.current_epoch, frozenset(self.slots_of(me.id)), tuple(map(_copy, self.members.values()))
        )

    def learn(self, header: Header, *, drops: bool) -> set[bytes]:
        """Take a header in; return the ids of the owners of slots that the sender claims wrongly.

        ``drops``: a primary that became a replica leaves its slots to no node until the new owner is heard of, as with Redis
        7.0; else to its new primary.
        """
        told = header.member
        if told.id in self.forgotten or told.id == self.myself.id:
            return set()
        for other in header.known:
            if other.id not in self.members and other.id not in self.forgotten:
                self.members[other.id] = _copy(other)
        member = self.members.setdefault(told.id, _copy(told))
        self.current_epoch = max(self.current_epoch, header.current_epoch)
        member.host, member.port, member.hostname = told.host, told.port, told.hostname
        member.epoch = max(member.epoch, told.epoch)
        self._learn_role(member, told.primary, drops=drops)
        return self._learn_slots(member, header.slots) if told.primary is None else set()

    def _learn_role(self, member: Member, primary: bytes | None, *, drops: bool) -> None:
        if primary is not None and member.primary is None:
            heir = None if drops or primary not in self.members else primary
            self.assign(self.slots_of(member.id), heir)
        member.primary = primary

    def _learn_slots(self, member: Member, slots: frozenset[int]) -> set[bytes]:
        own = self.slots_of(member.id)
        self.unclaimed = (self.unclaimed - (own & slots)) | (own - slots)
        # Only SETSLOT changes a slot that is imported.
        claimed = slots - own - self.importing.keys()
        right: set[bytes] = set()
        won = (claimed & self.unclaimed).union(claimed.difference(*self.owned.values()))
        for id_, held in self.owned.items():
            if contested := claimed & held - won:
                if self.members[id_].epoch < member.epoch:
                    won |= contested
                elif self.members[id_].epoch > member.epoch:
                    right.add(id_)
        self.assign(won, member.id)
        return right


def _copy(one: Member) -> Member:
    return Member(one.id, one.host, one.port, one.hostname, one.primary, one.epoch)
