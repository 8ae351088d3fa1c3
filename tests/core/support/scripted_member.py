"""A member of a group and a scripted server, for tests: it has entered, and reads."""

from __future__ import annotations

from typing import Any

from streamcore.entries import GroupBatch
from streamcore.errors import NoGroupError, ReadOnlyError, UnblockedError
from streamcore.events import Connected, Disconnected, Event, Reconnected
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.pair import Pair, Peer
from streamcore.testing.resp import entry
from tests.core.support.entropy import entropy
from tests.core.support.streams import listed

NOGROUP = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g' in XREADGROUP with GROUP option")
UNBLOCKED = UnblockedError("UNBLOCKED", "the stream key no longer exists")
READONLY = ReadOnlyError("READONLY", "You can't write against a read only replica.")
READ = ("XREADGROUP", "GROUP", "g", "c", "COUNT", 2)
PATIENT = (*READ, "BLOCK", 5000, "STREAMS", "s", ">")
EAGER = (*READ, "STREAMS", "s", ">")
CONNECTED = (Connected, Reconnected, Disconnected)
GONE = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g'")


def keep_up(peer: Peer) -> None:
    """Answer the upkeep: the group is there, no entry is pending, no consumer is idle."""
    while peer.commands:
        match peer.commands[0]:
            case [b"INFO", *_]:
                reply: Any = "# Server\r\nrun_id:1\r\n"
            case [b"CLIENT", b"LIST", *_]:
                reply = ""
            case [b"XINFO", b"GROUPS", _]:
                reply = [listed()]
            case [b"XINFO", b"CONSUMERS", *_] | [b"XPENDING", _, _, _, *_]:
                reply = []
            case [b"XPENDING", _, _]:
                reply = [0, None, None, None]
            case _:
                return
        peer.commands.popleft()
        peer.answer(reply)


def joined(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` (COUNT 2) that has just connected, without lease and gap detection."""
    plain = {"streams": "s", "group": "g", "consumer": "c", "count": 2, "exclusive": False, "detect_gaps": None}
    consumer: GroupConsumer[bytes] = GroupConsumer(**{**plain, **options})
    return consumer, Pair(consumer)


def entered(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` whose first read has come back empty; its upkeep is done, and its next read is sent."""
    consumer, pair = joined(**options)
    settle_in(pair.server)
    return consumer, pair


def settle_in(peer: Peer) -> None:
    """Answer the upkeep of a new connection, its first read, by no entry, and the upkeep behind that."""
    keep_up(peer)
    peer.expect("XREADGROUP")
    peer.answer(None)
    keep_up(peer)


def dialled(pair: Pair) -> None:
    """Dial the lost connection again; its first read is sent."""
    pair.advance(0.05)
    keep_up(pair.server)


def reconnected(pair: Pair) -> None:
    """Dial the lost connection again, and answer its upkeep and its first read."""
    pair.advance(0.05)
    settle_in(pair.server)


def reply(*ids: str, stream: str = "s") -> dict[str, Any]:
    return {stream: [entry(id_) for id_ in ids]}


def taken(consumer: GroupConsumer[bytes]) -> GroupBatch[bytes]:
    batch = consumer.take()
    assert batch is not None
    return batch


def events(pair: Pair) -> list[Event]:
    """Take the events since the last call, but for connections made and lost."""
    return [event for event in pair.events() if not isinstance(event, CONNECTED)]


def acking(pair: Pair) -> Peer:
    """The server's end of the acking link, which asks first whether it is the server of the reading link."""
    peer = pair.peer("acks")
    keep_up(peer)
    return peer


def links(pair: Pair) -> list[str]:
    return [link.name for link in pair.engine.links()]


def scripted(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` that has just connected to a scripted server."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "exclusive": False, "detect_gaps": None}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Pair(consumer)
