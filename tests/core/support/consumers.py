"""A consumer and a scripted server, for tests: it reads, and what it is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from streamcore.consumer.consumer import Consumer
from streamcore.errors import reply_error
from streamcore.testing.pair import Pair

unwatched = partial(Consumer[Any], detect_gaps=False)
NO_KEY = reply_error("ERR no such key")


def ids(consumer: Consumer[Any]) -> list[str]:
    return [str(one.id) for batch in iter(consumer.take, None) for one in batch]


def read(pair: Pair) -> tuple[list[bytes], list[bytes]]:
    """The streams and the ids of the read that the server gets now, and whatever was in front of it is dropped."""
    pair.settle()
    while pair.server.commands[0][0] != b"XREAD":
        pair.server.commands.popleft()
    command = pair.server.commands.popleft()
    rest = command[command.index(b"STREAMS") + 1 :]
    return rest[: len(rest) // 2], rest[len(rest) // 2 :]


def reading(streams: Any = "s", **options: Any) -> tuple[Consumer[Any], Pair]:
    """A consumer that waits in the server."""
    consumer = unwatched({streams: "0"} if isinstance(streams, str) else streams, **options)
    pair = Pair(consumer)
    read(pair)
    return consumer, pair
