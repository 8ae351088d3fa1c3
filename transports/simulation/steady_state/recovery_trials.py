"""Trials of the steady state in which something is taken back, or taken over: by a failover, by a twin, by another member unheard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from streamcore.events import OwnershipLost

from ..faults.failover import promote, replica_of
from ..faults.server import faults_of
from ..workloads.group.member import CLAIM_IDLE, HOLD_SECONDS, Member
from ..world.invariants import Oracle
from ..world.stream_log import HELD, REFUSED, STRANGER, STUBBORN, Key
from .context import SOON, SteadyState
from .entry_trials import retry

if TYPE_CHECKING:
    from streamcore.testing.model import Server

    from ..workloads.group.delivery_log import DeliveryLog

OWN_READ: Final = (b"XREADGROUP", b"$1\r\n>\r\n")
"""What is in the read of an own pending entry, and what is not."""


class ToldAgain(Oracle):
    """*ack after another consumer claimed*: fenced, it does nothing, and ``OwnershipLost`` tells, also where it is repeated."""


def _acknowledges(data: bytes, key: Key) -> bool:
    return key.id in data and (b"$4\r\nXACK" in data or b"redis.call('XACK'" in data)


def _clears(data: bytes, key: Key) -> bool:
    return key.id in data and (
        b"$4\r\nXACK" in data or (b"$6\r\nXCLAIM" in data and b"$16\r\n1000000000000000\r\n" in data)
    )


def _reads_own(data: bytes, _: Key) -> bool:
    return OWN_READ[0] in data and OWN_READ[1] not in data


def _at_first(steady: SteadyState, key: Key, what: Callable[[bytes, Key], bool], then: Callable[[], object]) -> None:
    """Do something before the first command of a kind is run."""
    host = steady.scene.host

    def before(data: bytes) -> None:
        if what(data, key):
            host.before = None
            then()

    host.before = before


# -- a failover ---------------------------------------------------------------------------------------------------------


def _stuck(steady: SteadyState) -> Server:
    """A replica that has the present data, and gets nothing any more."""
    return replica_of(steady.scene, steady.scene.host.server, f"replica of the calm at {steady.world.now}", lag=inf)


def _fail_over(steady: SteadyState, replica: Server) -> None:
    host = steady.scene.host
    promote(steady.scene, host.server, replica)
    host.stop()
    host.start(replica)
    host.server.replication.replicas.clear()  # the former one is gone
    faults_of(steady.scene)
    steady.world.tell("*", "a replica takes over")


def give_again(steady: SteadyState, log: DeliveryLog) -> None:
    """An acknowledgement is on its way when a failover loses its entry; and the id is given to another entry."""
    stream, host = log.streams[0], steady.scene.host
    replica = _stuck(steady)
    key = steady.key(steady.append(log, stream, b"calm"))

    def strike() -> None:
        _fail_over(steady, replica)
        again = log.fate(steady.key(steady.append(log, stream, b"calm", key.id)))
        again.strangers, again.excused = again.strangers + 1, True
        host.do(b"XREADGROUP", b"GROUP", log.group, STRANGER, b"COUNT", b"1", b"STREAMS", stream, b">")

    _at_first(steady, key, _acknowledges, partial(steady.world.after, 0.0, strike))
    steady.run(CLAIM_IDLE + SOON)
    host.before = None


def bring_back(steady: SteadyState, log: DeliveryLog) -> None:
    """An entry is deleted when it is asked for once more, and a failover brings it back when it is about to be cleared."""
    stream, host = log.streams[0], steady.scene.host
    key = steady.key(steady.append(log, stream, REFUSED))
    for _ in range(4):
        steady.append(log, stream, HELD)  # what a member holds proves all that is below

    def delete() -> None:
        replica = _stuck(steady)
        steady.scene.remove(stream, [key.number], "XDEL")
        host.do(b"XDEL", stream, key.id)
        _at_first(steady, key, _clears, partial(steady.world.after, 0.0, partial(_fail_over, steady, replica)))

    _at_first(steady, key, _reads_own, delete)
    steady.run(SOON)
    host.before = None
    steady.run(HOLD_SECONDS)


def settle_twice(steady: SteadyState, log: DeliveryLog) -> None:
    """A failover takes back an acknowledgement that was confirmed, of an entry that was tried as often as it may be."""
    key = steady.key(steady.append(log, log.streams[0], REFUSED))
    replicas: list[Server] = []

    def copy() -> None:
        if log.fate(key).times < 2:
            _at_first(steady, key, _acknowledges, copy)
        else:
            replicas.append(_stuck(steady))

    _at_first(steady, key, _acknowledges, copy)
    steady.run(CLAIM_IDLE)
    steady.scene.host.before = None
    for replica in replicas:
        _fail_over(steady, replica)
    steady.run(CLAIM_IDLE)


# -- others -------------------------------------------------------------------------------------------------------------


def rob_unheard(steady: SteadyState, log: DeliveryLog) -> None:
    """A stranger claims an entry a moment before its holder acknowledges it, and the server's word on that is lost."""
    host = steady.scene.host
    key = steady.key(steady.append(log, log.streams[0], HELD))
    robbed: list[bool] = []

    def rob() -> None:
        steady.claim(log, key)
        robbed.append(True)

    def cuts(data: bytes) -> bool:
        if robbed and key.id in data:
            host.cuts = None
            return True
        return False

    steady.run(0.3)
    holder = _holder(steady, log, key)
    if holder is None or not holder.habits.fenced:
        return
    heard = len(steady.told(holder, 0))
    _at_first(steady, key, _acknowledges, rob)
    host.cuts = cuts
    steady.run(HOLD_SECONDS + SOON)
    host.before = host.cuts = None
    told = any(isinstance(event, OwnershipLost) and key.id in event.ids for event in steady.told(holder, heard))
    if robbed and not told:
        ToldAgain(steady.world).violated(
            f"{holder.label} has acknowledged {key.name.decode()} twice, which a stranger has, and nothing has told"
        )


def take_over(steady: SteadyState, log: DeliveryLog) -> None:
    """A twin takes over the name of a member that has an entry in hand that was tried as often as it may be."""
    key = steady.key(steady.append(log, log.streams[0], STUBBORN))
    steady.run(SOON)
    holder = _holder(steady, log, key)
    twin = next((one for one in steady.members(log) if one.is_twin), None)
    if (
        holder is None
        or twin is None
        or steady.scene.refused_for_good
        or holder.consumer != twin.consumer
        or log.fate(key).times != 2
    ):
        return
    twin.retires = False
    twin.start()
    steady.run(HOLD_SECONDS)
    twin.retires = True
    twin.leave(0.0)
    steady.run(SOON)


def enter_without_a_group(steady: SteadyState, log: DeliveryLog) -> None:
    """The group vanishes while a member enters; the first entry after that is asked for twice."""
    plain = [one for one in steady.members(log) if type(one) is Member and one.node is not None]
    if not plain:
        return
    scene = steady.scene

    def destroy() -> None:
        scene.note()
        for stream in log.streams:
            log.reset(stream)
            scene.host.do(b"XGROUP", b"DESTROY", stream, log.group)

    member = steady.lots.choice(plain)
    member.crash(silently=False, away=0.0)
    nobody = Key(b"", b"", b"")
    _at_first(steady, nobody, lambda data, _: b"XPENDING" in data and member.consumer in data, destroy)
    steady.run(2.0)
    scene.host.before = None
    retry(steady, log)


def _holder(steady: SteadyState, log: DeliveryLog, key: Key) -> Member | None:
    """The member that has an entry in hand, if it is a plain member."""
    fate = log.fates.get(key)
    return next(
        (
            one
            for one in steady.members(log)
            if fate is not None and type(one) is Member and one.label == fate.holder and one.node
        ),
        None,
    )
