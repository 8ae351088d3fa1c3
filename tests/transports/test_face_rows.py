"""The rows of ``send_many``, without a runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import ClosedError, DeliveryUnknown, InvalidArgument, WrongTypeError
from streamcore.producer.producer import MAX_UNANSWERED, Producer
from streamcore.testing.pair import Pair
from transports._facade import batching
from transports._facade.batching import CHUNK, CHUNK_BYTES, Rows


def numbered(first: int = 0) -> Iterator[dict[str, int]]:
    while True:
        yield {"n": first}
        first += 1


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the rows see, as the only item."""
    now = [100.0]
    monkeypatch.setattr(batching, "monotonic", lambda: now[0])
    return now


def producing(**options: Any) -> tuple[Rows, Pair]:
    engine = Producer("s", entropy=lambda size: b"e" * size, **options)
    return Rows(engine), Pair(engine)


def test_a_piece_is_so_many_rows() -> None:
    rows, _ = producing()
    source = numbered()
    assert [len(rows.draw(source)) for _ in range(3)] == [CHUNK] * 3
    assert next(source) == {"n": 3 * CHUNK}, "not one too many is drawn"


def test_or_so_many_bytes() -> None:
    rows, _ = producing()
    assert len(rows.draw({"n": "x" * (CHUNK_BYTES // 10)} for _ in range(CHUNK))) == 10


def test_or_what_came_in_ten_milliseconds(clock: list[float]) -> None:
    def slow() -> Iterator[dict[str, int]]:
        for fields in numbered():
            clock[0] += 0.004
            yield fields

    rows, _ = producing()
    assert [len(rows.draw(slow())) for _ in range(2)] == [3, 3]


def test_nothing_more_is_drawn_while_so_many_are_unanswered() -> None:
    rows, pair = producing()
    source = numbered()
    while rows.has_room():
        rows.submit(rows.draw(source))
    assert next(source) == {"n": MAX_UNANSWERED}
    pair.settle()
    assert len(pair.server.commands) == MAX_UNANSWERED
    pair.server.answer(*(f"1-{n}" for n in range(CHUNK - 1)))
    assert not rows.has_room(), "a piece is answered as a whole"
    pair.server.answer(f"1-{CHUNK - 1}")
    assert rows.has_room()


def test_the_ids_are_in_the_order_of_the_rows() -> None:
    rows, pair = producing()
    source = iter([{"n": 0}, {"n": 1}])
    rows.submit(rows.draw(source))
    assert rows.draw(source) == []
    assert not rows.wants_more
    assert not rows.is_settled()
    pair.settle()
    pair.server.answer("1-0", "1-1")
    assert rows.is_settled()
    assert rows.result() == [StreamId(1), StreamId(1, 1)]


def test_the_first_row_without_an_id_is_told_though_a_bad_one_was_drawn_meanwhile() -> None:
    rows, pair = producing()
    rows.submit(rows.draw(iter([{"n": 0}, {"n": 1}, {"n": 2}, {}])))
    pair.settle()
    pair.server.answer("1-0", WrongTypeError("WRONGTYPE", "no stream"), "1-1")
    assert rows.is_settled()
    with pytest.raises(WrongTypeError) as caught:
        rows.result()
    assert (caught.value.row, caught.value.ids) == (1, [StreamId(1), None, StreamId(1, 1)])
    assert caught.value.__notes__ == ["in send_many, at row 1, counted from 0; of 3 rows that were sent, 2 have an id"]


def test_of_a_piece_that_was_cut_off_the_ids_that_came_are_known() -> None:
    rows, pair = producing()
    rows.submit(rows.draw(iter([{"n": n} for n in range(4)])))
    pair.settle()
    pair.server.answer("1-0", "1-1")
    pair.server.close(OSError("reset"))
    assert rows.is_settled()
    with pytest.raises(DeliveryUnknown) as caught:
        rows.result()
    assert (caught.value.row, caught.value.ids) == (2, [StreamId(1), StreamId(1, 1), None, None])


@pytest.mark.parametrize("options", [{"linger": 1.0}, {"idempotent": True}], ids=str)
def test_of_entries_in_an_outbox_each_is_one_of_its_own(options: dict[str, Any]) -> None:
    rows, pair = producing(**options)
    rows.submit(rows.draw(iter([{"n": 0}, {"n": 1}])))
    assert not rows.is_settled()
    pair.engine.close()
    assert rows.is_settled()
    with pytest.raises(ClosedError):
        rows.has_room()
    with pytest.raises(Exception, match="closed") as caught:
        rows.result()
    assert getattr(caught.value, "ids", None) == [None, None]


def test_what_nobody_waits_for_and_has_not_left_never_does() -> None:
    engine = Producer("s")
    rows, pair = Rows(engine), Pair(engine, dials=False)
    rows.submit(rows.draw(iter([{"n": 0}, {"n": 1}])))
    rows.give_up()
    pair.dials = True
    pair.settle()
    assert pair.server.connected
    pair.server.expect_nothing()


def test_an_error_of_the_source_waits_for_what_was_sent_and_is_noted() -> None:
    def rows_that_end() -> Iterator[dict[str, int]]:
        yield {"n": 0}
        raise ZeroDivisionError

    rows, pair = producing()
    rows.submit(rows.draw(rows_that_end()))
    assert not rows.is_settled()
    pair.settle()
    pair.server.answer("1-0")
    assert rows.is_settled()
    with pytest.raises(ZeroDivisionError) as caught:
        rows.result()
    assert caught.value.__notes__ == ["in send_many, at row 1, counted from 0; of 1 rows that were sent, 1 have an id"]


def test_a_row_that_is_no_entry_is_named_and_a_later_end_changes_nothing() -> None:
    rows, _ = producing()
    assert rows.add({}) == []
    rows.fail(ZeroDivisionError())
    with pytest.raises(InvalidArgument, match="row 0, counted from 0"):
        rows.result()
