"""Trials of the steady state in which entries are lost before any member could read them: it has to be told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from streamcore.events import Gap

from ..faults.streams import ASIDE
from ..world.actor import OPTIONS
from ..world.stream_log import fields_of
from .context import SteadyState
from .invariants import GapTold

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog


def trim(steady: SteadyState, log: DeliveryLog) -> None:
    """Entries are appended, and trimmed in the same moment: no member has a chance to read them.

    A member that waits for the stream does not see entries that come and go between two looks.
    """
    scene, stream = steady.scene, steady.lots.choice(log.streams)
    host = scene.host
    scene.remove(stream, list(scene.history.stream(stream).ids), "XTRIM")
    heard = steady.marks(log)
    host.do(b"MULTI")
    host.do(b"XADD", stream, b"*", *fields_of(b"calm-lost"))
    host.do(b"XTRIM", stream, b"MAXLEN", b"0")
    host.do(b"EXEC")
    log.losses.add(stream, scene.history.stream(stream).last)
    steady.world.tell("*", f"an entry of {stream.decode()} is trimmed before anybody could read it")
    steady.run_audits(log)
    waiting = {member.label for member in steady.members(log) if member.node is not None and member.awaits(stream)}
    _is_told(steady, log, stream, heard, "was trimmed, which nobody had read", by=all, aside=waiting)


def begin_anew(steady: SteadyState, log: DeliveryLog) -> None:
    """The stream is deleted with an unread entry, and begins anew with lower ids."""
    scene, stream = steady.scene, steady.lots.choice(log.streams)
    host, heard = scene.host, steady.marks(log)
    scene.drop(stream)
    scene.rewind(stream)
    host.do(b"MULTI")
    host.do(b"XADD", stream, b"*", *fields_of(b"calm-lost"))
    host.do(b"DEL", stream)
    host.do(b"EXEC")
    steady.world.tell("*", f"DEL {stream.decode()}")
    name = steady.append(log, stream, b"calm", b"5-1")
    if steady.lots.random() < 0.5:
        steady.append(log, stream, b"calm")  # so that the stream has passed all marks
    steady.comes_back(log, stream, heard, name)
    steady.run_audits(log)
    _is_told(steady, log, stream, heard, "has gone with its stream, which nobody had read")


def replace(steady: SteadyState, log: DeliveryLog) -> None:
    """Another stream takes the name, perhaps with a group of its own, and an unread entry is gone.

    A stream that brings its group is known by its counters alone; so this stream has had fewer entries.
    """
    scene, stream = steady.scene, steady.lots.choice(log.streams)
    host, heard = scene.host, steady.marks(log)
    name = b"calm-aside:%b" % stream
    has_group = steady.lots.random() < 0.5 and scene.history.stream(stream).added > 1
    scene.drop(stream)
    scene.rewind(stream)
    log.sent.add(name)
    host.do(b"MULTI")
    host.do(b"XADD", stream, b"*", *fields_of(b"calm-lost"))
    host.do(b"XADD", ASIDE, b"*", *fields_of(name))
    if has_group:
        host.do(b"XGROUP", b"CREATE", ASIDE, log.group, b"0")
    host.do(b"RENAME", ASIDE, stream)
    host.do(b"EXEC")
    scene.note()
    steady.world.tell("*", f"another stream takes the name of {stream.decode()}")
    steady.run_audits(log, OPTIONS.backoff_max)
    _is_told(steady, log, stream, heard, "has gone with its stream, which nobody had read")
    steady.handed(log, name, GapTold(steady.world), ", after its stream took another's name")


def unheard(steady: SteadyState, log: DeliveryLog) -> None:
    """An entry is trimmed before the entry that is delivered, and the reply that brings this is lost with its connection."""
    scene, stream = steady.scene, steady.lots.choice(log.streams)
    host, heard, name = scene.host, steady.marks(log), b"calm-next:%b" % stream
    if any(member.habits.detect_gaps != "always" for member in steady.members(log)):
        return
    steady.world.tell("*", f"an entry of {stream.decode()} is trimmed, and the reply with the next one is lost")
    lost: list[bytes] = []

    def cuts(data: bytes) -> bool:
        is_first = name in data and b"radix-tree-keys" not in data and not lost
        lost.extend([name] * is_first)
        return is_first

    host.cuts = cuts
    scene.remove(stream, list(scene.history.stream(stream).ids), "XTRIM")
    log.sent.add(name)
    host.do(b"MULTI")
    host.do(b"XADD", stream, b"*", *fields_of(b"calm-lost"))
    host.do(b"XTRIM", stream, b"MAXLEN", b"0")
    host.do(b"XADD", stream, b"*", *fields_of(name))
    host.do(b"EXEC")
    scene.note()
    ms, seq = scene.history.stream(stream).last
    log.losses.add(stream, (ms, seq - 1) if seq else (ms - 1, 0))
    steady.run_audits(log, OPTIONS.backoff_max)
    host.cuts = None
    if lost:
        _is_told(steady, log, stream, heard, "was trimmed, which nobody had read")


def _is_told(
    steady: SteadyState,
    log: DeliveryLog,
    stream: bytes,
    heard: dict[str, int],
    what: str,
    by: Callable[[Iterable[bool]], bool] = any,
    aside: Collection[str] = (),
) -> None:
    """By a member at least: a member that was not waiting at that moment may find the group again as if nothing had been."""
    told = [
        any(isinstance(event, Gap) and event.stream == stream for event in steady.told(member, heard[member.label]))
        for member in steady.members(log)
        if member.node is not None and member.label not in aside
    ]
    if not by(told):
        GapTold(steady.world).violated(f"an entry of {stream.decode()} {what}, and who should tell has told no Gap")
