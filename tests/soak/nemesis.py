"""What breaks things, with a seed: every kind of fault in a random order, again and again, some at the same time.

It speaks to the server with its own few lines of code, never with the code under test, and never while the server is down: to
kill the server and to start it again is one step.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import hiredis

from tests.support.raw import Raw
from transports.embedded import EmbeddedServer

from .crew import GRACE, Child, Crew, Worker
from .faults import DELETED, Fault, Ids
from .settings import BLOCK, GROUP, STREAMS, UNTOUCHED, Settings

MANY: Final = 100_000
BEHIND: Final = 20  # entries
PATIENCE: Final = 5.0
TOUCHED: Final = tuple(stream for stream in STREAMS if stream != UNTOUCHED)


class Nemesis:
    """Faults so far are in ``faults``; what went wrong by itself is in ``surprises``."""

    def __init__(self, settings: Settings, server: EmbeddedServer, crew: Crew) -> None:
        self.faults: list[Fault] = []
        self.surprises: list[str] = []
        self._settings = settings
        self._server = server
        self._crew = crew
        self._draw = random.Random(settings.seed)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._hand: list[Callable[[], None]] = []
        self._deck: Final = (
            self.cut_connections,
            self.cut_connections,
            self.kill_worker,
            self.kill_worker,
            self.stop_worker,
            self.dismiss_worker,
            self.kill_server,
            self.pause_server,
            self.destroy_group,
            self.trim,
            self.delete_pending,
            self.delete_stream,
        )

    # -- time --------------------------------------------------------------------------------------------------------

    def strike(self) -> None:
        """The next fault."""
        if not self._hand:
            self._hand = list(self._deck)
            self._draw.shuffle(self._hand)
        self._hand.pop()()

    def patience(self) -> float:
        """A factor for the pause before the next fault."""
        return self._draw.uniform(0.2, 1.8)

    def tend(self) -> None:
        """What is due now: the ends of faults, and new processes for those that have ended."""
        now = time.monotonic()
        due = [step for at, step in self._later if at <= now]
        self._later = [(at, step) for at, step in self._later if at > now]
        for step in due:
            step()
        for worker in self._crew.workers:
            if worker.child is None:
                if now >= worker.due:
                    self._crew.start(worker, new_name=worker.lives > 0 and self._draw.random() < 0.5)
            elif (status := worker.child.status) is not None:
                self._bury(worker, worker.child, status)

    def heal(self) -> None:
        """End every fault that lasts."""
        while any(not worker.works for worker in self._crew.workers):
            self.tend()
            time.sleep(0.05)

    def _bury(self, worker: Worker, child: Child, status: int) -> None:
        """A process has ended: it was dismissed, or killed by a poisonous entry, or by a bug."""
        if status == -signal.SIGKILL:
            self._note("poison", worker.name, self.pending(worker.name))
        elif child.dismissed and status in {0, -signal.SIGTERM}:  # the latter where it had hardly begun
            self._note("worker left", worker.name, self.pending(worker.name))
        else:
            self.surprises.append(f"worker {child.label} ended with status {status}: {child.complaints or 'no word'}")
        self._vacate(worker)

    def _vacate(self, worker: Worker) -> None:
        assert worker.child is not None
        worker.child.kill()  # dead already, but for what we hold of it
        worker.child, worker.due = None, time.monotonic() + self._draw.uniform(0.0, 1.0)

    def _note(self, kind: str, detail: str = "", again: Ids | None = None) -> Fault:
        self.faults.append(Fault(time.monotonic(), kind, detail, again or {}))
        return self.faults[-1]

    # -- workers -----------------------------------------------------------------------------------------------------

    def _somebody(self) -> tuple[Worker, Child] | None:
        able = [(worker, worker.child) for worker in self._crew.workers if worker.works and worker.child is not None]
        return self._draw.choice(able) if able else None

    def kill_worker(self) -> None:
        if (victim := self._somebody()) is not None:
            worker, child = victim
            child.kill()
            self._note("worker killed", worker.name, self.pending(worker.name))
            self._vacate(worker)

    def stop_worker(self) -> None:
        """Longer than its entries may be idle, so that others claim them; then it goes on, none the wiser."""
        if (victim := self._somebody()) is None:
            return
        worker, child = victim
        child.stop()
        fault = self._note("worker stopped", worker.name, self.pending(worker.name))

        def look() -> None:  # reads that it had sent have been answered by now
            fault.add(self.pending(worker.name))

        def go_on() -> None:
            look()
            child.go_on()

        idle = self._settings.claim_idle
        now = time.monotonic()
        self._later += [(now + BLOCK + 0.3, look), (now + idle * self._draw.uniform(1.2, 2.0), go_on)]

    def dismiss_worker(self) -> None:
        if (victim := self._somebody()) is not None:
            worker, child = victim
            child.dismiss()
            self._later.append((time.monotonic() + GRACE, partial(self._insist, worker, child)))

    def _insist(self, worker: Worker, child: Child) -> None:
        if child.status is None:
            self.surprises.append(f"worker {child.label} has not left within {GRACE:g} s: {child.stacks()}")
            child.kill()

    # -- connections and the server ----------------------------------------------------------------------------------

    def cut_connections(self) -> None:
        with self._raw() as raw:
            me = raw("CLIENT", "ID")
            listed = [int(line.split(b"id=")[1].split()[0]) for line in raw("CLIENT", "LIST").splitlines()]
            victims = [number for number in listed if number != me and self._draw.random() < 0.3]
            killed = sum(raw("CLIENT", "KILL", "ID", number) for number in victims)
        self._note("connections cut", f"{killed} of {len(listed) - 1}")

    def kill_server(self) -> None:
        self._server.kill()
        fault = self._note("server killed")
        time.sleep(self._draw.uniform(0.0, 1.0))
        self._server.restart()
        fault.add(self.pending())

    def pause_server(self) -> None:
        seconds = self._draw.uniform(0.2, 1.0)
        self._server.pause()
        time.sleep(seconds)
        self._server.resume()
        self._note("server paused", f"{seconds:.1f} s")

    # -- data --------------------------------------------------------------------------------------------------------

    def destroy_group(self) -> None:
        stream = self._draw.choice(STREAMS)
        with self._raw() as raw:
            fault = Fault(time.monotonic(), "group destroyed", stream, destroyed=stream)
            for command in (["MULTI"], ["XINFO", "GROUPS", stream], ["XGROUP", "DESTROY", stream, GROUP], ["EXEC"]):
                raw.send(*command)
            *_, (groups, destroyed) = [raw.read() for _ in range(4)]
        if destroyed == 1:
            [group] = [dict(zip(one[::2], one[1::2], strict=True)) for one in groups if GROUP.encode() in one]
            fault.delivered = group[b"last-delivered-id"].decode()
            self.faults.append(fault)

    def trim(self) -> None:
        """Away from under the group, if it falls behind within a few seconds: entries that nobody has seen go, too."""
        stream = self._draw.choice(TOUCHED)
        deadline = time.monotonic() + PATIENCE
        with self._raw() as raw:
            while not (behind := _lag(raw, stream)) > BEHIND and time.monotonic() < deadline:
                self.tend()
                time.sleep(0.003)
            gone = raw("XTRIM", stream, "MAXLEN", behind // 2 if behind > BEHIND else self._draw.randrange(30))
        self._note("stream trimmed", f"{gone} of {stream}, {behind} behind")

    def delete_pending(self) -> None:
        stream = self._draw.choice(TOUCHED)
        ids = self.pending()[stream]
        if ids:
            with self._raw() as raw:
                chosen = self._draw.sample(ids, min(len(ids), self._draw.randrange(1, 8)))
                self._note("pending deleted", f"{raw('XDEL', stream, *chosen)} of {stream}")

    def delete_stream(self) -> None:
        if self._draw.random() < 0.5:
            stream = self._draw.choice(TOUCHED)
            self._note(DELETED, stream)
            with self._raw() as raw:
                raw("DEL", stream)

    def pending(self, name: str | None = None) -> Ids:
        """What is pending now, of a member or of all."""
        with self._raw() as raw:
            return {stream: _pending(raw, stream, [name] if name else []) for stream in STREAMS}

    def _raw(self) -> Raw:
        return Raw(self._server.address)


def _lag(raw: Raw, stream: str) -> int:
    """How far the group is behind; 0 where nobody knows."""
    try:
        groups = [dict(zip(one[::2], one[1::2], strict=True)) for one in raw("XINFO", "GROUPS", stream)]
    except hiredis.ReplyError:
        return 0
    return next((group[b"lag"] or 0 for group in groups if group[b"name"] == GROUP.encode()), 0)


def _pending(raw: Raw, stream: str, name: list[str]) -> list[str]:
    try:
        rows: list[Any] = raw("XPENDING", stream, GROUP, "-", "+", MANY, *name)
    except hiredis.ReplyError:  # no such group, just now
        return []
    return [row[0].decode() for row in rows]
