"""Trials of the steady state that bring much upkeep at a time: names of consumers that are gone, and a long list that an earlier run has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..workloads.group.member import Member
from ..world.actor import RECOVERY
from ..world.engine_state import removes_idle_consumers
from ..world.invariants import Oracle
from .context import SteadyState

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog

GONE: Final = 130
"""Consumers that are gone at a time."""
REMOVED: Final = 5.0 * 1.5 + RECOVERY
"""Seconds within which these are removed: once and a half of ``remove_idle_consumers``, and what a reconnect may take."""
LEFT: Final = 40
"""Entries that an earlier run has left pending."""


class NamesRemoved(Oracle):
    """*Consumers that are gone for good* are removed, however many there are."""


class RedeliveredTogether(Oracle):
    """*It comes back*: where no counter condemns, a long list that an earlier run has left costs few round trips."""


def leave_names(steady: SteadyState, log: DeliveryLog) -> None:
    """Many consumers are gone for good; in a quarter of the worlds."""
    if steady.world.lots("names").random() > 0.25:
        return
    stream = steady.world.lots("stream of the names").choice(log.streams)
    members = [one for one in steady.members(log) if type(one) is Member and one.node is not None and not one.is_twin]
    if not any(removes_idle_consumers(one.engine) for one in members) or log.of(stream) is None:
        return  # to all of them it was forbidden
    names = [b"gone-%d" % number for number in range(GONE)]
    for name in names:
        steady.scene.host.do(b"XGROUP", b"CREATECONSUMER", stream, log.group, name)
    steady.world.tell("operator", f"{GONE} consumers of {stream.decode()} are gone")
    steady.run(REMOVED)
    group = log.of(stream)
    left = [name for name in names if group is not None and name in group.consumers]
    if left:
        NamesRemoved(steady.world).violated(
            f"{len(left)} of {GONE} consumers are still in the group of {stream.decode()}"
        )


def leave_a_list(steady: SteadyState, log: DeliveryLog) -> None:
    """A member comes back, and finds many entries that its earlier run has read ahead; in a quarter of the worlds."""
    members = [one for one in steady.members(log) if not one.is_twin]
    first = members[0]
    plain = type(first) is Member and first.habits.max_deliveries is None and first.habits.count > 3
    if steady.world.lots("list").random() > 0.25 or not plain or any(one.node is None for one in members):
        return
    host, stream = steady.scene.host, log.streams[0]
    for member in members:
        member.crash(silently=False, away=2.0 if member is not first else 1.0)
    names = [steady.append(log, stream, b"calm") for _ in range(LEFT)]
    host.do(b"XREADGROUP", b"GROUP", log.group, first.consumer, b"COUNT", b"1000", b"STREAMS", stream, b">")
    log.tenures.note()
    trips = [0]

    def comes(data: bytes) -> None:
        is_own = data.rfind(b"XREADGROUP") >= 0 and not data.endswith(b"$1\r\n>\r\n")
        trips[0] += is_own and first.consumer in data

    host.before = comes
    steady.run(2.0)
    host.before = None
    handed = sum(log.fate(steady.key(name)).times > 0 for name in names)
    if handed == LEFT and trips[0] > LEFT // 2:
        RedeliveredTogether(steady.world).violated(f"{LEFT} entries of an earlier run took {trips[0]} round trips")
    steady.run(RECOVERY)
