"""Faults between a program and its server. A fuse strikes later, in the middle of the bytes that it was set for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ..context import Kind, Scene, pick
from ..world.plan import Fault

if TYPE_CHECKING:
    from ..world.network import Wire

_PUSH: Final = b">2\r\n$5\r\nnoise\r\n$100\r\n%b\r\n" % (b"x" * 100)
BABBLE: Final = ((_PUSH, _PUSH), (b"$100000000\r\n", b"x" * 100))
"""What may come first, and again and again behind it: pushes, or a reply without an end."""


def reset(scene: Scene, fault: Fault) -> str | None:
    """Both ends lose the connection, and all bytes in flight."""
    wire = pick(scene.wires(), fault.a)
    if wire is None:
        return None
    said = f"{wire.label} is reset"
    wire.reset()
    return said


def cut_replies(scene: Scene, fault: Fault) -> None:
    """So many bytes more come from the server: the rest of that reply, and all that comes behind it, does not."""
    wire = pick(scene.wires(), fault.a)
    if wire is not None:
        wire.down.fuse = int(fault.b**4 * 1000)


def cut_commands(scene: Scene, fault: Fault) -> None:
    """So many bytes more reach the server."""
    wire = pick(scene.wires(), fault.a)
    if wire is not None:
        wire.up.fuse = int(fault.b**4 * 600)


def ghost(scene: Scene, fault: Fault) -> str | None:
    """The client knows that the connection is gone, and the server does not: it still serves the blocked read."""
    wire = pick(scene.wires(), fault.a)
    if wire is None:
        return None
    said = f"{wire.label} is gone for the client, and the server does not know"
    wire.vanish_for_client()
    return said


def void(scene: Scene, fault: Fault) -> str | None:
    """The server knows that the connection is gone, and the client does not."""
    wire = pick(scene.wires(), fault.a)
    if wire is None:
        return None
    wire.vanish_for_server()
    return f"{wire.label} is gone for the server, and the client does not know"


def deaf(scene: Scene, fault: Fault) -> str | None:
    """Nothing arrives any more, in one direction or in both, and neither end is told."""
    wire = pick(scene.wires(), fault.a)
    if wire is None:
        return None
    wire.up.deaf |= fault.b < 0.67
    wire.down.deaf |= fault.b > 0.33
    where = "both ends" if wire.up.deaf and wire.down.deaf else "the server" if wire.up.deaf else "the client"
    return f"{wire.label}: nothing arrives any more at {where}"


def partition(scene: Scene, fault: Fault) -> str | None:
    """A process reaches no server for a while: its connections are deaf, and its dials are not answered."""
    node = pick(scene.world.nodes, fault.a)
    if node is None:
        return None
    node.isolated_until = scene.world.now + fault.b * 0.5
    for wire in node.wires.values():
        wire.up.deaf = wire.down.deaf = True
    return f"{node.label} reaches nobody for {fault.b * 0.5:.2f} s"


def stall(scene: Scene, fault: Fault) -> None:
    """Everything takes longer on a connection; that is no fault yet."""
    wire = pick(scene.wires(), fault.a)
    if wire is not None:
        pipe = wire.down if fault.b < 0.5 else wire.up
        pipe.last = max(pipe.last, scene.world.now) + fault.c * 0.4


def late(scene: Scene, fault: Fault) -> None:
    """Commands on a connection take longer from now on, and arrive when the client has lost it."""
    wire = pick([wire for wire in scene.wires() if wire.link.is_up], fault.a)
    if wire is None:
        return
    held = 0.1 + 0.4 * fault.b
    wire.up.last = max(wire.up.last, scene.world.now) + held
    scene.world.after(held * fault.c * 0.6, partial(_lose, scene, wire))


def _lose(scene: Scene, wire: Wire) -> None:
    if wire.node is not None and wire.session is not None and wire.up.waiting:
        scene.world.fault(
            "late", f"{wire.label} is gone for the client, and {wire.up.waiting} bytes are still to arrive"
        )
        wire.leave_client()


def babble(scene: Scene, fault: Fault) -> str | None:
    """A broken proxy: bytes come for ever, and answer nothing."""
    wire = pick([wire for wire in scene.wires() if wire.link.is_up], fault.a)
    if wire is None:
        return None
    first, piece = BABBLE[int(fault.b * len(BABBLE))]
    wire.babble(first, piece, 0.02 + 0.1 * fault.c)
    return f"{wire.label} babbles, and answers nothing any more"


def rubbish(scene: Scene, fault: Fault) -> None:
    """A broken proxy: behind some reply come bytes that are no reply."""
    wire = pick(scene.wires(), fault.a)
    if wire is not None:
        wire.rubbish = True


KINDS: Final = {
    "reset": Kind(4, reset),
    "cut in a reply": Kind(8, cut_replies),
    "cut in a command": Kind(5, cut_commands),
    "half-open: server": Kind(3, ghost),
    "half-open: client": Kind(3, void),
    "deaf": Kind(3, deaf),
    "partition": Kind(2, partition),
    "stall": Kind(1, stall, counts=False),
    "rubbish": Kind(3, rubbish),
}
