"""A run from its beginning to its end: a server, four workers, a producer, the nemesis; then healing, and the account."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any, Final

import hiredis

from tests.support.raw import Raw
from transports.embedded import EmbeddedServer

from . import faults
from .account import Account, Ending, Handled, PendingSend, balance
from .crew import Child, Crew, journals
from .journal import read
from .nemesis import Nemesis
from .settings import GROUP, STREAMS, Settings

DRAIN: Final = 90.0  # seconds in which everything must be settled once nothing breaks any more
PAGE: Final = 10_000


def soak(settings: Settings, say: Callable[[str], None] = lambda text: None) -> tuple[Account, list[faults.Fault]]:
    """Run it. What it has written down stays in ``settings.directory``, if something was wrong."""
    with EmbeddedServer(appendonly="always", dir=settings.path / "server") as server:
        crew = Crew(settings, server.url)
        nemesis = Nemesis(settings, server, crew)
        children: list[Child] = []
        try:
            producer = Child(settings, server.url, "producer", "producer")
            children.append(producer)
            nemesis.tend()
            torment(nemesis, settings, producer, say)
            say("healing")
            nemesis.heal()
            surprises = [] if producer.leave() == 0 else [f"the producer has failed: {producer.complaints}"]
            surprises += settle(nemesis, server, crew, say)
            for worker in crew.workers:
                if worker.child is not None and (status := worker.child.leave()):
                    surprises.append(f"worker {worker.name} ended with status {status}: {worker.child.complaints}")
            ending = look(server)
        finally:
            for child in (*children, *(worker.child for worker in crew.workers if worker.child is not None)):
                child.kill()
    faults.write(settings.path / "faults.json", nemesis.faults)
    account = balance(
        PendingSend.of(read(settings.path / "producer.journal")),
        Handled.of(map(read, journals(settings.path))),
        nemesis.faults,
        ending,
    )
    account.problems += nemesis.surprises + surprises
    complaints = [path for path in settings.path.glob("*.err") if path.stat().st_size]
    account.complain("processes complained", (f"{path.name}: {path.read_text()[-2000:]}" for path in complaints))
    return account, nemesis.faults


def torment(nemesis: Nemesis, settings: Settings, producer: Child, say: Callable[[str], None]) -> None:
    """Fault after fault, for as long as it was asked for."""
    now = time.monotonic()
    end, strike_at = now + settings.seconds, now + 1.5  # everybody shall have begun
    while (now := time.monotonic()) < end:
        nemesis.tend()
        if now >= strike_at:
            before = len(nemesis.faults)
            nemesis.strike()
            for fault in nemesis.faults[before:]:
                say(f"{fault.kind} {fault.detail}")
            strike_at = time.monotonic() + settings.pause * nemesis.patience()
        if producer.status is not None:
            raise RuntimeError(f"the producer has ended: {producer.complaints}")
        time.sleep(0.02)


def settle(nemesis: Nemesis, server: EmbeddedServer, crew: Crew, say: Callable[[str], None]) -> list[str]:
    """Wait until everything is handled; what is wrong, where it is not in time."""
    deadline = time.monotonic() + DRAIN
    open_: dict[str, dict[str, int]] = {}
    while time.monotonic() < deadline:
        nemesis.tend()
        with Raw(server.address) as raw:
            open_ = {stream: unsettled(raw, stream) for stream in STREAMS}
        if not any(count for counts in open_.values() for count in counts.values()):
            say("everything is settled")
            return []
        time.sleep(0.1)
    stacks = [worker.child.stacks() for worker in crew.workers if worker.child is not None]
    return [f"not settled within {DRAIN:g} s: {open_}", *stacks]


def unsettled(raw: Raw, stream: str) -> dict[str, int]:
    """What a stream has that is pending, or not delivered."""
    try:
        groups = raw("XINFO", "GROUPS", stream)
    except hiredis.ReplyError:  # deleted, and nothing came afterwards
        return {}
    facts = [dict(zip(one[::2], one[1::2], strict=True)) for one in groups]
    mark = next((one[b"last-delivered-id"] for one in facts if one[b"name"] == GROUP.encode()), None)
    if mark is None:
        return {"without a group": raw("XLEN", stream)}
    pending = raw("XPENDING", stream, GROUP)[0]
    return {"pending": pending, "not delivered": len(raw("XRANGE", stream, b"(" + mark, "+", "COUNT", 1000))}


def look(server: EmbeddedServer) -> Ending:
    """What the server has."""
    ending = Ending({}, {"pending": 0, "not delivered": 0, "without a group": 0})
    with Raw(server.address) as raw:
        for stream in STREAMS:
            ending.entries[stream] = {id_: int(fields[b"n"]) for id_, fields in scan(raw, stream)}
            for what, count in unsettled(raw, stream).items():
                ending.unsettled[what] += count
            ending.letters[stream] = [letter(fields) for _, fields in scan(raw, f"{{{stream}}}:dead")]
    return ending


def letter(fields: dict[bytes, bytes]) -> tuple[str, int]:
    return fields[b"dead:id"].decode(), int(fields[b"dead:attempts"])


def scan(raw: Raw, stream: str) -> list[tuple[str, dict[bytes, Any]]]:
    """All entries of a stream."""
    found: list[tuple[str, dict[bytes, Any]]] = []
    start = b"-"
    while page := raw("XRANGE", stream, start, "+", "COUNT", PAGE):
        found += [(id_.decode(), dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in page]
        start = b"(" + page[-1][0]
    return found


def clear(settings: Settings) -> None:
    shutil.rmtree(settings.path, ignore_errors=True)
