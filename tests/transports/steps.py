"""What scenarios do again and again. Entries of these tests have one field, ``n``, that counts them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import pytest

from streamcore import ConnectFailed, ConnectionLost
from tests.support.raw import Raw
from tests.transports.runtimes import PATIENCE, Runtime
from transports.anyio import Consumer, GroupConsumer

T = TypeVar("T")
HASTE = 0.3  # seconds of a timeout that is waited out; what has to succeed within it, ``entered`` and ``answer`` repeat
WAITS = 4  # of them makes quiet, as the machine may stall during one


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


async def until_quiet(get: Callable[..., Awaitable[T | None]], quiet: float = 0.3) -> AsyncIterator[T]:
    """All that ``get`` gets until nothing comes for ``quiet`` seconds: of several waits, a machine that stalls ends but one."""
    waits = 0
    while waits < WAITS:
        waits += 1
        if (found := await get(timeout=quiet / WAITS)) is not None:
            waits = 0
            yield found


async def drain(consumer: GroupConsumer[Any], least: int = 0, *, quiet: float = 0.3) -> list[int]:
    """The numbers of all entries, each acknowledged: of the ``least`` that must come, and then until none comes for ``quiet`` seconds."""
    numbers = await take_and_ack(consumer, least)
    async for entry in until_quiet(consumer.get, quiet):
        numbers.append(int(entry["n"]))
        entry.ack()
    return numbers


@asynccontextmanager
async def entered(make: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
    """Enter what has a timeout that is to be waited out later: anew, where the machine stalls for as long on the way in."""
    async with AsyncExitStack() as stack:
        yield await answer(lambda: stack.enter_async_context(make()))


async def answer(ask: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
    """The answer to what may be asked again, where a timeout is to be waited out elsewhere: the machine may stall for as long."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask(*args, **options)
        except ConnectionLost:
            if time.monotonic() > deadline:
                raise


async def refused(
    enter: Callable[[float], AbstractAsyncContextManager[object]], *, answers: bool = True
) -> tuple[ConnectFailed, float]:
    """What entering within so many seconds raises, and how many of them it took.

    It is given more of them where the other end ``answers``, and had not the time to: the machine may stall.
    """
    error, took = await _refused(enter, HASTE)
    for patience in (1.0, PATIENCE):
        if answers and "did not answer" in str(error):
            error, took = await _refused(enter, patience)
    return error, took


async def _refused(
    enter: Callable[[float], AbstractAsyncContextManager[object]], patience: float
) -> tuple[ConnectFailed, float]:
    began = time.monotonic()
    with pytest.raises(ConnectFailed) as caught:
        async with enter(patience):
            pytest.fail("the server let us in")
    took = time.monotonic() - began
    assert caught.value.permanent or took >= patience * 0.9
    return caught.value, took


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
