"""Appending once by IDMP, which Redis has from 8.6 on."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import DeliveryUnknown, InvalidArgument, reply_error
from streamcore.testing.pair import Pair
from streamcore.testing.resp import HELLO
from tests.core.support.senders import LOST, asked, ready, sender


@pytest.mark.usefixtures("redis8")
def test_redis_8_6_does_it_in_xadd() -> None:
    pair = Pair(producer := sender(maxlen=5))
    early = producer.post(n=1)
    assert not ready(producer)
    asked(pair)
    assert ready(producer)
    command = pair.server.expect("XADD", "orders", "IDMP", "p")
    assert command[5:] == [b"MAXLEN", b"~", b"5", b"*", b"n", b"1"]
    pair.server.close(LOST)
    pair.advance(1)
    asked(pair)
    assert pair.server.expect("XADD") == command
    pair.server.answer("1-0")
    assert early.answer() == StreamId(1)


@pytest.mark.usefixtures("redis8")
@pytest.mark.parametrize(
    ("config", "stream", "window"),
    [
        ({"stream-idmp-maxsize": "7", "stream-idmp-duration": "100"}, {"length": 1}, 7),
        ({"stream-idmp-maxsize": "7"}, {"idmp-maxsize": 3, "idmp-duration": 60, "length": 1}, 3),
        (reply_error("NOPERM no"), {"idmp-maxsize": 200}, 200),
        (reply_error("NOPERM no"), reply_error("ERR no such key"), 100),
        ({"stream-idmp-maxsize": "many"}, {"idmp-maxsize": 0, "idmp-duration": None}, 100),
    ],
)
def test_its_window_bounds_what_is_in_doubt(config: Any, stream: Any, window: int) -> None:
    pair = Pair(producer := sender(batch_count=5000))
    pair.server.commands.clear()
    for n in range(300):
        producer.post(n=n)
    pair.server.answer(config, stream)
    assert len(pair.server.commands) == window


@pytest.mark.usefixtures("redis8")
def test_a_server_that_forgets_too_soon_is_refused() -> None:
    pair = Pair(producer := sender())
    asked(pair, duration=4)
    with pytest.raises(InvalidArgument, match="remembered for 4 seconds, and may be sent again for 5; lower"):
        producer.post(n=1)


@pytest.mark.usefixtures("redis8")
def test_the_connection_goes_before_the_window_is_known() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.server.close(LOST)
    pair.advance(1)
    asked(pair)
    pair.server.expect("XADD", "orders", "IDMP")
    pair.server.answer("1-0")
    assert request.answer() == StreamId(1)


def test_a_message_stays_with_the_way_by_which_it_was_sent_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(producer := sender())
    old = producer.post(n=1)
    pair.settle()
    pair.server.close(LOST)
    new = producer.post(n=2)
    monkeypatch.setitem(HELLO, "server", "redis")
    monkeypatch.setitem(HELLO, "version", "8.6.3")
    pair.advance(1)
    asked(pair)
    pair.server.expect("EVAL")
    pair.server.expect("XADD", "orders", "IDMP", "p")
    pair.server.answer("1-0", "2-0")
    assert [old.answer(), new.answer()] == [StreamId(1), StreamId(2)]


@pytest.mark.usefixtures("redis8")
def test_a_server_that_cannot_tell_what_the_former_one_has_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(producer := sender())
    asked(pair)
    old = producer.post(n=1)
    pair.settle()
    pair.server.close(LOST)
    new = producer.post(n=2)
    monkeypatch.setitem(HELLO, "version", "8.4.0")
    pair.advance(1)
    with pytest.raises(DeliveryUnknown, match="another server is there now"):
        old.answer()
    assert pair.server.expect("EVAL")[-1] == b"2"
    pair.server.expect_nothing()
    pair.server.answer("2-0")
    assert new.answer() == StreamId(2)
