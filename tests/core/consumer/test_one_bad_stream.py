"""One stream of many that cannot be read: the error says which it is."""

from __future__ import annotations

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.errors import NoPermissionError, ReplyError, WrongTypeError
from streamcore.testing.model.faults import Faults
from streamcore.testing.net import Net
from tests.core.support.members import add, consume, take_all
from tests.core.support.server import Server


@pytest.fixture
def server() -> Server:
    server = Server()
    for stream in ("s", "t", "u"):
        add(server, 1, 1, stream)
    return server


def test_a_member_of_a_group_ends_by_an_error_that_names_it(server: Server) -> None:
    consumer, net = consume(server, streams=["s", "t", "u"], block=1)
    assert len(take_all(consumer, net)) == 3
    server.do("SET", "t", "x")
    net.advance(2)
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_so_does_one_that_enters(server: Server) -> None:
    server.do("SET", "t", "x")
    consumer, _ = consume(server, streams=["s", "t"])
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_a_read_that_is_refused_though_no_stream_is_ends_in_a_new_connection(server: Server) -> None:
    consumer, net = consume(server, block=1)
    server.faults.fail_next("XREADGROUP", "WRONGTYPE nobody knows why", times=1000)
    net.advance(3)
    assert net.pair.server.dials > 1
    assert not consumer.closed
    server.faults = Faults()
    net.advance(3)
    assert len(take_all(consumer, net)) == 1


@pytest.mark.parametrize("detect_gaps", [True, False])
def test_a_consumer_ends_by_an_error_that_names_it(server: Server, detect_gaps: bool) -> None:
    consumer: Consumer[bytes] = Consumer(dict.fromkeys("stu", "0"), block=1, detect_gaps=detect_gaps)
    net = Net(server, consumer)
    while consumer.take() is not None:
        net.serve()
    server.do("SET", "t", "x")
    net.advance(8)
    with pytest.raises(WrongTypeError, match=r"\(stream 't'\)"):
        consumer.take()


def test_where_reading_is_forbidden_altogether_the_first_one_is_named(server: Server) -> None:
    consumer: Consumer[bytes] = Consumer({"s": "0", "t": "0"}, detect_gaps=False)
    server.faults.denied = {"XREAD"}
    Net(server, consumer)
    with pytest.raises(ReplyError, match=r"\(stream 's'\)") as caught:
        consumer.take()
    assert isinstance(caught.value, NoPermissionError)
