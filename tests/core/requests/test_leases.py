from __future__ import annotations

from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, get
from streamcore.commands.command import LinkUse, Traits
from streamcore.connection.link_state import State
from streamcore.errors import (
    AuthenticationError,
    ClosedError,
    ConnectionLost,
    InvalidArgument,
    LoadingError,
    RequestTimeout,
    WatchedKeyChanged,
    reply_error,
)
from streamcore.events import Connected, Disconnected, Reconnected
from streamcore.requests import MAX_LEASES, DedicatedLink, Multiplexer, Request
from streamcore.testing.pair import Pair, Peer
from streamcore.testing.resp import OK

watch: Command[Any] = commands.watch("k")
blpop: Command[Any] = Command(("BLPOP", "l", 30), traits=Traits(use=LinkUse.DEDICATED, block=30.0))
hello: Command[Any] = Command(("HELLO", 3), traits=Traits(use=LinkUse.FORBIDDEN))
incr: Command[int] = Command(("INCR", "n"))


def connected() -> tuple[Multiplexer, Pair]:
    client = Multiplexer()
    return client, Pair(client)


def leased(client: Multiplexer) -> DedicatedLink:
    lease = client.lease()
    assert lease is not None
    return lease


def ask(lease: DedicatedLink, *commands: Command[Any]) -> Request:
    return lease.submit(list(commands), lambda request: None)


def watching() -> tuple[Multiplexer, Pair, DedicatedLink, Peer]:
    """A client with a lease on which a key is watched."""
    client, pair = connected()
    lease = leased(client)
    ask(lease, watch)
    pair.settle()
    peer = pair.peer("lease-1")
    peer.expect("WATCH", "k")
    peer.reply(OK)
    return client, pair, lease, peer


def lost(request: Request) -> ConnectionLost:
    assert request.finished
    with pytest.raises(ConnectionLost) as raised:
        request.answers()
    return raised.value


def test_a_lease_is_a_link_of_its_own() -> None:
    client, pair, lease, peer = watching()
    shared = client.submit([get("other")], lambda request: None)
    mine = ask(lease, get("k"))
    pair.settle()
    pair.server.expect("GET", "other")
    peer.expect("GET", "k")
    peer.answer("v")
    assert mine.answer() == b"v"
    assert not shared.finished


def test_what_blocks_is_no_command_for_everybodys_link() -> None:
    client, pair = connected()
    with pytest.raises(InvalidArgument, match="BLPOP would block everybody's commands; lease a link for it"):
        client.submit([incr, blpop], lambda request: None)
    with pytest.raises(InvalidArgument, match="HELLO cannot run on a shared connection: the connection has done it"):
        client.submit([hello], lambda request: None)
    with pytest.raises(InvalidArgument, match="HELLO cannot run"):
        ask(leased(client), hello)
    pair.settle()
    pair.server.expect_nothing()


def test_a_blocking_command_has_the_time_that_it_asks_for() -> None:
    client, pair = connected()
    lease = leased(client)
    request = ask(lease, blpop)
    pair.advance(34.9)
    assert not request.finished
    pair.advance(0.2)
    with pytest.raises(RequestTimeout, match="did not answer within 35 s"):
        request.answers()


def test_a_link_that_was_given_back_is_leased_again() -> None:
    client, pair, lease, peer = watching()
    transaction = lease.transact([incr], lambda request: None)
    pair.settle()
    for word in ("MULTI", "INCR", "EXEC"):
        peer.expect(word)
    peer.answer("OK", "QUEUED", [1])
    assert transaction.answers() == [1]
    lease.release()
    lease.release()
    pair.settle()
    peer.expect_nothing()
    again = leased(client)
    ask(again, get("k"))
    pair.settle()
    peer.expect("GET", "k")
    assert (peer.dials, len(client.links())) == (1, 2)


def test_what_is_watched_is_forgotten_before_the_link_is_leased_again() -> None:
    client, pair, lease, peer = watching()
    lease.release()
    other = leased(client)
    pair.settle()
    peer.expect("UNWATCH")
    assert len(client.links()) == 3, "the first link is not free yet"
    peer.reply(OK)
    other.release()
    assert leased(client)._queue is client._dedicated[0]
    assert len(client.links()) == 3


def test_a_link_that_is_still_busy_when_it_is_given_back_is_closed() -> None:
    client, pair = connected()
    lease = leased(client)
    request = ask(lease, blpop)
    pair.settle()
    peer = pair.peer("lease-1")
    peer.expect("BLPOP")
    request.finished = True  # its caller was cancelled
    lease.release()
    pair.settle()
    assert not peer.connected
    assert peer.link.state is State.RESTING
    assert [type(event) for event in pair.events()] == [Connected, Connected], "closing it is nobody's loss"
    again = ask(leased(client), get("k"))
    pair.settle()
    assert peer.dials == 2
    peer.expect("GET", "k")
    peer.answer("v")
    assert again.answer() == b"v"
    assert [type(event) for event in pair.events()] == [Connected], "nothing was lost that came back"


def test_one_that_is_given_back_before_it_could_be_dialled() -> None:
    client = Multiplexer()
    pair = Pair(client, dials=False)
    lease = leased(client)
    request = ask(lease, get("k"))
    lease.release()
    assert "its caller has gone" in str(lost(request))
    pair.dials = True
    pair.settle()
    assert client._dedicated[0].link.state is State.RESTING


def test_an_idle_link_is_closed_after_a_while() -> None:
    client, pair, lease, peer = watching()
    lease.transact([incr], lambda request: None)
    pair.settle()
    peer.answer("OK", "QUEUED", [1])
    lease.release()
    pair.advance(9.9)
    client.handle_timeout(pair.now)
    still = peer.connected
    pair.advance(0.2)
    assert (still, peer.connected) == (True, False)
    assert client.next_timeout() == client.links()[0].next_timeout()
    pair.advance(100.0)


def test_there_is_a_last_lease() -> None:
    client, _ = connected()
    leases = [leased(client) for _ in range(MAX_LEASES)]
    assert client.lease() is None
    leases[3].release()
    assert client.lease() is not None
    assert client.lease() is None


def test_a_lease_that_was_given_back_is_of_no_use() -> None:
    client, _ = connected()
    lease = leased(client)
    lease.release()
    with pytest.raises(InvalidArgument, match="was released; lease another one"):
        ask(lease, incr)
    with pytest.raises(InvalidArgument, match="was released"):
        lease.transact([incr], lambda request: None)


def test_whoever_waits_for_a_lease_is_woken_when_one_is_given_back() -> None:
    client, pair = connected()
    lease = leased(client)
    before = pair.wakeups
    lease.release()
    assert pair.wakeups > before


# -- connections that break --------------------------------------------------------------------------------------------


def test_with_the_connection_everything_is_lost_that_it_had_been_told() -> None:
    client, pair, lease, peer = watching()
    sent = ask(lease, get("k"))
    pair.settle()
    peer.close()
    assert lost(sent).sent, "it may be repeated, but not without what was watched"
    with pytest.raises(ConnectionLost, match="and what it had been told with it"):
        ask(lease, get("k"))
    pair.advance(1.0)
    with pytest.raises(ConnectionLost, match="and what it had been told with it"):
        lease.transact([incr], lambda request: None)
    peer.expect_nothing()
    lease.release()
    fresh = ask(leased(client), get("k"))
    pair.settle()
    peer.expect("GET", "k")
    peer.answer("v")
    assert fresh.answer() == b"v"
    kinds = [type(event) for event in pair.events()]
    assert kinds == [Connected, Connected, Disconnected, Reconnected]


def test_what_was_queued_behind_it_is_lost_as_well() -> None:
    _, pair, lease, peer = watching()
    pair.budget = 0
    unsent = ask(lease, incr)
    pair.settle()
    peer.close()
    assert not lost(unsent).sent


def test_until_the_first_answer_nothing_is_lost() -> None:
    client, pair = connected()
    lease = leased(client)
    first = ask(lease, Command(("WATCH", "k"), traits=Traits(repeatable=True, use=LinkUse.DEDICATED)))
    pair.settle()
    peer = pair.peer("lease-1")
    peer.close()
    pair.advance(1.0)
    assert [command[0] for command in peer.commands] == [b"WATCH"]
    peer.reply(OK)
    assert first.answer() == b"OK"


def test_a_server_that_cannot_serve_yet_is_asked_again_unless_it_has_answered_before() -> None:
    loading = reply_error("LOADING the server is loading")
    client, pair = connected()
    lease = leased(client)
    first = ask(lease, watch)
    pair.settle()
    peer = pair.peer("lease-1")
    peer.commands.clear()
    peer.answer(loading)
    assert not first.finished
    pair.advance(1.0)
    peer.expect("WATCH", "k")
    peer.reply(OK)
    assert first.answer() == b"OK"
    second = ask(lease, get("k"))
    pair.settle()
    peer.answer(loading)
    with pytest.raises(LoadingError):
        second.answer()


def test_a_changed_key() -> None:
    _, pair, lease, peer = watching()
    transaction = lease.transact([incr], lambda request: None)
    pair.settle()
    peer.answer("OK", "QUEUED", None)
    with pytest.raises(WatchedKeyChanged):
        transaction.answers()


def test_a_server_that_lets_no_more_of_us_in_ends_the_request_and_not_the_client() -> None:
    client, pair = connected()
    pair.greets = False
    request = ask(leased(client), incr)
    pair.settle()
    pair.peer("lease-1").answer(reply_error("WRONGPASS invalid username-password pair or user is disabled."))
    error = lost(request)
    assert "WRONGPASS" in str(error)
    assert not error.sent
    assert client.error is None
    assert not client.closed
    assert not isinstance(error, AuthenticationError)


def test_closing_the_client_ends_what_leases_wait_for() -> None:
    client, pair, lease, _ = watching()
    sent = ask(lease, blpop)
    pair.settle()
    waiting = ask(leased(client), incr)
    client.close()
    assert (lost(sent).sent, lost(waiting).sent) == (True, False)
    with pytest.raises(ClosedError):
        client.lease()
    with pytest.raises(ClosedError):
        ask(lease, incr)
    lease.release()
