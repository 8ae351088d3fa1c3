"""``send_many`` takes its rows as they come, and tells what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import pytest

from streamcore import DeliveryUnknown, InvalidArgument, StreamId, WrongTypeError
from streamcore.errors import StreamcoreError
from streamcore.producer.durability import NotDurable, Replicas
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports._facade import batching
from transports._facade.batching import CHUNK
from transports.embedded import EmbeddedServer

KINDS: dict[str, dict[str, Any]] = {
    "direct": {},
    "lingering": {"linger": 0.5, "batch_count": 100_000},
    "idempotent": {"idempotent": True},
}
every_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def numbers(raw: Raw) -> list[int]:
    return [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")]


@every_kind
async def test_the_first_rows_are_on_their_way_before_the_last_is_drawn(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    there: list[int] = []

    def rows() -> Iterator[dict[str, int]]:
        for n in range(30_000):
            if n % 10_000 == 9_999:
                there.append(raw("XLEN", "s"))
            yield {"n": n}

    async with runtime.connect(server.url) as client, client.producer("s", **options) as producer:
        ids = await producer.send_many(rows())
    assert len(ids) == 30_000
    assert numbers(raw) == list(range(30_000))
    assert there[1] >= 9_999 - 2 * CHUNK
    assert there[2] >= 19_999 - 2 * CHUNK


class Value(str):
    """A value that knows how many of its kind there are."""

    __slots__ = ()
    alive = 0
    most = 0

    def __new__(cls, number: int) -> Self:
        Value.alive += 1
        Value.most = max(Value.most, Value.alive)
        return super().__new__(cls, number)

    def __del__(self) -> None:
        Value.alive -= 1


@every_kind
async def test_few_rows_are_here_at_a_time(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    Value.most = 0
    async with runtime.connect(server.url) as client, client.producer("s", maxlen=100, **options) as producer:
        ids = await producer.send_many({"n": Value(n)} for n in range(40_000))
    assert len(ids) == 40_000
    assert Value.most <= 10_000 + 2 * CHUNK


@pytest.mark.parametrize("at", [0, 1, 999, 1000, 1001, 2500])
@every_kind
async def test_a_bad_row_is_named_and_those_before_it_are_in_the_stream(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any], at: int
) -> None:
    rows: list[Any] = [{"n": n} for n in range(3000)]
    rows[at] = {}
    async with runtime.connect(server.url) as client, client.producer("s", **options) as producer:
        with pytest.raises(InvalidArgument, match=f"row {at}, counted from 0: an entry needs at least one") as caught:
            await producer.send_many(rows)
        error = caught.value
        assert error.row == at
        assert len(error.ids) == at
        assert all(isinstance(id_, StreamId) for id_ in error.ids)
        assert numbers(raw) == list(range(at))
        assert f"in send_many, at row {at}, counted from 0; of {at} rows" in error.__notes__[0]
        await producer.send({"n": at})
    assert numbers(raw) == list(range(at + 1))


@every_kind
async def test_an_error_of_the_iterator_is_raised_as_it_is(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield from ({"n": n} for n in range(1500))
        raise ZeroDivisionError("mine")

    async with runtime.connect(server.url) as client, client.producer("s", **options) as producer:
        with pytest.raises(ZeroDivisionError, match="mine") as caught:
            await producer.send_many(rows())
        assert "at row 1500, counted from 0; of 1500 rows that were sent, 1500 have an id" in caught.value.__notes__[0]
    assert numbers(raw) == list(range(1500))


@every_kind
async def test_a_refusal_ends_it_and_nothing_more_is_drawn(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    drawn = 0

    def rows() -> Iterator[dict[str, int]]:
        nonlocal drawn
        for drawn in range(100_000):  # it is looked at outside
            yield {"n": drawn}
            if drawn == 5000:
                raw("DEL", "s")
                raw("SET", "s", "no stream")

    async with runtime.connect(server.url) as client, client.producer("s", **options) as producer:
        with pytest.raises(WrongTypeError) as caught:
            await producer.send_many(rows())
    error = caught.value
    assert error.row is not None
    assert error.row <= 5000
    assert error.ids[error.row] is None
    assert all(isinstance(id_, StreamId) for id_ in error.ids[: error.row])
    assert len(error.ids) <= drawn + 1 < 50_000


async def test_of_a_piece_that_is_cut_off_the_ids_that_came_are_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One piece: who writes behind the cut may not get to read what came before.
    monkeypatch.setattr(batching, "AGE", 60)
    async with runtime.connect(proxy.url) as client, client.producer("s") as producer:
        proxy.cut_after(10_000, "downstream")
        with pytest.raises(DeliveryUnknown) as caught:
            await producer.send_many({"n": n} for n in range(CHUNK))
        error = caught.value
    assert error.row is not None
    assert 100 < error.row < CHUNK, "about 30 bytes a reply"
    known = [str(id_).encode() for id_ in error.ids[: error.row]]
    assert known == [id_ for id_, _ in raw("XRANGE", "s", "-", "+", "COUNT", error.row)]


async def test_too_few_replicas_are_told_of_a_row_like_any_other(runtime: Runtime, server: EmbeddedServer) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.producer("s", durability=Replicas(1, timeout=0.05)) as producer,
    ):
        with pytest.raises(NotDurable) as caught:
            await producer.send_many([{"n": 1}, {"n": 2}])
        assert (caught.value.row, list(caught.value.ids)) == (0, [None, None])


async def test_no_rows_and_what_is_none(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        assert await producer.send_many([]) == []
        assert await producer.send_many(iter(())) == []
        with pytest.raises(TypeError):
            await producer.send_many(5)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument) as caught:
            await producer.send_many({"n": 1})  # type: ignore[dict-item]  # one entry, not several
        assert caught.value.row == 0
    assert (StreamcoreError().row, StreamcoreError().ids) == (None, ())


async def test_a_row_that_takes_long_lets_the_others_go(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """As from a slow source, in a thread: what came slowly has left when the next row is drawn."""
    there: list[int] = []

    def rows() -> Iterator[dict[str, int]]:
        for n in range(5):
            yield {"n": n}
            until(lambda n=n: raw("XLEN", "s") >= n)
            pause()
            there.append(raw("XLEN", "s"))

    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        await producer.send_many(rows())
    assert there[0] == 0
    assert len(numbers(raw)) == 5


def pause() -> None:
    import time

    time.sleep(0.02)


def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        pause()
    pytest.fail("it has not left")


# -- rows that are waited for ------------------------------------------------------------------------------------------


@pytest.mark.runtimes("async")
@every_kind
async def test_rows_may_come_one_by_one(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    lingering = "linger" in options

    async def rows() -> AsyncIterator[dict[str, int]]:
        for n in range(20):
            yield {"n": n}
            if not lingering:
                await runtime.until(lambda n=n: raw("XLEN", "s") == n + 1)  # type: ignore[misc]

    async with runtime.connect(server.url) as client, client.producer("s", **options) as producer:
        ids = await producer.send_many(rows())
    assert len(ids) == 20
    assert numbers(raw) == list(range(20))


@pytest.mark.runtimes("async")
async def test_many_rows_that_are_waited_for(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async def rows() -> AsyncIterator[dict[str, int]]:
        for n in range(25_000):
            if n == 20_000:
                assert raw("XLEN", "s") >= 9_999
            yield {"n": n}

    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        assert len(await producer.send_many(rows())) == 25_000
    assert numbers(raw) == list(range(25_000))


@pytest.mark.runtimes("async")
async def test_errors_of_rows_that_are_waited_for(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async def broken() -> AsyncIterator[dict[str, int]]:
        yield {"n": 0}
        raise ZeroDivisionError

    async def bad() -> AsyncIterator[dict[str, int]]:
        yield {"n": 0}
        yield {}
        yield {"n": 2}

    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        with pytest.raises(ZeroDivisionError) as caught:
            await producer.send_many(broken())
        assert "at row 1" in caught.value.__notes__[0]
        with pytest.raises(InvalidArgument, match="row 1, counted from 0") as named:
            await producer.send_many(bad())
        assert (named.value.row, len(named.value.ids)) == (1, 1)
    assert numbers(raw) == [0, 0]


@pytest.mark.runtimes("async")
async def test_who_gives_up_draws_no_more(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    drawn: list[int] = []

    async def rows() -> AsyncIterator[dict[str, int]]:
        for n in range(1_000_000):
            drawn.append(n)
            await runtime.sleep(0.002)
            yield {"n": n}

    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        assert await runtime.briefly(0.1, producer.send_many, rows()) is None
        count = len(drawn)
        assert 1 < count < 1000
        await producer.send({"n": -1})
        assert len(drawn) == count
        assert numbers(raw)[-1] == -1
