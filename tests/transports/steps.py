"""What scenarios do again and again. Entries of these tests have one field, ``n``, that counts them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports.anyio import Consumer, GroupConsumer


def add(raw: Raw, numbers: Iterable[int], stream: str = "s") -> list[bytes]:
    """Append an entry for each number, in one go."""
    listed = list(numbers)
    for number in listed:
        raw.send("XADD", stream, "*", "n", number)
    return [raw.read() for _ in listed]


async def take(consumer: Consumer[Any] | GroupConsumer[Any], count: int) -> list[int]:
    """The numbers of the next entries, not acknowledged."""
    return [int((await anext(consumer))["n"]) for _ in range(count)]


async def take_and_ack(consumer: GroupConsumer[Any], count: int) -> list[int]:
    """The numbers of the next entries, each acknowledged."""
    numbers = []
    for _ in range(count):
        entry = await anext(consumer)
        numbers.append(int(entry["n"]))
        entry.ack()
    return numbers


async def drain(consumer: GroupConsumer[Any], *, quiet: float = 0.3) -> list[int]:
    """The numbers of all entries, each acknowledged, until none comes for ``quiet`` seconds."""
    numbers = []
    while (entry := await consumer.get(timeout=quiet)) is not None:
        numbers.append(int(entry["n"]))
        entry.ack()
    return numbers


def pending(raw: Raw, stream: str = "s", group: str = "g") -> int:
    """How many entries of the group are delivered and not acknowledged."""
    count: int = raw("XPENDING", stream, group)[0]
    return count


def clients(raw: Raw, command: str = "") -> list[dict[str, str]]:
    """The server's list of other connections; those whose last command is ``command``, where given."""
    me = str(raw("CLIENT", "ID"))
    listed = (dict(item.split("=", 1) for item in line.split()) for line in raw("CLIENT", "LIST").decode().splitlines())
    return [one for one in listed if one["id"] != me and command in ("", one["cmd"])]


async def blocked(runtime: Runtime, raw: Raw, count: int = 1) -> None:
    """Wait until so many readers block in the server, and tasks that were started before wait for them."""

    def blocked_clients() -> int:
        info: bytes = raw("INFO", "clients")
        return int(info.split(b"blocked_clients:")[1].split(b"\r")[0])

    await runtime.until(lambda: blocked_clients() == count)
    await runtime.sleep(0.02)  # a reader blocks because of its prefetch, too, with nobody waiting yet
