"""A connection that says nothing is found dead before the deadlines of its requests, where the server answers another one."""

from __future__ import annotations

import pytest

from streamcore.commands import blpop, get, incr
from streamcore.errors import ConnectionLost, RequestTimeout
from streamcore.events import Disconnected
from streamcore.options import Options
from streamcore.producer.durability import Replicas
from streamcore.producer.producer import Producer
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy


def dials(pair: Pair) -> int:
    return sum(pair.peer(link.name).dials for link in pair.engine.links() if link.name == "witness")


class Asked:
    """A client whose server has welcomed it, and stays silent unless a test answers."""

    def __init__(self, options: Options | None = None) -> None:
        self.client = Multiplexer(options=options or Options())
        self.pair = Pair(self.client)

    def get(self, key: str = "k") -> Request:
        return self._settled(self.client.submit([get(key)], lambda request: None))

    def incr(self) -> Request:
        return self._settled(self.client.submit([incr("n")], lambda request: None))

    def _settled(self, request: Request) -> Request:
        self.pair.settle()
        return request

    def witness(self) -> None:
        """The server answers the other connection."""
        peer = self.pair.peer("witness")
        peer.expect("PING")
        peer.reply(b"+PONG\r\n")
        assert not peer.connected
        self.pair.advance(0.05)  # the back-off

    @property
    def witnesses(self) -> int:
        """How often another connection was dialled."""
        return dials(self.pair)

    def losses(self) -> list[str]:
        return [str(event.error) for event in self.pair.events() if isinstance(event, Disconnected)]


def test_what_may_be_repeated_is_repeated_within_its_time() -> None:
    asked = Asked()
    pair, request = asked.pair, asked.get()
    pair.server.expect("GET", "k")
    pair.advance(2.4)
    assert asked.witnesses == 0
    pair.advance(0.1)
    asked.witness()
    assert asked.losses() == ["localhost:6379 answers a new connection, and not this one"]
    pair.server.expect("GET", "k")
    pair.server.answer("v")
    assert request.answer() == b"v"


def test_it_may_happen_again() -> None:
    asked = Asked()
    for times in (1, 2, 3):
        request = asked.get()
        asked.pair.advance(2.5)
        asked.witness()
        asked.pair.server.answer("v")
        assert request.answer() == b"v"
        assert asked.witnesses == times


def test_a_repetition_is_doubted_like_the_first_attempt() -> None:
    asked = Asked(Options(request_timeout=5.0, backoff_initial=0.0))
    request = asked.get()
    asked.pair.advance(2.5)
    asked.witness()
    asked.pair.advance(2.4)
    assert asked.witnesses == 1
    asked.pair.advance(0.1)
    with pytest.raises(RequestTimeout):
        request.answer()


def test_a_server_that_answers_nobody_is_waited_for() -> None:
    asked = Asked()
    asked.pair.greets = False
    request = asked.get()
    asked.pair.advance(4.9)
    assert asked.witnesses == 1
    asked.pair.server.expect("GET", "k")
    asked.pair.server.answer("v")
    assert request.answer() == b"v"
    asked.pair.greets = True
    asked.pair.advance(0.0)
    assert asked.losses() == []
    asked.pair.server.expect_nothing()


@pytest.mark.parametrize("word", ["BUSY", "LOADING", "NOPERM"])
def test_an_error_is_no_proof_that_the_server_has_time_for_us(word: str) -> None:
    """A script that runs for long lets a server say BUSY to others, and may be the very one that is waited for."""
    asked = Asked()
    request = asked.get()
    asked.pair.advance(2.5)
    asked.pair.peer("witness").reply(b"-%b wait\r\n" % word.encode())
    asked.pair.advance(2.4)
    assert (asked.losses(), asked.witnesses) == ([], 1)
    asked.pair.server.answer("v")
    assert request.answer() == b"v"


def test_a_network_that_refuses_the_witness_proves_nothing() -> None:
    asked = Asked()
    request = asked.get()
    asked.pair.refusal = OSError("refused")
    asked.pair.advance(4.9)
    assert asked.losses() == []
    assert asked.witnesses == 1  # and no more of them
    asked.pair.server.answer("v")
    assert request.answer() == b"v"


def test_a_witness_that_comes_when_the_answer_has_come_changes_nothing() -> None:
    asked = Asked()
    asked.get()
    asked.pair.dials = False
    asked.pair.advance(2.5)
    asked.pair.server.answer("v")
    later = asked.get("later")
    asked.pair.dials = True
    asked.pair.settle()
    asked.witness()
    assert asked.witnesses == 1
    assert asked.losses() == []
    asked.pair.server.expect("GET", "k")
    asked.pair.server.expect("GET", "later")
    asked.pair.server.answer("v")
    assert later.answer() == b"v"


def test_an_answer_that_has_begun_to_come_is_waited_for() -> None:
    asked = Asked()
    request = asked.get()
    asked.pair.dials = False
    asked.pair.advance(2.5)
    asked.pair.server.reply(b"$10\r\n01234")
    asked.pair.dials = True
    asked.pair.settle()
    asked.witness()
    assert asked.losses() == []
    asked.pair.server.reply(b"56789\r\n")
    assert request.answer() == b"0123456789"


def test_a_connection_that_was_made_meanwhile_is_not_the_one_that_was_doubted() -> None:
    asked = Asked()
    request = asked.get()
    asked.pair.dials = False
    asked.pair.advance(2.5)
    asked.pair.server.close()
    asked.pair.dials = True
    asked.pair.advance(0.05)
    asked.pair.server.expect("GET", "k")
    asked.losses()
    asked.witness()
    assert asked.losses() == []
    asked.pair.server.answer("v")
    assert request.answer() == b"v"


def test_what_may_not_be_repeated_is_waited_for() -> None:
    asked = Asked()
    request, counted = asked.get(), asked.incr()
    asked.pair.advance(4.9)
    assert asked.witnesses == 0
    asked.pair.server.answer("v", 1)
    assert (request.answer(), counted.answer()) == (b"v", 1)


def test_the_ping_before_a_request_is_doubted_as_early_as_the_request() -> None:
    asked = Asked(Options(request_timeout=2.0))
    asked.pair.advance(10.0)
    asked.pair.server.expect("PING")
    request = asked.get()
    asked.pair.advance(1.0)
    asked.witness()
    asked.pair.server.expect("GET", "k")
    asked.pair.server.answer("v")
    assert request.answer() == b"v"
    assert asked.witnesses == 1


def test_a_request_behind_a_late_ping_has_its_own_time() -> None:
    """The server was busy when the request came, and answers nobody until then."""
    asked = Asked(Options(request_timeout=2.0))
    asked.pair.advance(10.0)
    asked.pair.greets = False
    asked.pair.advance(2.5)
    counted = asked.incr()
    asked.pair.advance(1.9)
    assert asked.losses() == []
    asked.pair.server.reply(b"+PONG\r\n:1\r\n")
    assert counted.answer() == 1


def test_a_link_for_what_blocks_is_not_doubted() -> None:
    asked = Asked()
    lease = asked.client.lease()
    assert lease is not None
    lease.submit([get("k")], lambda request: None)
    request = lease.submit([blpop("k", timeout=4)], lambda request: None)
    asked.pair.advance(4.9)
    asked.pair.peer("lease-1").answer("v")
    asked.pair.advance(3.9)
    assert asked.witnesses == 0
    asked.pair.peer("lease-1").answer(None)
    assert request.answer() is None


def test_an_entry_that_is_appended_once_is_sent_again_within_its_time() -> None:
    engine = Producer("s", idempotent=True, entropy=entropy)
    pair = Pair(engine)
    request = engine.send({"a": "1"}, lambda request: None)
    pair.settle()
    pair.server.expect("EVAL")
    pair.advance(2.5)
    pair.peer("witness").reply(b"+PONG\r\n")
    pair.advance(0.1)
    pair.server.expect("EVAL")
    pair.server.answer("1-1")
    assert str(request.answer()) == "1-1"


def test_an_entry_that_would_be_appended_twice_is_waited_for() -> None:
    engine = Producer("s")
    pair = Pair(engine)
    request = engine.send({"a": "1"}, lambda request: None)
    pair.advance(5.1)
    assert dials(pair) == 0
    with pytest.raises(ConnectionLost, match="may be in the stream"):
        request.answer()


def test_nobody_is_asked_once_the_client_is_closed() -> None:
    asked = Asked()
    asked.get()
    asked.pair.dials = False
    asked.pair.advance(2.5)
    asked.client.close()
    asked.pair.dials = True
    asked.pair.settle()
    assert asked.witnesses == 0


def test_an_entry_behind_which_the_server_waits_is_waited_for() -> None:
    engine = Producer("s", idempotent=True, durability=Replicas(1, timeout=4), entropy=entropy)
    pair = Pair(engine)
    request = engine.send({"a": "1"}, lambda request: None)
    pair.advance(8.9)
    assert dials(pair) == 0
    pair.server.answer("1-1", 1)
    assert str(request.answer()) == "1-1"


def test_a_silent_link_that_nobody_uses_is_given_up_as_well() -> None:
    asked = Asked()
    asked.pair.advance(12.5)
    asked.witness()
    assert len(asked.losses()) == 1
