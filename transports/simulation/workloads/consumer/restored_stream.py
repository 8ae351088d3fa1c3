"""A script instead of faults: a stream is restored from a copy whose counters explain all that its reader misses.

The copy has the last entry that was read, and not the entry before it; an entry was deleted behind that. As many entries are
appended to it as were read, before its counters are asked. So they say that nothing was lost but what was deleted; and an unread
entry was lost with the former stream. More entries are there than the counters of the former stream leave room for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ...world.scheduler import BEGIN
from ...world.stream_log import fields_of
from .habits import ReaderHabits
from .workload import add_reader, judged

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ...context import Scene
    from ...world.invariants import EventsInOrder
    from ...world.plan import Size

STREAM: Final = b"s"
COPY: Final = b"copy"
READ: Final = 8
"""Entries that are read before, in peace."""


def add_restored_stream(scene: Scene, _: Size, events: EventsInOrder) -> None:
    """Add a reader to the scene, and the operator who restores its stream."""
    habits = ReaderHabits((STREAM,), "0", None, 100, 4, "restart", 1.0, 0.0, seeks=False)
    id_log, oracles = judged(scene, [STREAM])
    add_reader(scene, "reader-1", id_log, habits, oracles, events)
    restorer = Restorer(scene)
    scene.running.append(restorer.before_command)
    scene.world.at(BEGIN + 1.0, partial(restorer.append, *range(1, READ + 1)))
    scene.world.at(BEGIN + 4.0, restorer.begin)
    scene.world.at(BEGIN + 7.0, partial(restorer.append, 30))


class Restorer:
    """The operator: acts when the reader asks, before the server answers."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._waits_for: bytes | None = None

    def append(self, *ids: int, key: bytes = STREAM) -> None:
        """Append entries with these ids."""
        for id_ in ids:
            self._scene.host.do(b"XADD", key, b"%d" % id_, *fields_of(b"restored:%d" % id_))
        self._scene.note()

    def begin(self) -> None:
        """Append the entry that is read last, and wait until the reader asks for the entry before it."""
        self._waits_for = b"XRANGE"
        self.append(READ + 1)

    def before_command(self, _: Session, words: list[bytes]) -> None:
        """The server is about to run a command."""
        if words[0] == self._waits_for == b"XRANGE":
            self._waits_for = b"XINFO"
            self._restore()
        elif words[0] == self._waits_for == b"XINFO":
            self._waits_for = None
            self.append(*range(READ + 3, 2 * READ + 3))

    def _restore(self) -> None:
        scene, do = self._scene, self._scene.host.do
        self.append(READ + 2)
        self.append(READ // 2, key=COPY)
        do(b"XADD", COPY, b"%d-1" % READ, *fields_of(b"restored and deleted"))
        do(b"XDEL", COPY, b"%d-1" % READ)
        self.append(READ + 1, key=COPY)
        scene.drop(STREAM)
        scene.rewind(STREAM)
        do(b"RENAME", COPY, STREAM)
        scene.world.fault("stream restored", f"{STREAM.decode()} is restored from a copy, without what was read before")
