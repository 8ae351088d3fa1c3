"""The calm after the storm: all is done and nothing breaks any more, so whatever still happens must have a reason.

Some trouble is made on purpose, one piece at a time, in a world that is well otherwise: then it is known what has to come of it, and
how soon. That is where limits are sharp which the storm blurs: how fast an entry is handed over and settled, that what is held is
renewed, that the connection of a member is dialled again at once and its ghost is laid, that a lost group is created again where it
should be. Each seed draws what it tries; ``play`` returns when all is quiet again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streamcore import GroupConsumer
from streamcore.events import (
    AckMissed,
    ConnectAttemptFailed,
    Disconnected,
    GroupCreated,
    GroupRecreated,
    LeaseLost,
)

from .data_faults import STRANGER
from .history import HELD, LATER, fields_of
from .member import CLAIM_IDLE, HOLD_SECONDS, LATER_SECONDS, Member
from .oracles import EventsInOrder, Oracle
from .program import OPTIONS, RECOVERY

if TYPE_CHECKING:
    from streamcore.events import Event
    from transports.memory.model import Session

    from .book import Book
    from .history import Key
    from .network import Wire
    from .node import Node
    from .scene import Scene
    from .world import World

SOON: Final = 0.5
"""Seconds within which an entry is handed over, and is settled, in a world that is well: some round trips, and not a whole read."""

AUDITED: Final = 2.2
"""Seconds within which an audit finds what has changed: it waits for a read that blocks."""


class QuietWhenHealthy(Oracle):
    """*All interfaces*: where nothing breaks, no connection is given up; and an idle program is idle."""

    WRITES: Final = 60  # in a second; all intervals are a tenth of the defaults

    def __init__(self, world: World, events: EventsInOrder) -> None:
        super().__init__(world)
        self._events = events
        self._heard: dict[str, int] = {}
        self._writes: dict[str, int] = {}
        self._since = 0.0

    def begin(self) -> None:
        """From now on nothing breaks."""
        self._since = self.world.now
        for node in self.world.nodes:
            self._heard[node.label] = len(self._events.told(node.label))
            self._writes[node.label] = node.writes

    def end(self) -> None:
        """Until now nothing did."""
        seconds = self.world.now - self._since
        for node in self.world.nodes:
            for event in self._events.told(node.label)[self._heard.get(node.label, 0) :]:
                if isinstance(event, (Disconnected, ConnectAttemptFailed)):
                    self.violated(f"{node.label} has told {event}, and nothing was wrong")
            writes = node.writes - self._writes.get(node.label, node.writes)
            if writes > self.WRITES * max(1.0, seconds):
                self.violated(f"{node.label}: {writes} writes within {seconds:.2f} s in which next to nothing happened")


class Prompt(Oracle):
    """*GroupConsumer*: an entry is handed over as soon as it is there, and acknowledgements leave within ``ack_delay``."""


class StaysRenewed(Oracle):
    """*Slow consumer*: leases are renewed while a handler runs; nobody else gets the entry."""


class DelayKept(Oracle):
    """*nack*: the entry comes again after the delay, not before, and not much later."""


class OwnersAck(Oracle):
    """*ack after another consumer claimed*: where it is fenced it does nothing, and ``LeaseLost`` tells; else ``AckMissed`` may."""


class BeginsAnew(Oracle):
    """*Back-off*: reset by success. A connection that did its work, and breaks, is dialled again at once."""

    WITHIN: Final = 0.03


class LaysItsGhost(Oracle):
    """*Link lost*: the old connection is killed by its id, and what it was given meanwhile is handed over at once."""


class KillsItselfOnly(Oracle):
    """*Link lost*: the old connection is killed only if it is provably ours: ids begin anew with each run of a server."""

    def killed(self, wire: Wire, victims: list[Session]) -> None:
        """A program has ended these connections."""
        if wire.node is None:
            return
        for session in victims:
            other = wire.host.wires.get(session)
            if other is not None and other.node is not None and not _same_name(wire.node, other.node):
                self.violated(f"{wire.label} has killed {other.label}, which is not its own")


class CreatesAgain(Oracle):
    """*Failover, group*: a group that is gone is created again below what may be unprocessed, never at ``$``, and that is told."""


def _members(book: Book) -> list[Member]:
    return [one for one in book.members if isinstance(one, Member)]


def _same_name(one: Node, other: Node) -> bool:
    ours, others = one.program, other.program
    return isinstance(ours, Member) and isinstance(others, Member) and ours.consumer == others.consumer


class Calm:
    """What is tried in the calm of one world."""

    def __init__(self, scene: Scene, events: EventsInOrder, is_done: Callable[[], bool], patience: float) -> None:
        world = scene.world
        self.scene = scene
        self.world = world
        self._events = events
        self._is_done = is_done
        self._patience = patience
        self._lots = world.lots("calm")
        self._names = 0
        self._quiet = QuietWhenHealthy(world, events)
        self._kills = KillsItselfOnly(world)
        scene.host.on_kill = self._kills.killed

    def play(self) -> None:
        """Try what the seed has drawn."""
        world = self.world
        self._run(
            max(0.0, world.healed_at + RECOVERY + 1.0 - world.now)
        )  # the last half-open connections are found by then
        self._settle()
        books = [book for book in self.scene.books if self._is_whole(book)]
        trials = [self._hand_over, self._hold, self._break, self._destroy, self._begin_anew]
        drawn = [trial for trial in trials if self._lots.random() < 0.3]
        self._quiet.begin()
        self._run(0.5 if drawn and books else 1.5)
        self._quiet.end()
        for trial in drawn:
            for book in books:
                trial(book)
                self._settle()

    def _is_whole(self, book: Book) -> bool:
        return all(member.node is not None or member.is_twin for member in _members(book))

    def _run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def _settle(self) -> None:
        self.world.run(self.world.now + self._patience, self._is_done)

    def _append(self, book: Book, stream: bytes, what: bytes, id_: bytes = b"*") -> bytes:
        """An operator appends an entry; its name."""
        self._names += 1
        name = b"%b:%d" % (what, self._names)
        book.sent.add(name)
        self.scene.host.do(b"XADD", stream, id_, *fields_of(name))
        self.scene.note()
        self.world.tell("operator", f"appends {name.decode()} to {stream.decode()}")
        return name

    def _key(self, name: bytes) -> Key:
        return self.scene.history.keys[name]

    def _handed(self, book: Book, name: bytes, oracle: Oracle, why: str) -> None:
        fate = book.fates.get(self._key(name))
        if fate is None or not fate.times:
            oracle.violated(f"{name.decode()} was not handed over within {SOON:g} s{why}")

    # -- entries --------------------------------------------------------------------------------------------------------

    def _hand_over(self, book: Book) -> None:
        """One entry at a time."""
        prompt = Prompt(self.world)
        self._quiet.begin()
        for stream in book.streams:
            name = self._append(book, stream, b"calm")
            self._run(SOON)
            self._handed(book, name, prompt, "")
            group = book.of(stream)
            if group is not None and group.pending:
                prompt.violated(f"{name.decode()} is pending {SOON:g} s after it was appended")
        self._quiet.end()

    def _hold(self, book: Book) -> None:
        """A handler that takes longer than entries may be idle; an entry that is refused, for longer than that."""
        stream = self._lots.choice(book.streams)
        self._quiet.begin()
        held, later = self._append(book, stream, HELD), self._append(book, stream, LATER)
        began = self.world.now
        self._run(0.3)
        fate = book.fates.get(self._key(held))
        holder = next((one for one in _members(book) if fate is not None and one.label == fate.holder), None)
        if holder is not None and self._lots.random() < 0.6:
            self._rob(book, self._key(held), holder)
        self._run(began + HOLD_SECONDS + SOON - self.world.now)
        fate = book.fates.get(self._key(later))
        if fate is not None and fate.nacked_at:
            kept, due = DelayKept(self.world), fate.nacked_at + LATER_SECONDS
            self._run(max(0.0, due + CLAIM_IDLE - self.world.now))
            if fate.times == 1:
                kept.violated(f"{later.decode()} did not come again within {CLAIM_IDLE:g} s after its delay")
            elif fate.at < due - 0.01:
                kept.violated(f"{later.decode()} came again {due - fate.at:.3f} s before its delay was over")
        self._quiet.end()

    def _rob(self, book: Book, key: Key, holder: Member) -> None:
        """A stranger takes the entry from its holder, or settles it."""
        oracle, heard = OwnersAck(self.world), len(self._events.told(holder.label))
        fate, group = book.fate(key), book.group
        early = self._lots.random() < 0.4  # so that an audit finds it; else it is the acknowledgement that does
        if not early:
            self._run(HOLD_SECONDS - 0.35)
        if not self._is_pending(book, key):
            return  # nobody has held it
        if early or holder.habits.fenced:
            fate.strangers += 1
            fate.excused = True
            self.scene.host.do(b"XCLAIM", key.stream, group, STRANGER, b"0", key.id)
        else:
            fate.robbed = True
            self.scene.host.do(b"XACK", key.stream, group, key.id)
        self.world.tell("stranger", f"robs {holder.label} of {key.name.decode()}")
        self._run(AUDITED if early else SOON)
        told = [event for event in self._told(holder, heard) if isinstance(event, (AckMissed, LeaseLost))]
        if not told:
            oracle.violated(f"{holder.label} has lost {key.name.decode()} to a stranger, and nothing has told")
        if not early and holder.habits.fenced and not self._is_pending(book, key):
            oracle.violated(f"{holder.label} has settled {key.name.decode()}, which a stranger had claimed")

    def _told(self, member: Member, since: int) -> list[Event]:
        return self._events.told(member.label)[since:]

    def _is_pending(self, book: Book, key: Key) -> bool:
        group = book.of(key.stream)
        ms, _, seq = key.id.partition(b"-")
        return group is not None and (int(ms), int(seq)) in group.pending

    # -- connections ------------------------------------------------------------------------------------------------------

    def _break(self, book: Book) -> None:
        """All members lose the connections that read; the server does not know, and serves what is blocked there."""
        ghosts: list[tuple[Member, Session | None]] = []
        for member in _members(book):
            node = member.node
            if node is None or not isinstance(node.engine, GroupConsumer):
                continue
            present = node.engine.upkeep._present  # noqa: SLF001  # what it can prove later
            for link, wire in list(node.wires.items()):
                if link.name == "main" and present is not None and present.run_id:
                    ghosts.append((member, wire.session))
                    wire.vanish_for_client()
        self.world.tell("*", "all members lose their connections, and the server does not know")
        name = self._append(book, self._lots.choice(book.streams), b"calm")
        self._run(BeginsAnew.WITHIN)
        for member, _ in ghosts:
            node = member.node
            if node is not None and not all(
                link.wants_connection for link in node.engine.links() if link.name == "main"
            ):
                BeginsAnew(self.world).violated(
                    f"{member.label} does not dial yet, {BeginsAnew.WITHIN:g} s after it lost a good connection"
                )
        self._run(SOON)
        lays = LaysItsGhost(self.world)
        for member, session in ghosts:
            if session is not None and session.is_open and session.number in self.scene.host.server.sessions:
                lays.violated(f"the former connection of {member.label} is still there, {SOON:g} s later")
        self._handed(book, name, lays, " though a ghost had got it")

    # -- the group --------------------------------------------------------------------------------------------------------

    def _destroy(self, book: Book) -> None:
        """XGROUP DESTROY, and at once the next entry."""
        stream = self._lots.choice(book.streams)
        self.scene.note()
        book.reset(stream)
        heard = self._marks(book)
        self.scene.host.do(b"XGROUP", b"DESTROY", stream, book.group)
        self.world.tell("*", f"XGROUP DESTROY {stream.decode()}")
        self._comes_back(book, stream, heard, self._append(book, stream, b"calm"))

    def _begin_anew(self, book: Book) -> None:
        """The stream is deleted, and begins anew with lower ids."""
        stream = self._lots.choice(book.streams)
        heard = self._marks(book)
        self.scene.rewind(stream)
        self.scene.host.do(b"DEL", stream)
        self.world.tell("*", f"DEL {stream.decode()}")
        self._comes_back(book, stream, heard, self._append(book, stream, b"calm", b"5-1"))

    def _marks(self, book: Book) -> dict[str, int]:
        return {member.label: len(self._events.told(member.label)) for member in _members(book)}

    def _comes_back(self, book: Book, stream: bytes, heard: dict[str, int], name: bytes) -> None:
        oracle = CreatesAgain(self.world)
        self._run(SOON + OPTIONS.backoff_max)
        if book.of(stream) is None:
            oracle.violated(f"the group of {stream.decode()} is gone, and nobody has created it again")
        told = [
            event
            for member in _members(book)
            for event in self._told(member, heard[member.label])
            if isinstance(event, (GroupRecreated, GroupCreated)) and event.stream == stream
        ]
        if not told:
            oracle.violated(f"the group of {stream.decode()} was created again, and nobody was told")
        self._handed(book, name, oracle, ", after its group was created again")
