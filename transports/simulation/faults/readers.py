"""Faults for programs without a group: entries that vanish, replies that are errors, buffers that overflow, channels taken away."""

from __future__ import annotations

from typing import Final

from ..context import Kind, Scene, pick
from ..world.plan import Fault
from .data import trim
from .network import babble
from .server import faults_of

READER_ERRORS: Final = (
    ("XREAD", "LOADING Redis is loading the dataset in memory"),
    ("XREAD", "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
    ("XREAD", "BUSY Redis is busy running a script."),
    ("XREAD", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ("XINFO STREAM", "LOADING Redis is loading the dataset in memory"),
    ("XINFO STREAM", "BUSY Redis is busy running a script."),
    ("XRANGE", "LOADING Redis is loading the dataset in memory"),
    ("XRANGE", "BUSY Redis is busy running a script."),
    ("XADD", "READONLY You can't write against a read only replica."),
    ("HELLO", "LOADING Redis is loading the dataset in memory"),
    ("CLIENT UNBLOCK", "NOPERM User default has no permissions to run the 'client|unblock' command"),
)
SUBSCRIBER_ERRORS: Final = (
    ("SUBSCRIBE", "NOPERM No permissions to access a channel"),
    ("SUBSCRIBE", "LOADING Redis is loading the dataset in memory"),
    ("SUBSCRIBE", "BUSY Redis is busy running a script."),
    ("PSUBSCRIBE", "NOPERM No permissions to access a channel"),
    ("PSUBSCRIBE", "OOM command not allowed when used memory > 'maxmemory'."),
    ("SSUBSCRIBE", "NOPERM No permissions to access a channel"),
    ("SSUBSCRIBE", "CLUSTERDOWN The cluster is down"),
    ("UNSUBSCRIBE", "BUSY Redis is busy running a script."),
    ("PING", "BUSY Redis is busy running a script."),
    ("HELLO", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
)

REQUEST_ERRORS: Final = tuple(
    (command, error)
    for command in ("INCR", "INCR", "ECHO", "RPUSH")
    for error in (
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "BUSY Redis is busy running a script.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MOVED 1234 127.0.0.1:6380",
    )
)


def delete_entry(scene: Scene, fault: Fault) -> str | None:
    """XDEL of any entry."""
    stream = pick(scene.streams, fault.b)
    if stream is None or not scene.host.is_up or scene.host.paused:
        return None
    id_ = pick(scene.history.stream(stream).ids, fault.a)
    if id_ is None:
        return None
    scene.remove(stream, [id_], "XDEL")
    scene.host.do(b"XDEL", stream, b"%d-%d" % id_)
    return f"XDEL of {id_[0]}-{id_[1]} in {stream.decode()}"


def refuse_reader(scene: Scene, fault: Fault) -> None:
    """A command of a reader fails, the next time that it comes."""
    faults_of(scene).arm(*READER_ERRORS[int(fault.a * len(READER_ERRORS))])


def refuse_subscriber(scene: Scene, fault: Fault) -> None:
    """A command of a subscriber fails, the next time that it comes."""
    faults_of(scene).arm(*SUBSCRIBER_ERRORS[int(fault.a * len(SUBSCRIBER_ERRORS))])


def refuse_request(scene: Scene, fault: Fault) -> None:
    """A request fails, the next time that it comes."""
    faults_of(scene).arm(*REQUEST_ERRORS[int(fault.a * len(REQUEST_ERRORS))])


def farewell(scene: Scene, fault: Fault) -> None:
    """The server cannot read a command, says so, and closes; commands before it are run, and commands behind it are not."""
    wire = pick([wire for wire in scene.wires() if wire.link.is_up and wire.session is not None], fault.a)
    if wire is not None and wire.session is not None:
        faults_of(scene).part(wire.session, int(fault.b * 4))


def shrink_buffer(scene: Scene, fault: Fault) -> str:
    """For a while the server keeps next to nothing for clients that do not read."""
    scene.host.server.output_limit = 300
    scene.world.after(0.3 * fault.a, lambda: setattr(scene.host.server, "output_limit", 40_000))
    return f"the server's output buffers are tiny for {0.3 * fault.a:.2f} s"


def take_shard_channel(scene: Scene, fault: Fault) -> str | None:
    """A slot moves: the server ends the subscriptions of a shard channel, and says so."""
    if not scene.host.is_up or scene.host.paused:
        return None
    held = [(wire, name) for wire in scene.host.clients() if wire.session is not None for name in wire.session.shards]
    found = pick(held, fault.a)
    if found is None or found[0].session is None:
        return None
    wire, name = found
    session = found[0].session
    del session.shards[name]
    session.push(b"sunsubscribe", name, len(session.shards))
    scene.host.flush()
    return f"the shard channel {name.decode()} is taken away from {wire.label}"


READER_KINDS: Final = {
    "XTRIM": Kind(14, trim),
    "XDEL": Kind(12, delete_entry),
    "error to a reader": Kind(24, refuse_reader, counts=False),
}
REQUEST_KINDS: Final = {
    "error to a request": Kind(30, refuse_request, counts=False),
    "farewell": Kind(8, farewell),
    "babble": Kind(6, babble),
}
PUBSUB_KINDS: Final = {
    "error to a subscriber": Kind(20, refuse_subscriber, counts=False),
    "tiny buffers": Kind(5, shrink_buffer),
    "shard channel taken": Kind(8, take_shard_channel),
}
