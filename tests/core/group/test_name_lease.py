from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import ConsumerFencedError
from streamcore.events import ConsumerFenced, Degraded, EntriesRecovered, StaleConnectionKilled
from streamcore.scripts.lease import HOLD
from streamcore.testing.model.commands.all import COMMANDS
from streamcore.testing.net import Fate
from tests.core.support.members import FULL, add, consume, deliver, events, holding, ids, pending, sent, take_all
from tests.core.support.server import KeyRefused, Server

LEASE = b"{s}:name:g:c"
twin = consume
"""Another process of the same name."""


class TestTwins:
    def test_whoever_comes_last_has_the_name_and_the_older_one_is_told_and_stops(self, server: Server) -> None:
        older, net = consume(server)
        [connection] = server.sessions
        newer, newer_net = twin(server)
        assert events(newer_net) == [StaleConnectionKilled(connection)]
        net.advance(1)
        with pytest.raises(
            ConsumerFencedError,
            match="another process has taken over the name 'c' in its group; give each member a name",
        ):
            older.take()
        assert events(net)[-1] == ConsumerFenced(b"s", b"c")
        newer_net.advance(20)
        assert newer.take() is None

    def test_they_do_not_fight(self, server: Server) -> None:
        """The older one does not take the name back when it connects again."""
        older, net = consume(server)
        newer, newer_net = twin(server)
        for _ in range(5):
            net.advance(2)
            newer_net.advance(2)
        assert (older.closed, newer.closed) == (True, False)
        assert [type(event) for event in events(newer_net)] == [StaleConnectionKilled]

    def test_the_work_goes_over_to_the_newer_one(self, server: Server) -> None:
        older, net, batch = holding(server, 4)
        batch[3].ack()
        net.advance(1)
        newer, newer_net = twin(server)
        net.advance(1)
        assert older.closed
        assert ids(take_all(newer, newer_net)) == ["1-0", "2-0", "3-0"]

    def test_what_the_older_one_has_settled_after_all_is_not_done_twice(self, server: Server) -> None:
        older, net, batch = holding(server, 3)
        newer, newer_net = twin(server)
        batch.ack()
        older.flush()
        net.pair.settle()
        net.advance(1)
        assert EntriesRecovered(b"s", 2) in events(newer_net)
        assert take_all(newer, newer_net) == []

    def test_where_connections_may_not_be_closed_the_audit_tells(self, server: Server) -> None:
        server.faults.denied = {"CLIENT KILL"}
        older, net = consume(server, audit_interval=2, block=1)
        twin(server)
        net.advance(1)
        assert older.take() is None
        net.advance(3)
        with pytest.raises(ConsumerFencedError):
            older.take()

    def test_beside_each_stream(self, server: Server) -> None:
        older, net = consume(server, streams=["s", "t"])
        twin(server, streams=["t", "u"])
        net.advance(6)
        with pytest.raises(ConsumerFencedError):
            older.take()
        assert ConsumerFenced(b"t", b"c") in events(net)

    def test_other_names_and_other_groups_are_left_alone(self, server: Server) -> None:
        consumer, net = consume(server)
        twin(server, consumer="d")
        twin(server, group="h")
        net.advance(10)
        assert consumer.take() is None

    @pytest.mark.parametrize("options", [{"exclusive": False}, {"ack": "none"}])
    def test_unless_a_name_may_be_shared(self, server: Server, options: dict[str, object]) -> None:
        nets = [enter(server, **options)[1] for enter in (consume, twin)]
        for net in nets:
            net.advance(20)
            assert net.pair.engine.error is None
        assert sent(server, "EVAL") == []


class TestOnAServerThatTellsNoId:
    """A proxy, or an old one: HELLO is answered without an id, so that no connection can be told from another one."""

    @pytest.mark.parametrize("told", [None, b"x", ...])
    def test_a_member_works_all_the_same(self, server: Server, told: object, monkeypatch: pytest.MonkeyPatch) -> None:
        hello = COMMANDS[b"HELLO"]

        def without(*args: Any) -> dict[bytes, Any]:
            answer = {**hello.function(*args), b"id": told}
            if told is ...:
                del answer[b"id"]
            return answer

        monkeypatch.setattr(server, "_commands", {**COMMANDS, b"HELLO": hello._replace(function=without)})
        consumer, net, batch = holding(server, 2, block=1)
        batch.ack()
        net.cut("main", Fate.HALF_OPEN)
        net.advance(10)
        assert pending(server, "c") == []
        assert consumer.add_stream("t") is not None  # which ends a read that blocks: by a new connection
        net.advance(3)
        server.add("t", "1-0")
        net.serve()
        assert ids(take_all(consumer, net)) == ["1-0"]
        older, older_net = consumer, net
        twin(server)
        older_net.advance(6)
        with pytest.raises(ConsumerFencedError):
            older.take()


class TestGhosts:
    def test_the_connection_of_a_former_process_takes_nothing_in_secret(self, server: Server) -> None:
        """The machine was cut off: for the server it still reads."""
        consume(server)
        [ghost] = server.sessions
        consumer, net = twin(server)
        add(server, 1, 1)
        net.serve()
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert (ghost in server.sessions, events(net)) == (False, [StaleConnectionKilled(ghost)])

    def test_a_server_that_was_started_again_has_begun_its_ids_anew(self, server: Server) -> None:
        consume(server)
        [stranger] = server.sessions
        server.run_id = b"two"
        _, net = twin(server)
        assert (stranger in server.sessions, events(net)) == (True, [])

    def test_an_id_that_is_somebody_elses_now(self, server: Server) -> None:
        consume(server)
        [stranger] = server.sessions.values()
        stranger.name += b"x"
        _, net = twin(server)
        assert (stranger.number in server.sessions, events(net)) == (True, [])

    def test_where_the_run_of_the_server_is_unknown_nothing_is_proved(self, server: Server) -> None:
        server.faults.denied = {"INFO"}
        consume(server)
        [stranger] = server.sessions
        _, net = twin(server)
        told = [Degraded("closing former connections", "+info")]
        assert (stranger in server.sessions, events(net)) == (True, told)


class TestTheLease:
    def test_is_free_after_leaving(self, server: Server) -> None:
        consumer, net = consume(server)
        assert LEASE in server.hashes
        consumer.leave()
        net.serve()
        assert (consumer.settled, server.hashes) == (True, {})

    def test_of_another_one_is_not_given_free(self, server: Server) -> None:
        server.faults.denied = {"CLIENT KILL"}
        older, net = consume(server)
        newer, _ = twin(server)
        older.leave()
        net.serve()
        assert server.hashes[LEASE][b"holder"] == newer.nonce

    def test_that_has_expired_or_was_flushed_away_is_taken_again_by_the_next_audit(self, server: Server) -> None:
        consumer, net = consume(server)
        held = server.hashes[LEASE]
        server.do("DEL", LEASE)
        net.advance(6)
        net.advance(6)
        assert (server.hashes[LEASE], consumer.error) == (held, None)

    def test_that_another_one_took_meanwhile_is_not(self, server: Server) -> None:
        consumer, net = consume(server)
        server.do("HSET", LEASE, "holder", "other", "client", 1, "run", "one")
        net.advance(6)
        net.advance(6)
        assert isinstance(consumer.error, ConsumerFencedError)

    @pytest.mark.parametrize("fate", Fate)
    def test_is_kept_over_any_number_of_connections(self, server: Server, fate: Fate) -> None:
        consumer, net = consume(server)
        for _ in range(5):
            net.cut("main", fate)
            net.advance(6)
        assert consumer.error is None
        assert server.hashes[LEASE][b"holder"] == consumer.nonce

    def test_where_scripts_are_forbidden_that_is_told_once_on_a_connection(self, server: Server) -> None:
        server.faults.denied = {"EVAL"}
        consumer, net = consume(server, streams=["s", "t"])
        other, other_net = twin(server, streams=["s", "t"])
        for each in (net, other_net):
            each.cut("main", Fate.REQUESTS_LOST)
            each.advance(10)
            told = [event for event in events(each) if isinstance(event, Degraded)]
            assert told == [Degraded("guarding the name", "+eval")] * 2, "once on each connection"
        assert (consumer.error, other.error) == (None, None)

    def test_the_name_is_guarded_again_from_the_next_connection_on(self, server: Server) -> None:
        server.faults.denied = {"EVAL"}
        consumer, net = consume(server)
        server.faults.denied = set()
        net.advance(30)
        assert server.hashes == {}, "an audit does not ask for what is forbidden"
        assert not consumer.members[0].loop.lease.is_held
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(6)
        assert server.hashes[LEASE][b"holder"] == consumer.nonce
        assert consumer.members[0].loop.lease.is_held

    def test_beside_which_stream_it_is_forbidden_is_told_and_the_others_are_guarded(self, server: Server) -> None:
        server.faults = KeyRefused(b"{t}:name:g:c")
        consumer, net = consume(server, streams=["s", "t"])
        net.advance(30)
        assert [event for event in events(net) if isinstance(event, Degraded)] == [
            Degraded("guarding the name", "~{t}:name:g:c")
        ]
        assert server.hashes[LEASE][b"holder"] == consumer.nonce

    def test_a_consumer_that_reads_nothing_of_an_earlier_run_is_no_exception(self, server: Server) -> None:
        deliver(server, "c", 1)
        _, net = consume(server, backlog=False)
        twin(server, backlog=False)
        net.advance(1)
        assert isinstance(net.pair.engine.error, ConsumerFencedError)

    def test_a_full_server_is_read_all_the_same_and_the_lease_taken_later(self, server: Server) -> None:
        server.faults.unavailable = FULL
        add(server, 1, 1)
        server.do("XGROUP", "CREATE", "s", "g", "0")
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert server.hashes == {}
        server.faults.unavailable = None
        for _ in range(11):
            net.advance(1)
        assert server.hashes[LEASE][b"holder"] == consumer.nonce


class TestWithoutEntropy:
    """A process that nothing tells from others does not pretend to be known."""

    def test_the_name_is_not_guarded_and_that_is_told_once(self, server: Server) -> None:
        nets = [consume(server, entropy=None, streams=["s", "t"])[1] for _ in range(2)]
        for net in nets:
            net.cut("main", Fate.REQUESTS_LOST)
            net.advance(10)
            [told] = [event for event in events(net) if isinstance(event, Degraded)]
            assert told == Degraded("guarding the name", "entropy")
            assert net.pair.engine.error is None
        assert (sent(server, "EVAL"), server.hashes) == ([], {})

    @pytest.mark.parametrize("options", [{"exclusive": False}, {"ack": "none"}])
    def test_where_it_would_not_be_guarded_anyhow_there_is_nothing_to_tell(
        self, server: Server, options: dict[str, object]
    ) -> None:
        _, net = consume(server, entropy=None, **options)
        net.advance(10)
        assert Degraded not in {type(event) for event in events(net)}

    def test_its_connection_has_no_name_and_is_not_closed_for_it(self, server: Server) -> None:
        """What a ghost takes is found by the audit."""
        consumer, net = consume(server, entropy=None)
        [ghost] = server.sessions.values()
        assert ghost.name == b""
        net.cut("main", Fate.HALF_OPEN)
        net.advance(0.1)
        add(server, 1, 1)
        net.serve()
        assert take_all(consumer, net) == []
        assert ghost.number in server.sessions
        assert {command[1] for command in sent(server, "CLIENT")} == {b"SETINFO"}
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_the_connection_of_a_former_holder_is_not_closed_either(self, server: Server) -> None:
        consume(server)
        consume(server, entropy=None)
        assert len(server.sessions) == 2


class TestNames:
    def test_are_taken_in_one_order_by_all(self, server: Server) -> None:
        """Else of two that begin together each may hold one, and both must go."""
        consumer, _ = consume(server, streams=["t", "s"])
        assert [command[3] for command in sent(server, "EVAL")[:2]] == [b"{s}:name:g:c", b"{t}:name:g:c"]
        assert list(consumer.members[0].membership.streams) == [b"t", b"s"]


def test_the_lease_on_a_name_lasts_for_ten_minutes(server: Server) -> None:
    consume(server)
    holds = [command for command in sent(server, "EVAL") if command[1] == HOLD.encode()]
    assert {hold[-1] for hold in holds} == {b"600000"}
