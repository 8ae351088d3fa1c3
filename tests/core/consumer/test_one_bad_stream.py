"""One stream of many that cannot be read: the error says which it is."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.errors import NoPermissionError, ReplyError, WrongTypeError
from tests.core.support.members import add, consume, take_all
from tests.core.support.model import Server
from tests.core.support.net import Net


@pytest.fixture
def server() -> Server:
    server = Server()
    for stream in ("s", "t", "u"):
        add(server, 1, 1, stream)
    return server


def test_a_member_of_a_group_ends_by_an_error_that_names_it(server: Server) -> None:
    consumer, net = consume(server, streams=["s", "t", "u"], block=1)
    assert len(take_all(consumer, net)) == 3
    server.streams[b"t"] = None
    net.advance(2)
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_so_does_one_that_enters(server: Server) -> None:
    server.streams[b"t"] = None
    consumer, _ = consume(server, streams=["s", "t"])
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_a_read_that_is_refused_though_no_stream_is_ends_in_a_new_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = WrongTypeError("WRONGTYPE", "nobody knows why")
    consumer, net = consume(server, block=1)

    def refuse(*args: Any) -> Any:
        return wrong

    monkeypatch.setattr(server, "_xreadgroup", refuse)
    net.advance(3)
    assert net.pair.server.dials > 1
    assert not consumer.closed
    monkeypatch.undo()
    net.advance(3)
    assert len(take_all(consumer, net)) == 1


@pytest.mark.parametrize("detect_gaps", [True, False])
def test_a_consumer_ends_by_an_error_that_names_it(server: Server, detect_gaps: bool) -> None:
    consumer: Consumer[bytes] = Consumer(dict.fromkeys("stu", "0"), block=1, detect_gaps=detect_gaps)
    net = Net(server, consumer)
    while consumer.take() is not None:
        net.serve()
    server.streams[b"t"] = None
    net.advance(8)
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_where_reading_is_forbidden_altogether_the_first_one_is_named(server: Server) -> None:
    consumer: Consumer[bytes] = Consumer({"s": "0", "t": "0"}, detect_gaps=False)
    server.forbidden = {b"XREAD"}
    Net(server, consumer)
    with pytest.raises(ReplyError, match=r"\(stream 's'\)") as caught:
        consumer.take()
    assert isinstance(caught.value, NoPermissionError)
