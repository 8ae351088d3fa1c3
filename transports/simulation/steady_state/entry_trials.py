"""Trials of the steady state that concern single entries: handed over, held, robbed, refused, claimed, given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamcore.events import AckMissed, OwnershipLost

from ..workloads.group.member import CLAIM_IDLE, HOLD_SECONDS, LATER_SECONDS, Member
from ..world.engine_state import read_ahead
from ..world.stream_log import HELD, LATER, REFUSED, STRANGER
from .context import ROUND, SOON, SteadyState
from .invariants import AttemptsCounted, DelayKept, GivesBack, OwnersAck, Prompt, TheirsStaysTheirs

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog
    from ..world.stream_log import Key


def hand_over(steady: SteadyState, log: DeliveryLog) -> None:
    """A single entry at a time."""
    prompt = Prompt(steady.world)
    steady.quiet.begin()
    for stream in log.streams:
        name = steady.append(log, stream, b"calm")
        steady.run(SOON)
        steady.handed(log, name, prompt, "")
        group = log.of(stream)
        if group is not None and group.pending:
            prompt.violated(f"{name.decode()} is pending {SOON:g} s after it was appended")
    steady.quiet.end()


def hold(steady: SteadyState, log: DeliveryLog) -> None:
    """A handler that takes longer than entries may be idle; an entry that is refused, for longer than that."""
    stream = steady.lots.choice(log.streams)
    steady.quiet.begin()
    held, later = steady.append(log, stream, HELD), steady.append(log, stream, LATER)
    began = steady.world.now
    steady.run(0.3)
    fate = log.fates.get(steady.key(held))
    holder = next((one for one in steady.members(log) if fate is not None and one.label == fate.holder), None)
    if holder is not None and steady.lots.random() < 0.6:
        _rob(steady, log, steady.key(held), holder)
    steady.run(began + HOLD_SECONDS + SOON - steady.world.now)
    fate = log.fates.get(steady.key(later))
    if fate is not None and fate.nacked_at:
        kept, due = DelayKept(steady.world), fate.nacked_at + LATER_SECONDS
        steady.run(max(0.0, due + CLAIM_IDLE - steady.world.now))
        if fate.times == 1:
            kept.violated(f"{later.decode()} did not come again within {CLAIM_IDLE:g} s after its delay")
        elif fate.at < due - 0.01:
            kept.violated(f"{later.decode()} came again {due - fate.at:.3f} s before its delay was over")
    steady.quiet.end()


def _rob(steady: SteadyState, log: DeliveryLog, key: Key, holder: Member) -> None:
    """A stranger takes the entry, or settles it."""
    oracle, heard = OwnersAck(steady.world), len(steady.events.told(holder.label))
    fate, group = log.fate(key), log.group
    early = steady.lots.random() < 0.4  # so that an audit finds it; else it is the acknowledgement that does
    if not early:
        steady.run(HOLD_SECONDS - 0.35)
    if steady.owner(log, key) is None:
        return  # nobody has held it
    if early or holder.habits.fenced:
        steady.claim(log, key)
    else:
        fate.robbed = True
        steady.scene.host.do(b"XACK", key.stream, group, key.id)
    steady.world.tell("stranger", f"robs {holder.label} of {key.name.decode()}")
    steady.run(ROUND if early else SOON)
    told = [event for event in steady.told(holder, heard) if isinstance(event, (AckMissed, OwnershipLost))]
    if not told:
        oracle.violated(f"{holder.label} has lost {key.name.decode()} to a stranger, and nothing has told")
    if not early and holder.habits.fenced and steady.owner(log, key) is None:
        oracle.violated(f"{holder.label} has settled {key.name.decode()}, which a stranger had claimed")


def retry(steady: SteadyState, log: DeliveryLog) -> None:
    """The replies that bring an entry are lost with their connections; it is refused once, and that is all that counts."""
    attempts, host = AttemptsCounted(steady.world), steady.scene.host
    name = _append_unheard(steady, log, steady.lots.choice(log.streams), REFUSED)
    key, counted = steady.key(name), [0]

    def before(_: bytes) -> None:
        group = log.of(key.stream)
        if group is not None and (one := group.pending.get(key.number)) is not None:
            counted[0] = one.times  # at last, when it is settled

    host.before = before
    steady.run(2 * SOON)
    steady.handed(log, name, attempts, " after its reply was lost")
    steady.run(CLAIM_IDLE + 2 * SOON)
    fate, host.cuts, host.before = log.fate(key), None, None
    # It refuses what it shall.
    plain = any(type(one) is Member and one.label == fate.holder for one in steady.members(log))
    if plain and (fate.times, fate.deliveries, counted[0]) != (2, 2, 2):
        attempts.violated(
            f"{name.decode()} was refused once, handed over {fate.times} times, with {fate.deliveries} deliveries; "
            f"the server has counted {counted[0]}"
        )


def _append_unheard(steady: SteadyState, log: DeliveryLog, stream: bytes, what: bytes) -> bytes:
    """Append an entry of which the first reply is lost, and once more the first reply after it was handed over."""
    lost: set[int] = set()
    name = b"%b:%d" % (what, steady.names + 1)

    def cuts(data: bytes) -> bool:
        if name not in data or b"radix-tree-keys" in data:
            return False
        times = log.fate(steady.key(name)).times if name in steady.scene.history.keys else 0
        if times in lost or times > 1:
            return False
        lost.add(times)
        return True

    steady.scene.host.cuts = cuts
    return steady.append(log, stream, what)


def race(steady: SteadyState, log: DeliveryLog) -> None:
    """Whenever a member claims an entry, or renews it, a stranger was faster by a moment."""
    stream, host = steady.lots.choice(log.streams), steady.scene.host
    theirs, struck = TheirsStaysTheirs(steady.world), list[bytes]()
    name = steady.append(log, stream, HELD)
    key = steady.key(name)
    if steady.lots.random() < 0.5:  # it is idle in the hands of somebody who is gone
        steady.claim(log, key, b"gone")

    def before(data: bytes) -> None:
        is_claim = b"$6\r\nXCLAIM" in data and key.id in data
        if struck or not is_claim or steady.owner(log, key) is None:  # settled by a member whose claim came in pieces
            return
        struck.append(data)
        steady.claim(log, key)
        steady.world.tell("stranger", f"claims {name.decode()}, a moment before somebody else does")
        steady.world.after(0.0, check)

    def check() -> None:
        owner = steady.owner(log, key)
        if owner != STRANGER:
            theirs.violated(
                f"{name.decode()} was claimed by a stranger, and a moment later it is {owner!r} that has it"
            )

    host.before = before
    steady.run(HOLD_SECONDS)
    host.before = None


def leave(steady: SteadyState, log: DeliveryLog) -> None:
    """A member leaves with entries that it has read ahead; a stranger has claimed an entry of these."""
    stream = steady.lots.choice(log.streams)
    for at in range(8):
        steady.append(log, stream, HELD if at < 4 else b"calm")
    steady.run(0.2)
    ahead = [(one, read_ahead(one.engine)) for one in steady.members(log) if type(one) is Member and one.node]
    full = [(one, batches) for one, batches in ahead if batches]
    if not full:
        return
    member, batches = steady.lots.choice(full)
    keys = [steady.key(fields[1]) for batch in batches for _, fields in batch.raw]
    stolen, *unseen = keys
    steady.claim(log, stolen)
    label = member.label
    if not member.leave(0.0):
        return
    for _ in range(50):
        steady.run(0.02)
        if member.node is None or member.label != label:
            break
    else:
        GivesBack(steady.world).violated(f"{label} has not left within a second")
    if (owner := steady.owner(log, stolen)) != STRANGER:
        TheirsStaysTheirs(steady.world).violated(
            f"{label} has left, and what a stranger had claimed before is with {owner!r}"
        )
    for key in unseen:
        group = log.of(key.stream)
        one = None if group is None else group.pending.get(key.number)
        if (
            one is not None
            and one.consumer == member.consumer
            and steady.scene.host.server.ms - one.at < CLAIM_IDLE * 1000
        ):
            GivesBack(steady.world).violated(
                f"{label} has left, and {key.name.decode()}, which nobody has seen, is still with it"
            )
