"""Trials of the steady state that concern requests: connections that die in silence, or in words, and servers that are merely busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from streamcore.commands import echo, incr
from streamcore.connection.patience import LONGEST, SLOWEST
from streamcore.errors import UnreadableError

from ..faults.network import BABBLE
from ..faults.server import faults_of
from ..workloads.requests import SLACK, Requester
from ..world.actor import OPTIONS, RECOVERY
from ..world.invariants import Oracle
from .context import SteadyState

if TYPE_CHECKING:
    from streamcore import Link
    from streamcore.requests import Request

    from ..world.network import Wire

TIME: Final = OPTIONS.request_timeout


class RepeatedInTime(Oracle):
    """*A connection answers nothing, and the server answers a new connection*: commands that may be repeated have their answers in time."""


class BusyIsWaitedFor(Oracle):
    """*The server is busy, and answers no client*: it is waited for, on the same connection."""


class SentAgain(Oracle):
    """*The server cannot read a command*: commands behind it are sent again, once, and are answered; commands before it were run."""


class BytesAreNoAnswer(Oracle):
    """*The server sends bytes, and no answer*: they prolong the wait by their time at 16 KiB a second, to tenfold at most."""


def try_requests(steady: SteadyState) -> None:
    """Try all of it with the first requester that is there, while all requesters rest."""
    requesters = [one for one in steady.scene.programs if isinstance(one, Requester)]
    requester = next((one for one in requesters if one.node is not None), None)
    if requester is None:
        return
    _rest(requesters, rests=True)
    for trial in (_forgotten, _busy, _farewell, _in_a_pipeline, _babble):
        steady.run(RECOVERY)
        trial(steady, requester)
    _rest(requesters, rests=False)
    steady.run(RECOVERY)


def _rest(requesters: list[Requester], *, rests: bool) -> None:
    for requester in requesters:
        requester.rests = rests


def _main(requester: Requester) -> tuple[Link, Wire]:
    """The link that all its requests share, and its connection."""
    assert requester.node is not None
    link = next(link for link in requester.engine.links() if link.name == "main")
    return link, requester.node.wires[link]


def _forgotten(steady: SteadyState, requester: Requester) -> None:
    """A gateway has forgotten the connection: bytes vanish, both ways."""
    _, wire = _main(requester)
    wire.up.deaf = wire.down.deaf = True
    steady.world.tell(wire.label, "is forgotten by a gateway")
    request = requester.engine.submit([echo(b"calm")], _nobody)
    steady.run(TIME + SLACK)
    if request.error is not None or request.replies != [b"calm"]:
        RepeatedInTime(steady.world).violated(
            f"{requester.label}: {request.error or request.replies} over {wire.label}"
        )


def _busy(steady: SteadyState, requester: Requester) -> None:
    """The server stands still for most of a request's time."""
    link, wire = _main(requester)
    steady.scene.host.pause()
    key = b"calm:busy:%b" % requester.seeded_label.encode()
    asked = [requester.engine.submit([command], _nobody) for command in (echo(b"calm"), incr(key))]
    steady.run(TIME * 0.7)
    steady.scene.host.resume()
    steady.run(TIME * 0.3)
    assert requester.node is not None
    replies = [reply for request in asked for reply in request.replies]
    if requester.node.wires.get(link) is not wire or replies != [b"calm", 1]:
        errors = [str(request.error) for request in asked]
        BusyIsWaitedFor(steady.world).violated(f"{requester.label}: {replies}, {errors}, and the server was only busy")


def _farewell(steady: SteadyState, requester: Requester) -> None:
    """The server can read the first request, and not the second."""
    keys = [b"calm:farewell:%d:%b" % (number, requester.seeded_label.encode()) for number in range(5)]
    _leave_behind(steady, requester, 1)
    asked = [requester.engine.submit([incr(key)], _nobody) for key in keys]
    steady.run(TIME + SLACK)
    _check_farewell(
        steady, requester, keys, [reply for request in asked for reply in _came(request)], [1, None, 1, 1, 1]
    )


def _in_a_pipeline(steady: SteadyState, requester: Requester) -> None:
    """The same within a request; another stands behind it."""
    keys = [b"calm:pipeline:%d:%b" % (number, requester.seeded_label.encode()) for number in range(4)]
    _leave_behind(steady, requester, 1)
    asked = [requester.engine.submit([incr(key) for key in several], _nobody) for several in (keys[:3], keys[3:])]
    steady.run(TIME + SLACK)
    _check_farewell(
        steady, requester, keys, [reply for request in asked for reply in _came(request)], [1, None, None, 1]
    )


def _leave_behind(steady: SteadyState, requester: Requester, commands: int) -> None:
    _, wire = _main(requester)
    assert wire.session is not None
    faults_of(steady.scene).part(wire.session, commands)


def _check_farewell(
    steady: SteadyState, requester: Requester, keys: list[bytes], replies: list[object], wanted: list[int | None]
) -> None:
    """None: it was not read, and is said not to have been."""
    run = [_count(steady, key) for key in keys]
    meant = [None if isinstance(reply, UnreadableError) else reply for reply in replies]
    if meant != wanted or run != [number or 0 for number in wanted]:
        SentAgain(steady.world).violated(
            f"{requester.label}: {replies}, and what was run is {run}, where {wanted} is right"
        )


def _count(steady: SteadyState, key: bytes) -> int:
    value: Any = steady.scene.host.server.databases[0].values.get(key)
    return int(bytes(value or b"0"))


def _babble(steady: SteadyState, requester: Requester) -> None:
    """Bytes come, few or many, and no answer."""
    world, (link, wire) = steady.world, _main(requester)
    first, piece = BABBLE[steady.lots.randrange(len(BABBLE))]
    many = steady.lots.random() < 0.5
    pieces, every = (10, 0.02) if many else (1, 0.05)
    rate = pieces * len(piece) / every
    wire.babble(first, pieces * piece, every)
    world.tell(wire.label, f"babbles {rate:.0f} bytes a second")
    limit = TIME * (LONGEST if many else 1.0 + 2.0 * rate / SLOWEST) + every + 2 * SLACK
    began, key = world.now, b"calm:babble:%b" % requester.seeded_label.encode()
    request = requester.engine.submit([incr(key)], _nobody)
    _until(steady, lambda: request.finished, TIME + SLACK)
    if not request.finished:
        BytesAreNoAnswer(world).violated(
            f"{requester.label} waits for more than {world.now - began:.3f} s for an answer"
        )
    assert requester.node is not None
    node = requester.node
    _until(steady, lambda: node.wires.get(link) is not wire, limit - (world.now - began))
    if node.wires.get(link) is wire:
        BytesAreNoAnswer(world).violated(f"{wire.label} is kept for more than {world.now - began:.3f} s")


def _until(steady: SteadyState, done: Callable[[], bool], seconds: float) -> None:
    end = steady.world.now + seconds
    while not done() and steady.world.now < end:
        steady.run(min(SLACK, end - steady.world.now))


def _came(request: Request) -> list[object]:
    return [request.error] if request.error is not None else list(request.replies)


def _nobody(request: Request) -> None:
    """The trial looks at it."""
