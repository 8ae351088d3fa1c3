"""Changes of whole streams and groups under the feet of their members: others take their names, or set them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..context import Kind, Scene, pick
from ..world.plan import Fault
from ..world.stream_log import Key, fields_of
from .data import chosen, text

if TYPE_CHECKING:
    from ..workloads.group.delivery_log import DeliveryLog
    from ..world.stream_log import Id

ASIDE: Final = b"aside"
"""The key of a stream before it is renamed."""


def replace_stream(scene: Scene, fault: Fault) -> str | None:
    """RENAME of a stream over another; the oldest of its entries may be trimmed, and it may bring a group of its own."""
    log = pick(scene.delivery_logs, fault.c)
    if log is None or not scene.takes_writes or fault.a > 0.35:
        return None
    stream = log.streams[int(fault.b * len(log.streams))]
    lots = scene.world.lots(f"stream replaced {fault.index}")
    names = [b"aside:%d:%d" % (fault.index, number) for number in range(lots.choice([0, 1, 5, 20, 60]))]
    trimmed = lots.choice([0, 0, len(names) // 2, len(names)])
    has_group = lots.random() < 0.4
    scene.drop(stream)
    scene.rewind(stream)
    log.sent.update(names)
    do = scene.host.do
    do(b"MULTI")
    do(b"DEL", ASIDE)
    do(b"XGROUP", b"CREATE", ASIDE, log.group, b"0", b"MKSTREAM")
    if not has_group:
        do(b"XGROUP", b"DESTROY", ASIDE, log.group)
    for name in names:
        do(b"XADD", ASIDE, b"*", *fields_of(name))
    do(b"XTRIM", ASIDE, b"MAXLEN", b"%d" % (len(names) - trimmed))
    do(b"RENAME", ASIDE, stream)
    do(b"EXEC")
    ms, seq = scene.history.stream(stream).last
    log.losses.add(stream, *((ms, seq - len(names) + number) for number in range(1, trimmed + 1)))
    return f"another stream of {len(names)} entries takes the name of {stream.decode()}; {trimmed} of them are trimmed"


def set_group(scene: Scene, fault: Fault) -> str | None:
    """XGROUP SETID, by a stranger who wants entries again, or not at all."""
    found = chosen(scene, fault)
    if found is None or fault.a > 0.5:
        return None
    stream, log, group = found
    ids = scene.history.stream(stream).ids
    if not ids:
        return None
    id_ = ids[int(fault.a * 2 * len(ids))]
    if id_ > group.last:
        _waive(scene, log, stream, [one for one in ids if group.last < one <= id_])
    else:
        scene.note()
        log.reset(stream)
        log.want_again(stream, group.last)
    scene.host.do(b"XGROUP", b"SETID", stream, log.group, text(id_))
    return f"the group of {stream.decode()} is set to {text(id_).decode()}"


def replace_group(scene: Scene, fault: Fault) -> str | None:
    """XGROUP DESTROY and XGROUP CREATE in a single moment, by a stranger, at the end or somewhere in the stream."""
    found = chosen(scene, fault)
    if found is None or fault.a > 0.5:
        return None
    stream, log, _ = found
    there = scene.history.stream(stream)
    id_ = there.last if fault.a < 0.25 or not there.ids else there.ids[int((fault.a * 4 - 1) * len(there.ids))]
    scene.note()
    log.reset(stream)
    _waive(scene, log, stream, [one for one in there.ids if one <= id_])
    for words in ((b"MULTI",), (b"XGROUP", b"DESTROY", stream, log.group)):
        scene.host.do(*words)
    scene.host.do(b"XGROUP", b"CREATE", stream, log.group, text(id_))
    scene.host.do(b"EXEC")
    return f"the group of {stream.decode()} is another one now, at {text(id_).decode()}"


def set_stream(scene: Scene, fault: Fault) -> str | None:
    """XSETID: the stream's last id is moved ahead, and more entries are said to have been added than there were."""
    found = chosen(scene, fault)
    if found is None or fault.a > 0.5:
        return None
    stream, log, _ = found
    there = scene.history.stream(stream)
    added = there.added + int(fault.a * 6)
    log.losses.believe(stream)
    scene.host.do(b"XSETID", stream, text((there.last[0], there.last[1] + 1)), b"ENTRIESADDED", b"%d" % added)
    return f"the counters of {stream.decode()} are set: {added} entries are said to have been added"


def _waive(scene: Scene, log: DeliveryLog, stream: bytes, ids: list[Id]) -> None:
    """A stranger does not want these to be handed over."""
    if ids:
        log.losses.waived.add(stream)
    fields = scene.history.stream(stream).fields
    for id_ in ids:
        fate = log.fate(Key(stream, text(id_), fields[id_][1]))
        if not (fate.acked or fate.buried):
            fate.robbed = True


KINDS: Final = {
    "stream replaced": Kind(3, replace_stream),
    "XGROUP SETID": Kind(2, set_group),
    "group replaced": Kind(2, replace_group),
    "XSETID": Kind(1, set_stream),
}
