"""A consumer and a scripted server, for tests: it reads, and the server answers."""

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
    """Take the consumer's next XREAD, dropping the commands before it; return its streams and ids."""
    pair.settle()
    while pair.server.commands[0][0] != b"XREAD":
        pair.server.commands.popleft()
    command = pair.server.commands.popleft()
    rest = command[command.index(b"STREAMS") + 1 :]
    return rest[: len(rest) // 2], rest[len(rest) // 2 :]


def reading(streams: Any = "s", **options: Any) -> tuple[Consumer[Any], Pair]:
    """A consumer whose read waits in the server, without gap detection."""
    consumer = unwatched({streams: "0"} if isinstance(streams, str) else streams, **options)
    pair = Pair(consumer)
    read(pair)
    return consumer, pair
