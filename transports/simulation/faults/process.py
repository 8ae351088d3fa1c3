"""Faults of the programs themselves: they die, stand still, are cancelled, leave and come back, meet their twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..context import Kind, Scene, pick
from ..workloads.group.member import Member
from ..world.plan import Fault

if TYPE_CHECKING:
    from ..world.actor import Program


def _alive(scene: Scene, fault: Fault) -> Program | None:
    return pick([one for one in scene.programs if one.node is not None], fault.a)


def crash(scene: Scene, fault: Fault) -> str | None:
    """SIGKILL: the server is told by the kernel."""
    program = _alive(scene, fault)
    if program is None:
        return None
    said = f"{program.label} is killed"
    program.crash(silently=False, away=fault.b**2 * 0.3)
    return said


def machine_crash(scene: Scene, fault: Fault) -> str | None:
    """The machine dies, too: the server goes on serving its connections."""
    program = _alive(scene, fault)
    if program is None:
        return None
    said = f"{program.label} is gone with its machine"
    program.crash(silently=True, away=fault.b**2 * 0.3)
    return said


def replace_machine(scene: Scene, fault: Fault) -> str | None:
    """The machine dies, and another takes its place at once: the server still serves the connections of the first."""
    program = pick([one for one in scene.programs if isinstance(one, Member) and one.node], fault.a)
    if program is None:
        return None
    said = f"{program.label} is gone with its machine, and another one takes its place"
    program.crash(silently=True, away=fault.b * 0.01)
    return said


def crash_in_handler(scene: Scene, fault: Fault) -> str | None:
    """A handler kills its process."""
    busy = [one for one in scene.programs if isinstance(one, Member) and one.node and one.hands.begun]
    member = pick(busy, fault.a)
    if member is None:
        return None
    said = f"a handler kills {member.label}"
    member.crash(silently=False, away=fault.b**2 * 0.3)
    return said


def rename(scene: Scene, fault: Fault) -> str | None:
    """A member dies, and comes back under another name."""
    members = [one for one in scene.programs if isinstance(one, Member) and one.node and not one.is_twin]
    member = pick(members, fault.a)
    if member is None:
        return None
    said = f"{member.label} is killed, and will have another name"
    member.crash(silently=False, away=fault.b**2 * 0.3)
    member.consumer = b"%b-%d" % (member.name.encode(), member.incarnation + 1)
    return said


def pause(scene: Scene, fault: Fault) -> str | None:
    """A process stands still, perhaps for longer than its entries may be idle."""
    program = _alive(scene, fault)
    if program is None or program.node is None or program.node.paused:
        return None
    node, seconds = program.node, 0.01 + fault.b**6 * 3.0
    program.paused()
    node.pause()
    scene.world.after(seconds, node.resume)
    return f"{program.label} stands still for {seconds:.2f} s"


def cancel(scene: Scene, fault: Fault) -> str | None:
    """The present wait of a program is cancelled."""
    program = _alive(scene, fault)
    if program is None:
        return None
    label, what = program.label, program.cancel(fault.b)
    return None if what is None else f"{label} is cancelled in {what}"


def leave(scene: Scene, fault: Fault) -> str | None:
    """A deployment: a program ends in order, and comes back."""
    program = _alive(scene, fault)
    if program is None:
        return None
    label = program.label
    return f"{label} is told to leave" if program.leave(fault.b) else None


def twin(scene: Scene, fault: Fault) -> str | None:
    """A program is started a second time, under the same name."""
    twins = [one for one in scene.programs if isinstance(one, Member) and one.is_twin and one.node is None]
    one = pick(twins, fault.a)
    if one is None or scene.refused_for_good:  # nobody guards a name then: both would have the same entries
        return None
    one.start()
    return f"{one.label} starts, whose name another process may have"


KINDS: Final = {
    "crash": Kind(3, crash),
    "machine crash": Kind(2, machine_crash),
    "machine replaced": Kind(1.5, replace_machine),
    "crash in a handler": Kind(2, crash_in_handler),
    "another name": Kind(1, rename),
    "process paused": Kind(8, pause),
    "cancelled wait": Kind(26, cancel),
    "leave": Kind(3, leave),
    "twin": Kind(1, twin),
}
