from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import ConnectionLost, DeliveryUnknown, InvalidArgument, OutOfMemoryError, reply_error
from streamcore.producer.producer import Producer
from streamcore.testing.pair import Pair
from tests.core.support.senders import Sender


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"maxlen": 1000}, [b"MAXLEN", b"~", b"1000"]),
        ({"maxlen": 0, "approximate": False}, [b"MAXLEN", b"=", b"0"]),
        ({"minid": "5"}, [b"MINID", b"~", b"5-0"]),
        ({"minid": StreamId(5, 1), "approximate": False}, [b"MINID", b"=", b"5-1"]),
    ],
)
def test_an_entry_is_one_xadd_with_the_producers_trimming(options: dict[str, Any], words: list[bytes]) -> None:
    pair = Pair(producer := Sender(**options))
    producer.post(id="42", total=9.5)
    pair.settle()
    assert pair.server.expect("XADD", "orders")[2:] == [*words, b"*", b"id", b"42", b"total", b"9.5"]


def test_the_answer_is_the_id() -> None:
    pair = Pair(producer := Sender())
    first = producer.post(n=1)
    second = producer.send([("n", 2), ("n", 3)], producer.ended.append, StreamId(7, 2))
    third = producer.send({"n": 4}, producer.ended.append, "8-*")
    pair.settle()
    pair.server.expect("XADD", "orders", "*", "n", "1")
    pair.server.expect("XADD", "orders", "7-2", "n", "2", "n", "3")
    pair.server.expect("XADD", "orders", "8-*", "n", "4")
    pair.server.answer("6-0", "7-2", "8-0")
    assert [request.answer() for request in (first, second, third)] == [StreamId(6), StreamId(7, 2), StreamId(8)]


def test_entries_that_are_sent_together_leave_in_one_write() -> None:
    pair = Pair(producer := Sender())
    for number in range(100):
        producer.post(n=number)
    assert bytes(pair.server.link.data_to_send()).count(b"XADD") == 100


@pytest.mark.parametrize(
    "options", [{"maxlen": -1}, {"maxlen": 5, "minid": "1"}, {"minid": "no id"}, {"maxlen": "many"}]
)
def test_a_bad_option_fails_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Producer("orders", **options)


@pytest.mark.parametrize("stream", ["", b"", 5, None])
def test_a_bad_name_fails_at_once(stream: Any) -> None:
    with pytest.raises(InvalidArgument):
        Producer(stream)


@pytest.mark.parametrize("fields", [{}, [], {"f": None}])
def test_a_bad_entry_fails_before_it_is_queued(fields: Any) -> None:
    pair = Pair(producer := Sender())
    with pytest.raises(InvalidArgument):
        producer.send(fields, producer.ended.append)
    pair.settle()
    pair.server.expect_nothing()
    assert producer.ended == []


def test_a_refused_entry_raises_the_servers_error() -> None:
    pair = Pair(producer := Sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer(reply_error("OOM command not allowed when used memory > 'maxmemory'."))
    with pytest.raises(OutOfMemoryError, match="in reply to XADD"):
        request.answer()


def test_an_entry_whose_id_never_came_back_is_not_repeated_and_one_that_never_left_is_sent() -> None:
    pair = Pair(producer := Sender())
    unknown = producer.post(n=1)
    pair.settle()
    pair.budget = 0
    unsent = producer.post(n=2)
    pair.server.close(OSError("reset"))
    with pytest.raises(DeliveryUnknown, match=r"it may be in the stream: .* reset") as raised:
        unknown.answer()
    assert raised.value.sent
    pair.budget = None
    pair.advance(1.0)
    pair.server.expect("XADD", "orders", "*", "n", "2")
    pair.server.expect_nothing()
    pair.server.answer("1-0")
    assert unsent.answer() == StreamId(1)


def test_an_entry_that_never_left_is_no_unknown_delivery() -> None:
    pair = Pair(producer := Sender(), dials=False)
    request = producer.post(n=1)
    pair.engine.close()
    with pytest.raises(ConnectionLost) as raised:
        request.answer()
    assert type(raised.value) is ConnectionLost
    assert not raised.value.sent
