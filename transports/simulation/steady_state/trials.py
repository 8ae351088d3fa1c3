"""The calm after the storm: all is done and nothing breaks any more, so whatever still happens must have a reason.

Some trouble is made on purpose, one piece at a time, in a world that is well otherwise: then it is known what has to come of it, and
how soon. That is where limits are sharp which the storm blurs: how fast an entry is handed over and settled, that what is held is
renewed, that the connection of a member is dialled again at once and its ghost is laid, that a lost group is created again where it
should be. Each seed draws what it tries; ``play`` returns when all is quiet again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from streamcore import GroupConsumer
from streamcore.events import (
    AckMissed,
    GroupCreated,
    GroupRecreated,
    OwnershipLost,
)

from ..workloads.group.absent_streams import come_back
from ..workloads.group.member import CLAIM_IDLE, HOLD_SECONDS, LATER_SECONDS, Member
from ..workloads.group.upkeep_budget import leave_a_list, leave_names
from ..world.actor import OPTIONS, RECOVERY
from ..world.invariants import EventsInOrder, Oracle
from ..world.stream_log import HELD, LATER, REFUSED, STRANGER, fields_of
from . import invariants as promises
from . import recovery_trials as calm_back
from .dead_letter_trials import no_letters
from .gap_trials import begin_anew, replace, trim, unheard
from .group_trials import bury, double, refuse, restart
from .request_trials import try_requests

if TYPE_CHECKING:
    from streamcore.events import Event
    from streamcore.testing.model import Session

    from ..context import Scene
    from ..workloads.group.delivery_log import Book
    from ..world.stream_log import Key

SOON: Final = 0.5
"""Seconds within which an entry is handed over, and is settled, in a world that is well: some round trips, and not a whole read."""

AUDITED: Final = 2.2
"""Seconds within which an audit finds what has changed: it waits for a read that blocks."""


class Calm:
    """What is tried in the calm of one world."""

    def __init__(self, scene: Scene, events: EventsInOrder, is_done: Callable[[], bool], patience: float) -> None:
        world = scene.world
        self.scene = scene
        self.world = world
        self._events = events
        self._is_done = is_done
        self._patience = patience
        self.lots = world.lots("calm")
        self._names = 0
        self._quiet = promises.QuietWhenHealthy(world, events, scene.books)
        self._kills = promises.KillsItselfOnly(world)
        scene.host.on_kill = self._kills.killed

    audited: Final = AUDITED

    def play(self) -> None:
        """Try what the seed has drawn."""
        world = self.world
        self.run(
            max(0.0, world.healed_at + RECOVERY + 1.0 - world.now)
        )  # the last half-open connections are found by then
        self._settle()
        books = [book for book in self.scene.books if self._is_whole(book)]
        for book in books:
            come_back(self, book)
            self._settle()
        trials: list[Callable[[Book], None]] = [
            self._hand_over,
            self._hold,
            self.retry,
            self._race,
            self._leave,
            self._break,
            self._destroy,
            partial(trim, self),
            partial(begin_anew, self),
            partial(replace, self),
            partial(unheard, self),
            partial(bury, self),
            partial(restart, self),
            partial(refuse, self),
            *(partial(trial, self) for trial in calm_back.TRIALS),
        ]
        drawn = [trial for trial in trials if self.lots.random() < 0.25]
        self._quiet.begin()
        self.run(0.5 if drawn and books else 1.5)
        self._quiet.end()
        drawn += [
            partial(trial, self) for trial in (double, no_letters, leave_names, leave_a_list)
        ]  # by lots of their own
        for trial in drawn:
            for book in books:
                trial(book)
                self._settle()
        try_requests(self)

    def _is_whole(self, book: Book) -> bool:
        return all(member.node is not None or member.is_twin for member in book.members)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def run_soon(self, after: float) -> None:
        """Until what begins so much later is done."""
        self.run(after + SOON)

    def _settle(self) -> None:
        self.world.run(self.world.now + self._patience, self._is_done)

    def append(self, book: Book, stream: bytes, what: bytes, id_: bytes = b"*") -> bytes:
        """An operator appends an entry; its name."""
        self._names += 1
        name = b"%b:%d" % (what, self._names)
        book.sent.add(name)
        self.scene.host.do(b"XADD", stream, id_, *fields_of(name))
        self.scene.note()
        self.world.tell("operator", f"appends {name.decode()} to {stream.decode()}")
        return name

    def key(self, name: bytes) -> Key:
        return self.scene.history.keys[name]

    def claim(self, book: Book, key: Key, consumer: bytes = STRANGER) -> None:
        """Somebody who is no program of ours claims an entry."""
        fate = book.fate(key)
        fate.strangers, fate.excused = fate.strangers + 1, True
        book.tenures.note()
        self.scene.host.do(b"XCLAIM", key.stream, book.group, consumer, b"0", key.id)

    def handed(self, book: Book, name: bytes, oracle: Oracle, why: str) -> None:
        """Violated where nobody was handed an entry."""
        fate = book.fates.get(self.key(name))
        if fate is None or not fate.times:
            oracle.violated(f"{name.decode()} was not handed over within {SOON:g} s{why}")

    # -- entries --------------------------------------------------------------------------------------------------------

    def _hand_over(self, book: Book) -> None:
        """One entry at a time."""
        prompt = promises.Prompt(self.world)
        self._quiet.begin()
        for stream in book.streams:
            name = self.append(book, stream, b"calm")
            self.run(SOON)
            self.handed(book, name, prompt, "")
            group = book.of(stream)
            if group is not None and group.pending:
                prompt.violated(f"{name.decode()} is pending {SOON:g} s after it was appended")
        self._quiet.end()

    def _hold(self, book: Book) -> None:
        """A handler that takes longer than entries may be idle; an entry that is refused, for longer than that."""
        stream = self.lots.choice(book.streams)
        self._quiet.begin()
        held, later = self.append(book, stream, HELD), self.append(book, stream, LATER)
        began = self.world.now
        self.run(0.3)
        fate = book.fates.get(self.key(held))
        holder = next((one for one in book.members if fate is not None and one.label == fate.holder), None)
        if holder is not None and self.lots.random() < 0.6:
            self._rob(book, self.key(held), holder)
        self.run(began + HOLD_SECONDS + SOON - self.world.now)
        fate = book.fates.get(self.key(later))
        if fate is not None and fate.nacked_at:
            kept, due = promises.DelayKept(self.world), fate.nacked_at + LATER_SECONDS
            self.run(max(0.0, due + CLAIM_IDLE - self.world.now))
            if fate.times == 1:
                kept.violated(f"{later.decode()} did not come again within {CLAIM_IDLE:g} s after its delay")
            elif fate.at < due - 0.01:
                kept.violated(f"{later.decode()} came again {due - fate.at:.3f} s before its delay was over")
        self._quiet.end()

    def _rob(self, book: Book, key: Key, holder: Member) -> None:
        """A stranger takes the entry, or settles it."""
        oracle, heard = promises.OwnersAck(self.world), len(self._events.told(holder.label))
        fate, group = book.fate(key), book.group
        early = self.lots.random() < 0.4  # so that an audit finds it; else it is the acknowledgement that does
        if not early:
            self.run(HOLD_SECONDS - 0.35)
        if self.owner(book, key) is None:
            return  # nobody has held it
        if early or holder.habits.fenced:
            self.claim(book, key)
        else:
            fate.robbed = True
            self.scene.host.do(b"XACK", key.stream, group, key.id)
        self.world.tell("stranger", f"robs {holder.label} of {key.name.decode()}")
        self.run(AUDITED if early else SOON)
        told = [event for event in self.told(holder, heard) if isinstance(event, (AckMissed, OwnershipLost))]
        if not told:
            oracle.violated(f"{holder.label} has lost {key.name.decode()} to a stranger, and nothing has told")
        if not early and holder.habits.fenced and self.owner(book, key) is None:
            oracle.violated(f"{holder.label} has settled {key.name.decode()}, which a stranger had claimed")

    def told(self, member: Member, since: int) -> list[Event]:
        """What a member has told since then."""
        return self._events.told(member.label)[since:]

    def retry(self, book: Book) -> None:
        """The replies that bring an entry are lost with their connections; it is refused once, and that is all that counts."""
        attempts, host = promises.AttemptsCounted(self.world), self.scene.host
        name = self._append_unheard(book, self.lots.choice(book.streams), REFUSED)
        key, counted = self.key(name), [0]

        def before(_: bytes) -> None:
            group = book.of(key.stream)
            if group is not None and (one := group.pending.get(key.number)) is not None:
                counted[0] = one.times  # at last, when it is settled

        host.before = before
        self.run(2 * SOON)
        self.handed(book, name, attempts, " after its reply was lost")
        self.run(CLAIM_IDLE + 2 * SOON)
        fate, host.cuts, host.before = book.fate(key), None, None
        plain = any(
            type(one) is Member and one.label == fate.holder for one in book.members
        )  # it refuses what it shall
        if plain and (fate.times, fate.deliveries, counted[0]) != (2, 2, 2):
            attempts.violated(
                f"{name.decode()} was refused once, handed over {fate.times} times, with {fate.deliveries} deliveries; "
                f"the server has counted {counted[0]}"
            )

    def _append_unheard(self, book: Book, stream: bytes, what: bytes) -> bytes:
        """Append an entry of which the first reply is lost, and once more the first one after it was handed over."""
        lost: set[int] = set()
        name = b"%b:%d" % (what, self._names + 1)

        def cuts(data: bytes) -> bool:
            if name not in data or b"radix-tree-keys" in data:
                return False
            times = book.fate(self.key(name)).times if name in self.scene.history.keys else 0
            if times in lost or times > 1:
                return False
            lost.add(times)
            return True

        self.scene.host.cuts = cuts
        return self.append(book, stream, what)

    def _race(self, book: Book) -> None:
        """Whenever a member claims an entry, or renews it, a stranger was faster by a moment."""
        stream, host = self.lots.choice(book.streams), self.scene.host
        theirs, struck = promises.TheirsStaysTheirs(self.world), list[bytes]()
        name = self.append(book, stream, HELD)
        key = self.key(name)
        if self.lots.random() < 0.5:  # it is idle in the hands of somebody who is gone
            self.claim(book, key, b"gone")

        def before(data: bytes) -> None:
            is_claim = b"$6\r\nXCLAIM" in data and key.id in data
            if (
                struck or not is_claim or self.owner(book, key) is None
            ):  # settled by a member whose claim came in pieces
                return
            struck.append(data)
            self.claim(book, key)
            self.world.tell("stranger", f"claims {name.decode()}, a moment before somebody else does")
            self.world.after(0.0, check)

        def check() -> None:
            owner = self.owner(book, key)
            if owner != STRANGER:
                theirs.violated(
                    f"{name.decode()} was claimed by a stranger, and a moment later it is {owner!r} that has it"
                )

        host.before = before
        self.run(HOLD_SECONDS)
        host.before = None

    def _leave(self, book: Book) -> None:
        """A member leaves with entries that it has read ahead; a stranger has claimed one of them."""
        stream = self.lots.choice(book.streams)
        for at in range(8):
            self.append(book, stream, HELD if at < 4 else b"calm")
        self.run(0.2)
        ahead = [(one, one.engine._prefetch) for one in book.members if type(one) is Member and one.node]  # noqa: SLF001
        full = [(one, [batch for batch, *_ in prefetch._ready]) for one, prefetch in ahead if prefetch]  # noqa: SLF001
        if not full:
            return
        member, batches = self.lots.choice(full)
        keys = [self.key(fields[1]) for batch in batches for _, fields in batch.raw]
        stolen, *unseen = keys
        self.claim(book, stolen)
        label = member.label
        if not member.leave(0.0):
            return
        for _ in range(50):
            self.run(0.02)
            if member.node is None or member.label != label:
                break
        else:
            promises.GivesBack(self.world).violated(f"{label} has not left within a second")
        if (owner := self.owner(book, stolen)) != STRANGER:
            promises.TheirsStaysTheirs(self.world).violated(
                f"{label} has left, and what a stranger had claimed before is with {owner!r}"
            )
        for key in unseen:
            group = book.of(key.stream)
            one = None if group is None else group.pending.get(key.number)
            if (
                one is not None
                and one.consumer == member.consumer
                and self.scene.host.server.ms - one.at < CLAIM_IDLE * 1000
            ):
                promises.GivesBack(self.world).violated(
                    f"{label} has left, and {key.name.decode()}, which nobody has seen, is still with it"
                )

    def owner(self, book: Book, key: Key) -> bytes | None:
        group = book.of(key.stream)
        one = None if group is None else group.pending.get(key.number)
        return None if one is None else one.consumer

    # -- connections ------------------------------------------------------------------------------------------------------

    def _break(self, book: Book) -> None:
        """All members lose the connections that read; the server does not know, and serves what is blocked there."""
        ghosts: list[tuple[Member, Session | None]] = []
        for member in book.members:
            node = member.node
            if node is None or not isinstance(node.engine, GroupConsumer):
                continue
            present = node.engine.setup.present  # what it can prove later
            for link, wire in list(node.wires.items()):
                if link.name == "main" and present is not None and present.run_id:
                    ghosts.append((member, wire.session))
                    wire.vanish_for_client()
        self.world.tell("*", "all members lose their connections, and the server does not know")
        name = self.append(book, self.lots.choice(book.streams), b"calm")
        self.run(promises.BeginsAnew.WITHIN)
        for member, _ in ghosts:
            node = member.node
            if node is not None and not all(
                link.wants_connection for link in node.engine.links() if link.name == "main"
            ):
                promises.BeginsAnew(self.world).violated(
                    f"{member.label} does not dial yet, {promises.BeginsAnew.WITHIN:g} s after it lost a good connection"
                )
        self.run(SOON)
        lays = promises.LaysItsGhost(self.world)
        for member, session in ghosts:
            if session is not None and session.is_open and session.number in self.scene.host.server.sessions:
                lays.violated(f"the former connection of {member.label} is still there, {SOON:g} s later")
        self.handed(book, name, lays, " though a ghost had got it")

    # -- the group --------------------------------------------------------------------------------------------------------

    def _destroy(self, book: Book) -> None:
        """XGROUP DESTROY, and at once the next entry."""
        stream = self.lots.choice(book.streams)
        self.scene.note()
        book.reset(stream)
        heard = self.marks(book)
        self.scene.host.do(b"XGROUP", b"DESTROY", stream, book.group)
        self.world.tell("*", f"XGROUP DESTROY {stream.decode()}")
        self.comes_back(book, stream, heard, self.append(book, stream, b"calm"))

    def marks(self, book: Book) -> dict[str, int]:
        """How many events each member has told so far."""
        return {member.label: len(self._events.told(member.label)) for member in book.members}

    def comes_back(self, book: Book, stream: bytes, heard: dict[str, int], name: bytes) -> None:
        """The group is created again, in time and where it should be."""
        oracle = promises.CreatesAgain(self.world)
        self.run(SOON + OPTIONS.backoff_max)
        if any(one.holds for one in book.members):
            self.run(HOLD_SECONDS)
        if book.of(stream) is None:
            oracle.violated(f"the group of {stream.decode()} is gone, and nobody has created it again")
        told = [
            event
            for member in book.members
            for event in self.told(member, heard[member.label])
            if isinstance(event, (GroupRecreated, GroupCreated)) and event.stream == stream
        ]
        if not told:
            oracle.violated(f"the group of {stream.decode()} was created again, and nobody was told")
        self.handed(book, name, oracle, ", after its group was created again")


def _id(key: Key) -> tuple[int, int]:
    ms, _, seq = key.id.partition(b"-")
    return int(ms), int(seq)
