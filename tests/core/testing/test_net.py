from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command, incr, set_
from streamcore.consumer.consumer import Consumer
from streamcore.errors import ConnectionLost
from streamcore.events import Disconnected
from streamcore.requests import Multiplexer, Request
from streamcore.testing.net import Fate, Net
from tests.core.support.server import Server


def client(server: Server) -> tuple[Multiplexer, Net]:
    engine = Multiplexer()
    return engine, Net(server, engine)


def ask(engine: Multiplexer, *commands: Command[Any]) -> list[Request]:
    return [engine.submit([command], lambda request: None) for command in commands]


def reading(server: Server) -> tuple[Consumer[bytes], Net]:
    consumer = Consumer({"s": "0"}, block=2.0, detect_gaps=False)
    return consumer, Net(server, consumer)


def numbers(consumer: Consumer[bytes]) -> list[int]:
    batch = consumer.take()
    return [] if batch is None else [entry.id.ms for entry in batch]


def test_commands_are_run_and_answered(server: Server) -> None:
    engine, net = client(server)
    [first, second] = ask(engine, incr("n"), incr("n"))
    net.serve()
    assert (first.answer(), second.answer()) == (1, 2)


def test_time_passes_for_both_and_stops_at_the_timers_of_each(server: Server) -> None:
    consumer, net = reading(server)
    times: list[float] = []
    server.before = lambda command: times.append(server.now)
    net.advance(5.0)
    assert times == [1002.0, 1004.0], "a read ends when the server says so, and is repeated"
    assert (net.pair.now, server.now) == (1005.0, 1005.0)
    server.add("s", "1-0")
    net.serve()
    assert numbers(consumer) == [1]


def test_for_another_engine_time_stands_still(server: Server) -> None:
    _, net = reading(server)
    _, other = reading(server)
    other.advance(60.0)
    assert (net.pair.now, server.now) == (1000.0, 1060.0)
    net.advance(5.0)
    assert (net.pair.now, server.now) == (1005.0, 1065.0)
    assert [event for event in net.pair.events() if isinstance(event, Disconnected)] == []


@pytest.mark.parametrize(
    ("fate", "n"), [(Fate.REQUESTS_LOST, None), (Fate.ONE_REPLY_LOST, b"1"), (Fate.REPLIES_LOST, b"2")]
)
def test_what_is_run_of_what_is_on_its_way(server: Server, fate: Fate, n: bytes | None) -> None:
    engine, net = client(server)
    requests = ask(engine, incr("n"), incr("n"))
    net.pair.settle()
    net.cut("main", fate)
    for request in requests:
        with pytest.raises(ConnectionLost):
            request.answer()
    assert server.do("GET", "n") == n
    assert server.sessions == {}


def test_a_connection_breaks_behind_so_many_answers(server: Server) -> None:
    engine, net = client(server)
    net.cut("main", Fate.REQUESTS_LOST, after=2)
    requests = ask(engine, *(set_(name, "x") for name in "abcd"), incr("n"))
    net.serve()
    assert [request.finished for request in requests] == [True, True, False, False, True]
    net.advance(1.0)
    assert [server.do("EXISTS", name) for name in "abcdn"] == [1, 1, 1, 1, 0]


def test_the_server_keeps_a_connection_that_is_half_open(server: Server) -> None:
    consumer, net = reading(server)
    net.cut("main", Fate.HALF_OPEN)
    net.advance(0.5)
    assert len(server.sessions) == 2
    server.add("s", "1-0")
    net.serve()
    assert numbers(consumer) == [1]


def test_a_link_breaks_while_it_greets_or_asks(server: Server) -> None:
    _, net = reading(server)
    net.cut_in_flight("main", Fate.REQUESTS_LOST)
    assert server.sessions == {}
    net.pair.advance(0.1)
    assert net.pair.server.connected
    net.cut_in_flight("main", Fate.REQUESTS_LOST)
    assert (server.sessions, net.pair.server.connected) == ({}, False)
    net.cut("main", Fate.REQUESTS_LOST)  # there is nothing to break
    net.advance(1.0)
    assert len(server.sessions) == 1


def test_a_connection_that_the_engine_closes_is_closed_on_the_server(server: Server) -> None:
    engine, net = client(server)
    ask(engine, incr("n"))
    net.pair.settle()
    engine.close()
    net.serve()
    assert (server.sessions, server.do("GET", "n")) == ({}, b"1"), "what had arrived is run"


def test_a_connection_that_the_server_closes_is_closed_for_the_engine(server: Server) -> None:
    _, net = reading(server)
    server.do("CLIENT", "KILL", "TYPE", "normal")
    net.serve()
    assert [type(event) for event in net.pair.events()][-1] is Disconnected


@pytest.mark.parametrize(("half_open", "left"), [(False, 0), (True, 1)])
def test_a_process_is_killed(server: Server, half_open: bool, left: int) -> None:
    _, net = reading(server)
    net.kill(half_open=half_open)
    net.advance(10.0)
    assert len(server.sessions) == left


def test_a_silent_link_brings_nothing_until_it_is_dialled_again(server: Server) -> None:
    engine, net = client(server)
    net.silence("main")
    [request] = ask(engine, set_("a", "x"))
    net.advance(1.0)
    assert (request.finished, server.do("EXISTS", "a")) == (False, 0)
    net.pair.server.close()
    net.advance(1.0)
    assert (request.finished, server.do("EXISTS", "a")) == (True, 1)


def test_a_command_is_run_and_its_reply_kept(server: Server) -> None:
    engine, net = client(server)
    [first, second] = ask(engine, incr("n"), incr("n"))
    net.pair.settle()
    net.run_next("main")
    assert (server.do("GET", "n"), first.finished) == (b"1", False)
    net.serve()
    assert (first.answer(), second.answer()) == (1, 2)


def test_a_link_that_was_dialled_again_meanwhile_has_another_connection(server: Server) -> None:
    _, net = reading(server)
    [former] = server.sessions
    net.pair.server.close()
    net.pair.advance(1.0)
    net.serve()
    assert len(server.sessions) == 1
    assert former not in server.sessions


def test_a_link_that_is_not_connected_can_do_nothing(server: Server) -> None:
    _, net = reading(server)
    net.pair.dials = False
    net.pair.server.close()
    with pytest.raises(AssertionError, match="'main' is not connected"):
        net.silence("main")
