"""Trials of the steady state in which all members lose their connections, or their group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamcore import GroupConsumer

from ..world.engine_state import can_prove_itself
from .context import SOON, SteadyState
from .invariants import BeginsAnew, LaysItsGhost

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ..workloads.group.delivery_log import DeliveryLog
    from ..workloads.group.member import Member


def break_connections(steady: SteadyState, log: DeliveryLog) -> None:
    """All members lose the connections that read; the server does not know, and serves the reads that are blocked there."""
    ghosts: list[tuple[Member, Session | None]] = []
    for member in steady.members(log):
        node = member.node
        if node is None or not isinstance(node.engine, GroupConsumer):
            continue
        for link, wire in list(node.wires.items()):
            if link.name == "main" and can_prove_itself(node.engine):
                ghosts.append((member, wire.session))
                wire.vanish_for_client()
    steady.world.tell("*", "all members lose their connections, and the server does not know")
    name = steady.append(log, steady.lots.choice(log.streams), b"calm")
    steady.run(BeginsAnew.WITHIN)
    for member, _ in ghosts:
        node = member.node
        if node is not None and not all(link.wants_connection for link in node.engine.links() if link.name == "main"):
            BeginsAnew(steady.world).violated(
                f"{member.label} does not dial yet, {BeginsAnew.WITHIN:g} s after it lost a good connection"
            )
    steady.run(SOON)
    lays = LaysItsGhost(steady.world)
    for member, session in ghosts:
        if session is not None and session.is_open and session.number in steady.scene.host.server.sessions:
            lays.violated(f"the former connection of {member.label} is still there, {SOON:g} s later")
    steady.handed(log, name, lays, " though a ghost had got it")


def destroy(steady: SteadyState, log: DeliveryLog) -> None:
    """XGROUP DESTROY, and at once the next entry."""
    stream = steady.lots.choice(log.streams)
    steady.scene.note()
    log.reset(stream)
    heard = steady.marks(log)
    steady.scene.host.do(b"XGROUP", b"DESTROY", stream, log.group)
    steady.world.tell("*", f"XGROUP DESTROY {stream.decode()}")
    steady.comes_back(log, stream, heard, steady.append(log, stream, b"calm"))
