"""A member of a group and the model server, for tests: enter it, take its batches, and look at the server's pending entries."""

from __future__ import annotations

from typing import Any

from streamcore.entries import GroupBatch, StreamId
from streamcore.events import Connected, Disconnected, Event, Reconnected
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.model.values import Delivery
from streamcore.testing.net import Net
from tests.core.support.entropy import entropy
from tests.core.support.server import Server

FULL = "OOM command not allowed when used memory > 'maxmemory'."
NOISE = (Connected, Reconnected, Disconnected)


def consume(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer of ``s`` that has entered; its first read blocks."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "count": 2, "renew": False}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Net(server, consumer)


def events(net: Net) -> list[Event]:
    """Take the events since the last call, but for connections made and lost."""
    return [event for event in net.pair.events() if not isinstance(event, NOISE)]


def take(consumer: GroupConsumer[bytes], net: Net) -> GroupBatch[bytes] | None:
    """Take the next batch as soon as it is there; None without one. Entries of the redelivery queue are fetched on demand."""
    while (batch := consumer.take()) is None:
        waiting = list(consumer.members[0].loop.redelivery_queue)
        net.serve()
        if not consumer.has_batch and list(consumer.members[0].loop.redelivery_queue) == waiting:
            return None
    net.serve()
    return batch


def taken(consumer: GroupConsumer[bytes], net: Net) -> GroupBatch[bytes]:
    batch = take(consumer, net)
    assert batch is not None
    return batch


def take_all(consumer: GroupConsumer[bytes], net: Net) -> list[GroupBatch[bytes]]:
    """Take all batches until none comes."""
    batches: list[GroupBatch[bytes]] = []
    while (batch := take(consumer, net)) is not None:
        batches.append(batch)
    return batches


def holding(server: Server, entries: int, **options: Any) -> tuple[GroupConsumer[bytes], Net, GroupBatch[bytes]]:
    """A consumer that was handed over so many entries, in a single batch; its next read blocks."""
    add(server, 1, entries)
    consumer, net = consume(server, **{"count": entries + 1, **options})
    return consumer, net, taken(consumer, net)


def ids(batches: list[GroupBatch[bytes]]) -> list[str]:
    return [str(entry.id) for batch in batches for entry in batch]


def add(server: Server, first: int, last: int, stream: str = "s") -> None:
    for number in range(first, last + 1):
        server.add(stream, f"{number}-0")


def deliver(server: Server, consumer: str, *numbers: int, start: str = "0", idle: float = 0.0) -> None:
    """Create the group, and deliver entries to a consumer, ``idle`` seconds ago."""
    server.do("XGROUP", "CREATE", "s", "g", start, "MKSTREAM")
    for number in numbers:
        server.add("s", f"{number}-0")
        server.do("XREADGROUP", "GROUP", "g", consumer, "COUNT", 1, "STREAMS", "s", ">")
    for delivery in server.group().pending.values():
        delivery.at -= round(idle * 1000)


def pending(server: Server, consumer: str, stream: str = "s") -> list[str]:
    found = server.group(stream)
    return [str(StreamId(*id_)) for id_ in found.order if found.pending[id_].consumer == consumer.encode()]


def delivery(server: Server, number: int) -> Delivery:
    """The pending entry of this number, as the server has it."""
    return server.group().pending[StreamId(number)]


def idle_for(server: Server, delivery: Delivery) -> float:
    """How many seconds ago an entry was delivered, as the server counts."""
    return (server.ms - delivery.at) / 1000


def times(server: Server) -> dict[int, int]:
    """How often each pending entry was delivered, as the server counts."""
    return {id_[0]: one.times for id_, one in sorted(server.group().pending.items())}


def sent(server: Server, word: str) -> list[list[bytes]]:
    """Take the commands with this word that the server has seen since the last call."""
    found = [command for command in server.seen if command[0] == word.encode()]
    server.seen.clear()
    return found
