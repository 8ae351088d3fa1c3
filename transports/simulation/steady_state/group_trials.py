"""Trials of the steady state that concern commands that are sent once only, a server that begins anew or refuses, and a member that is there twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.events import DeadLettered
from streamcore.keys import dead_letters

from ..faults.server import faults_of
from ..workloads.group.member import Member
from ..workloads.producer import Sender
from ..world.engine_state import guards_its_name
from ..world.invariants import Oracle
from ..world.stream_log import BURIED
from .context import SteadyState

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog


class OneLetter(Oracle):
    """*Poison entry*: a single script appends the dead letter and settles the entry; repeated after a lost reply it does nothing.

    ``DeadLettered`` tells of it, once, also then.
    """


def bury(steady: SteadyState, log: DeliveryLog) -> None:
    """An entry is buried, and the server's word on that is lost with its connection."""
    host, stream, sent = steady.scene.host, log.streams[0], [0]
    letters = dead_letters(stream)
    before = len(steady.scene.history.stream(letters).ids)

    def comes(data: bytes) -> None:
        sent[0] += b"calm-unwanted" in data

    def cuts(_: bytes) -> bool:
        """The first reply behind it."""
        lost = sent[0] == 1
        sent[0] += lost
        return lost

    host.before, host.cuts = comes, cuts
    heard = steady.marks(log)
    name = steady.append(log, stream, BURIED)
    steady.run(2.0)
    host.before = host.cuts = None
    fate = log.fate(steady.key(name))
    plain = any(type(one) is Member and one.label == fate.holder for one in steady.members(log))
    written = len(steady.scene.history.stream(letters).ids) - before
    if plain and written != 1:
        OneLetter(steady.world).violated(f"{name.decode()} was buried once, and {written} letters tell of it")
    events = [event for one in steady.members(log) for event in steady.told(one, heard[one.label])]
    told = sum(isinstance(event, DeadLettered) and event.id == steady.key(name).id for event in events)
    if plain and told != 1:
        OneLetter(steady.world).violated(f"{name.decode()} was buried once, and {told} events tell of it")


def restart(steady: SteadyState, _: DeliveryLog) -> None:
    """The server is started twice: connections get ids that others had before."""
    for _again in range(2):
        steady.scene.host.stop()
        steady.run(0.05)
        steady.scene.host.start()
        steady.world.tell("server", "is started again")
        steady.run(1.0)


class RefusedInPeace(Oracle):
    """*Any request*: a server that cannot serve now is asked again after a back-off that grows, and not in a loop."""

    DIALS = 14
    WRITES = 60


def refuse(steady: SteadyState, log: DeliveryLog) -> None:
    """The server loads its data, while a producer has something to append."""
    scene = steady.scene
    senders = [one for one in steady.scene.programs if isinstance(one, Sender) and one.node is not None]
    for sender in senders[:1]:
        node = sender.node
        assert node is not None
        name = b"%b:calm" % sender.label.encode()
        log.sent.add(name)
        faults_of(scene).unavailable = "LOADING Redis is loading the dataset in memory"
        dials, writes = node.dials, node.writes
        sender.send(name)  # out of its plan
        node.pump()
        steady.run(0.4)
        faults_of(scene).unavailable = None
        dials, writes = node.dials - dials, node.writes - writes
        if dials > RefusedInPeace.DIALS or writes > RefusedInPeace.WRITES:
            RefusedInPeace(steady.world).violated(
                f"{sender.label}: {dials} dials and {writes} writes while the server was loading"
            )
        steady.run(1.0)


class OneOfAName(Oracle):
    """*GroupConsumer*: a second process takes over the name; the older process is told, and stops, at the latest by its audit."""

    WITHIN: Final = 2.2  # an audit waits for a read that blocks


def double(steady: SteadyState, log: DeliveryLog) -> None:
    """A member is started a second time, while the first process is well and guards its name; in a quarter of the worlds."""
    if steady.world.lots("double").random() > 0.25:
        return
    members = [one for one in steady.members(log) if type(one) is Member and one.node is not None and not one.is_twin]
    older = next((one for one in members if guards_its_name(one.engine)), None)
    twin = next(one for one in steady.members(log) if one.is_twin)
    if older is None or twin.node is not None:
        return
    label, twin.consumer, twin.retires = older.label, older.consumer, False
    twin.start()
    steady.run(OneOfAName.WITHIN)
    if older.node is not None and older.label == label:
        OneOfAName(steady.world).violated(f"{label} goes on under the name of {twin.label}")
    twin.retires = True
    twin.leave(0.0)
