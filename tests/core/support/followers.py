"""A consumer and the model server, for tests: it follows streams, and hands over their entries."""

from __future__ import annotations

from typing import Any

from streamcore.consumer.consumer import Consumer
from streamcore.events import Event, Gap
from streamcore.testing.net import Net
from tests.core.support.server import Server


def following(server: Server, streams: dict[str, str], **options: Any) -> tuple[Consumer[Any], Net]:
    consumer: Consumer[Any] = Consumer(streams, block=1.0, random=lambda: 0.5, **options)
    return consumer, Net(server, consumer)


def take_all(consumer: Consumer[Any], net: Net, *, rounds: int = 8) -> list[tuple[bytes, int]]:
    taken: list[tuple[bytes, int]] = []
    for _ in range(rounds):
        while (batch := consumer.take()) is not None:
            taken += [(batch.key, one.id.ms) for one in batch]
            net.serve()
        net.advance(1.1)
    return taken


def append(server: Server, stream: str, *ids: int, **fields: str) -> None:
    for number in ids:
        server.add(stream, f"{number}-0", **fields)


def gaps(events: list[Event]) -> list[Gap]:
    return [event for event in events if isinstance(event, Gap)]
