"""Faults for readers of streams: another stream takes a stream's name, and counters are set."""

from __future__ import annotations

from typing import Final

from ..context import Kind, Scene, pick
from ..world.plan import Fault
from ..world.stream_log import fields_of

ASIDE: Final = b"aside"
"""The key of a stream before it is renamed."""


def replace(scene: Scene, fault: Fault) -> str | None:
    """A stream is deleted, expires, or is renamed over, and there is another stream at once.

    Some of the new entries may have been trimmed already; often there are more than the old stream ever had.
    """
    stream = pick(scene.streams, fault.b)
    if stream is None or not scene.takes_writes:
        return None
    lots, do = scene.world.lots(f"stream replaced {fault.index}"), scene.host.do
    had = scene.history.stream(stream).added
    count = lots.choice([0, 1, 3, 12, had + 5, 2 * had + 5])
    trimmed = lots.choice([0, 0, count // 3])
    for number in range(count):
        do(b"XADD", ASIDE, b"*", *fields_of(b"aside:%d:%d" % (fault.index, number)))
    gone = scene.history.stream(ASIDE).ids[:trimmed]
    do(b"XTRIM", ASIDE, b"MAXLEN", b"%d" % (count - trimmed))
    scene.drop(stream)
    scene.rewind(stream)
    how = lots.choice(["DEL", "expiry", "RENAME"]) if count else lots.choice(["DEL", "expiry"])
    do(b"MULTI")
    if how == "expiry":
        do(b"PEXPIREAT", stream, b"1")
    elif how == "DEL":
        do(b"DEL", stream)
    if count:
        do(b"RENAME", ASIDE, stream)
    do(b"EXEC")
    scene.remove(stream, gone, "XTRIM")
    return f"{how} of {stream.decode()}, and another one of {count} entries, {trimmed} of them trimmed"


def set_counters(scene: Scene, fault: Fault) -> str | None:
    """XSETID: more or fewer entries are said to have been added than there were; or the last id is moved ahead."""
    stream = pick(scene.streams, fault.b)
    if stream is None or not scene.takes_writes or stream not in scene.host.server.databases[0].values:
        return None
    there = scene.history.stream(stream)
    added = len(there.ids) + int(fault.a * 2 * (there.added - len(there.ids) + 3))
    for told in scene.setting:
        told(stream)
    last = there.last if fault.c < 0.5 else (there.last[0], there.last[1] + 3)
    scene.host.do(b"XSETID", stream, b"%d-%d" % last, b"ENTRIESADDED", b"%d" % added)
    return f"XSETID of {stream.decode()}: {added} entries are said to have been added"


KINDS: Final = {"stream replaced": Kind(4, replace), "XSETID": Kind(1, set_counters)}
