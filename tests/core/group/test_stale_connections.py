"""Our previous connection, where the server does not know yet that it is gone."""

from __future__ import annotations

import pytest

from streamcore.events import (
    Connected,
    Degraded,
    Disconnected,
    EntriesRecovered,
    GroupCreated,
    Reconnected,
    StaleConnectionKilled,
)
from streamcore.testing.net import Fate
from tests.core.support.members import add, consume, events, ids, pending, sent, take_all
from tests.core.support.scripted_member import scripted
from tests.core.support.server import Server


class TestGhost:
    def test_our_previous_connection_is_closed_and_what_it_took_is_recovered(self, server: Server) -> None:
        consumer, net = consume(server)
        ghost = next(iter(server.sessions))
        net.cut("main", Fate.HALF_OPEN)
        add(server, 1, 1)
        assert pending(server, "c") == ["1-0"]
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert ghost not in server.sessions
        assert events(net)[1:] == [StaleConnectionKilled(ghost), EntriesRecovered(b"s", 1)]

    def test_a_connection_that_is_gone_needs_no_killing(self, server: Server) -> None:
        _, net = consume(server)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(0.1)
        assert [command[1] for command in sent(server, "CLIENT")] == [b"SETINFO", b"SETINFO"] * 2 + [b"LIST"]
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]

    def test_ids_mean_nothing_after_a_restart(self, server: Server) -> None:
        _, net = consume(server)
        net.cut("main", Fate.HALF_OPEN)
        server.run_id = b"two"
        net.advance(0.1)
        assert [command[1] for command in sent(server, "CLIENT")] == [b"SETINFO", b"SETINFO"] * 2

    def test_somebody_elses_connection_is_left_alone(self, server: Server) -> None:
        _, net = consume(server)
        [session] = server.sessions.values()
        net.cut("main", Fate.HALF_OPEN)
        session.name += b"x"
        net.advance(0.1)
        assert session.number in server.sessions
        assert StaleConnectionKilled not in {type(event) for event in events(net)}

    @pytest.mark.parametrize("word", [b"INFO", b"CLIENT LIST", b"CLIENT KILL"])
    def test_where_that_is_forbidden_the_audit_finds_what_it_takes(self, server: Server, word: bytes) -> None:
        consumer, net = consume(server)
        server.faults.denied = {word.decode()}
        net.cut("main", Fate.HALF_OPEN)
        net.advance(0.1)
        add(server, 1, 1)
        net.serve()
        assert take_all(consumer, net) == []
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["1-0"]
        right = "+" + word.decode().lower().replace(" ", "|")
        assert events(net)[1:] == [Degraded("closing former connections", right), EntriesRecovered(b"s", 1)]

    def test_it_may_go_by_itself_just_before(self) -> None:
        consumer, pair = scripted()
        pair.server.answer("run_id:1")
        pair.server.close()
        pair.advance(0.1)
        pair.server.expect("INFO", "server")
        pair.server.answer("# Server\r\nrun_id:1\r\nhz:10\r\n")
        pair.server.expect("CLIENT", "LIST", "ID", 7)
        pair.server.answer(b"id=7 addr=1.2.3.4 name=" + consumer.nonce + b" db=0\n")
        pair.server.expect("CLIENT", "KILL", "ID", 7)
        pair.server.answer(0)
        pair.server.expect("XINFO", "GROUPS", "s")
        assert [type(event) for event in pair.events()] == [Connected, Disconnected, Reconnected]

    def test_a_server_that_does_not_tell_its_run_is_no_reason_to_fail(self) -> None:
        _, pair = scripted()
        pair.server.answer("# Server\r\n")
        pair.server.expect("INFO")
        pair.server.expect("XINFO", "GROUPS", "s")
