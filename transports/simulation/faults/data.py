"""Changes of the data by others, under the programs' feet. The history is written down before, and the delivery logs are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..context import Kind, Scene, pick
from ..world.plan import Fault
from ..world.stream_log import STRANGER, Key

if TYPE_CHECKING:
    from streamcore.testing.model.values import Group

    from ..workloads.group.delivery_log import DeliveryLog


def chosen(scene: Scene, fault: Fault) -> tuple[bytes, DeliveryLog, Group] | None:
    """A group of a stream that can be reached now."""
    log = pick(scene.delivery_logs, fault.c)
    if log is None or not scene.takes_writes:
        return None
    stream = log.streams[int(fault.b * len(log.streams))]
    group = log.of(stream)
    return None if group is None else (stream, log, group)


def text(id_: tuple[int, int]) -> bytes:
    """An id as commands have it."""
    return b"%d-%d" % id_


def delete_pending(scene: Scene, fault: Fault) -> str | None:
    """XDEL of an entry that an application has in hand."""
    found = chosen(scene, fault)
    if found is None or not found[2].order:
        return None
    id_ = found[2].order[int(fault.a * len(found[2].order))]
    scene.remove(found[0], [id_], "XDEL")
    scene.host.do(b"XDEL", found[0], text(id_))
    return f"XDEL of {id_[0]}-{id_[1]} in {found[0].decode()}, which is pending"


def delete_unread(scene: Scene, fault: Fault) -> str | None:
    """XDEL of an entry that the group has not delivered."""
    found = chosen(scene, fault)
    if found is None:
        return None
    stream, _, group = found
    id_ = pick(scene.history.stream(stream).after(group.last, 0), fault.a)
    if id_ is None:
        return None
    scene.remove(stream, [id_], "XDEL")
    scene.host.do(b"XDEL", stream, text(id_))
    return f"XDEL of {id_[0]}-{id_[1]} in {stream.decode()}, which nobody has read"


def trim(scene: Scene, fault: Fault) -> str | None:
    """XTRIM, of entries that were settled, are pending, or were never read."""
    stream = pick(scene.streams, fault.b)
    if stream is None or not scene.takes_writes:
        return None
    there = scene.history.stream(stream).ids
    count = int(fault.a**3 * len(there)) + 1
    if not there:
        return None
    scene.remove(stream, there[:count], "XTRIM")
    scene.host.do(b"XTRIM", stream, b"MAXLEN", b"%d" % (len(there) - count))
    return f"XTRIM of {count} entries of {stream.decode()}"


def destroy_group(scene: Scene, fault: Fault) -> str | None:
    """XGROUP DESTROY."""
    found = chosen(scene, fault)
    if found is None or fault.a > 0.6:
        return None
    stream, log, _ = found
    scene.note()
    log.reset(stream)
    scene.host.do(b"XGROUP", b"DESTROY", stream, log.group)
    return f"XGROUP DESTROY {stream.decode()}"


def delete_stream(scene: Scene, fault: Fault) -> str | None:
    """A stream expires, or is deleted; or FLUSHALL."""
    stream = pick(scene.streams, fault.b)
    if stream is None or not scene.takes_writes or fault.a > 0.3:
        return None
    scene.note()
    if fault.c < 0.5:
        scene.drop(stream)
        scene.rewind(stream)
        scene.host.do(*((b"PEXPIRE", stream, b"0") if fault.c < 0.25 else (b"DEL", stream)))
        return f"{stream.decode()} expires" if fault.c < 0.25 else f"DEL {stream.decode()}"
    for one in scene.streams:
        scene.drop(one)
        scene.rewind(one)
    scene.host.do(b"FLUSHALL")
    return "FLUSHALL"


def stranger_claims(scene: Scene, fault: Fault) -> str | None:
    """XCLAIM of a member's entries, by a consumer that dies."""
    found = chosen(scene, fault)
    if found is None or not found[2].order:
        return None
    stream, log, group = found
    id_ = text(group.order[int(fault.a * len(group.order))])
    if (key := log.key_at(stream, id_)) is not None:
        fate = log.fate(key)
        fate.strangers += 1
        fate.excused = True
    scene.host.do(b"XCLAIM", stream, log.group, STRANGER, b"0", id_)
    return f"a stranger claims {id_.decode()} of {stream.decode()}"


def stranger_reads(scene: Scene, fault: Fault) -> str | None:
    """XREADGROUP by a consumer that dies."""
    found = chosen(scene, fault)
    if found is None:
        return None
    stream, log, group = found
    ids = scene.history.stream(stream).after(group.last, 1)
    if not ids:
        return None
    fields = scene.history.stream(stream).fields[ids[0]]
    fate = log.fate(Key(stream, text(ids[0]), fields[1]))
    fate.strangers += 1
    fate.excused = True
    scene.host.do(b"XREADGROUP", b"GROUP", log.group, STRANGER, b"COUNT", b"1", b"STREAMS", stream, b">")
    return f"a stranger reads {ids[0][0]}-{ids[0][1]} of {stream.decode()}"


def stranger_settles(scene: Scene, fault: Fault) -> str | None:
    """XACK of a member's entries."""
    found = chosen(scene, fault)
    if found is None or not found[2].order:
        return None
    stream, log, group = found
    id_ = text(group.order[int(fault.a * len(group.order))])
    if (key := log.key_at(stream, id_)) is not None:
        log.fate(key).robbed = True
    scene.host.do(b"XACK", stream, log.group, id_)
    return f"a stranger settles {id_.decode()} of {stream.decode()}"


KINDS: Final = {
    "XDEL of pending": Kind(10, delete_pending),
    "XDEL of unread": Kind(3, delete_unread),
    "XTRIM": Kind(3, trim),
    "XGROUP DESTROY": Kind(2, destroy_group),
    "FLUSHALL": Kind(2, delete_stream),
    "stranger claims": Kind(10, stranger_claims),
    "stranger reads": Kind(3, stranger_reads),
    "stranger settles": Kind(4, stranger_settles),
}
