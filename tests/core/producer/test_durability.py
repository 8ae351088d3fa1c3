"""What an id shall mean beyond the memory of one server, and how it is told that it does not."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import (
    ConnectionLost,
    DeliveryUnknown,
    InvalidArgument,
    OutOfMemoryError,
    ReadOnlyError,
    RemoteProtocolError,
    reply_error,
)
from streamcore.producer.durability import Disk, Durability, NotDurable, Replicas
from streamcore.testing.pair import Pair
from streamcore.testing.resp import HELLO, resp
from tests.core.support.senders import LOST, Sender, sender

TWO = Replicas(2, timeout=1.5)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Replicas(0), "number must be at least 1"),
        (lambda: Replicas(1, timeout=0), "timeout must be more than 0"),
        (lambda: Disk(replicas=-1), "replicas must be at least 0"),
        (lambda: Disk(timeout=-1), "timeout must be more than 0"),
        (lambda: Disk(local=False), "there is nothing to wait for"),
    ],
)
def test_a_bad_durability_fails_at_once(make: Any, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        make()


def test_the_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(NotDurable("the entry is in the stream", StreamId(5, 1), 1)))
    assert (str(error), error.id, error.replicas) == ("the entry is in the stream", StreamId(5, 1), 1)


@pytest.mark.parametrize(
    ("durability", "words"),
    [
        (TWO, ["WAIT", "2", "1500"]),
        (Disk(), ["WAITAOF", "1", "0", "2000"]),
        (Disk(False, 1, 3), ["WAITAOF", "0", "1", "3000"]),
    ],
)
def test_the_wait_stands_right_behind_its_entry_in_the_same_write(durability: Durability, words: list[str]) -> None:
    pair = Pair(producer := Sender(durability=durability))
    producer.post(n=1)
    assert bytes(pair.server.link.data_to_send()).count(b"*") >= 2
    pair.settle()
    pair.server.expect("XADD", "orders", "*", "n", "1")
    pair.server.expect(*words)
    pair.server.expect_nothing()


def test_what_comes_while_one_waits_shares_the_next_wait() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    first = producer.post(n=1)
    later = [producer.post(n=n) for n in (2, 3)]
    pair.settle()
    pair.server.expect("XADD", "orders", "*", "n", "1")
    pair.server.expect("WAIT")
    pair.server.expect_nothing()
    pair.server.answer("1-0")
    assert not first.finished  # not before it is safe
    pair.server.answer(2)
    assert first.answer() == StreamId(1)
    pair.server.expect("XADD", "orders", "*", "n", "2")
    pair.server.expect("XADD", "orders", "*", "n", "3")
    pair.server.expect("WAIT")
    pair.server.answer("2-0", "3-0", 5)
    assert [request.answer() for request in later] == [StreamId(2), StreamId(3)]


@pytest.mark.parametrize(
    ("durability", "reply", "replicas"),
    [(TWO, 1, 1), (TWO, 0, 0), (Disk(), [0, 2], 2), (Disk(True, 2), [1, 1], 1)],
)
def test_too_few_is_an_error_with_the_id_and_no_repetition(durability: Durability, reply: Any, replicas: int) -> None:
    pair = Pair(producer := Sender(durability=durability))
    request = producer.post(n=1)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer("5-1", reply)
    with pytest.raises(NotDurable, match=f"in the stream, confirmed by {replicas} replicas; wanted") as caught:
        request.answer()
    assert (caught.value.id, caught.value.replicas) == (StreamId(5, 1), replicas)
    pair.settle()
    pair.server.expect_nothing()


@pytest.mark.parametrize(("durability", "reply"), [(Disk(), [1, 0]), (Disk(False, 1), [0, 1]), (TWO, 2)])
def test_enough_is_enough(durability: Durability, reply: Any) -> None:
    pair = Pair(producer := Sender(durability=durability))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("5-1", reply)
    assert request.answer() == StreamId(5, 1)


def test_a_wait_that_is_refused() -> None:
    pair = Pair(producer := Sender(durability=Disk()))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("5-1", reply_error("ERR WAITAOF cannot be used when appendonly is disabled"))
    with pytest.raises(NotDurable, match=r"the server refused to wait: ERR .*in reply to WAITAOF") as caught:
        request.answer()
    assert caught.value.id == StreamId(5, 1)
    assert caught.value.replicas is None


@pytest.mark.parametrize(("durability", "reply"), [(Disk(), 1), (Disk(), [1]), (TWO, "much"), (TWO, None)])
def test_a_wait_that_is_answered_by_nonsense(durability: Durability, reply: Any) -> None:
    pair = Pair(producer := Sender(durability=durability))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("5-1", reply)
    with pytest.raises(RemoteProtocolError, match=r"reply to WAIT(AOF)? cannot be understood"):
        request.answer()


@pytest.mark.parametrize(("reply", "error"), [(5, RemoteProtocolError), ("no id", RemoteProtocolError)])
def test_an_id_that_is_none(reply: Any, error: type[Exception]) -> None:
    pair = Pair(producer := Sender(durability=TWO))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer(reply, 2)
    with pytest.raises(error):
        request.answer()


def test_a_refused_entry_is_its_own_error() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    refused, good = producer.post(n=1), producer.post(n=2)
    pair.settle()
    pair.server.answer(reply_error("OOM not now"), 2)
    with pytest.raises(OutOfMemoryError, match="in reply to XADD"):
        refused.answer()
    pair.server.answer("2-0", 2)
    assert good.answer() == StreamId(2)


def test_a_server_without_waitaof_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HELLO, "server", "redis")
    monkeypatch.setitem(HELLO, "version", "7.0.15")
    pair = Pair(producer := Sender(durability=Disk()))
    assert not producer.is_ready
    with pytest.raises(InvalidArgument, match=r"durability needs WAITAOF \(.*\), and this is redis 7.0.15"):
        producer.post(n=1)
    pair.server.expect_nothing()
    assert Pair(Sender(durability=Replicas(1))).engine.links()[0].is_up


def test_the_reply_is_lost_and_nothing_is_known() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    request, waiting = producer.post(n=1), producer.post(n=2)
    pair.settle()
    pair.server.close(OSError("reset"))
    with pytest.raises(DeliveryUnknown, match="reset"):
        request.answer()
    pair.advance(1)
    pair.server.expect("XADD", "orders", "*", "n", "2")
    pair.server.expect("WAIT")
    pair.server.expect_nothing()
    pair.server.answer("2-0", 2)
    assert waiting.answer() == StreamId(2)


def test_the_id_came_and_the_connection_went_before_the_wait_was_answered() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("1-0")
    pair.server.close(OSError("reset"))
    with pytest.raises(NotDurable, match=r"in the stream; whether it is safe was not answered: .*reset") as caught:
        request.answer()
    assert caught.value.id == StreamId(1)


def test_a_batch_that_never_left_leaves_later_without_what_was_cancelled() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    pair.budget = 0
    first = producer.post(n=1)
    second, third = producer.post(n=2), producer.post(n=3)
    first.finished = second.finished = True  # cancelled
    pair.server.close(OSError("reset"))
    pair.budget = None
    pair.advance(1)
    pair.server.expect("XADD", "orders", "*", "n", "3")
    pair.server.expect("WAIT")
    pair.server.expect_nothing()
    pair.server.answer("3-0", 2)
    assert third.answer() == StreamId(3)
    assert producer.has_room
    assert producer._main.queued == 0


def test_without_a_connection_it_waits_as_long_as_it_may() -> None:
    pair = Pair(producer := Sender(durability=Replicas(1, timeout=1)), dials=False)
    request = producer.post(n=1)
    pair.advance(6.9)
    assert not request.finished
    pair.advance(0.1)
    with pytest.raises(ConnectionLost, match="not sent: no connection to localhost:6379 within 7 s") as caught:
        request.answer()
    assert not caught.value.sent
    producer.close()


def test_a_server_that_does_not_answer() -> None:
    pair = Pair(producer := Sender(durability=Replicas(1, timeout=1)))
    request, behind = producer.post(n=1), producer.post(n=2)
    pair.settle()
    pair.advance(6)
    with pytest.raises(DeliveryUnknown):
        request.answer()
    assert not behind.finished
    pair.advance(1.1)
    assert behind.finished


def test_a_batch_is_given_up_as_a_whole_and_the_next_one_leaves() -> None:
    pair = Pair(producer := Sender(durability=Replicas(1, timeout=1)))
    request, behind = producer.post(n=1), producer.post(n=2)
    pair.settle()
    for _ in range(12):  # the server is busy, and answers something now and then, but not this
        pair.advance(0.49)
        pair.server.reply(resp("1-0")[:0])
    pair.advance(0.2)
    assert request.finished
    pair.advance(2)
    assert behind.finished


def test_a_replica_is_no_place_for_entries() -> None:
    """READONLY: nothing was executed. They wait for a primary, as all requests do, while the back-off doubles."""
    pair = Pair(producer := Sender(durability=TWO, random=lambda: 1.0))
    request = producer.post(n=1)
    pair.settle()
    waits = []
    for _ in range(4):
        pair.server.commands.clear()
        pair.server.answer(
            reply_error("READONLY You can't write against a read only replica."), reply_error("ERR WAIT no")
        )
        assert not request.finished
        dialled, began = pair.server.dials, pair.now
        while pair.server.dials == dialled:
            pair.advance(0.01)
        waits.append(pair.now - began)
    assert waits == sorted(waits)
    assert waits[-1] > 3 * waits[0]
    pair.server.expect("XADD", "orders", "*", "n", "1")
    pair.server.answer("1-0", 2)
    assert request.answer() == StreamId(1)


def test_at_the_deadline_the_servers_own_error_is_raised() -> None:
    pair = Pair(producer := Sender(durability=Replicas(1, timeout=1)))
    request = producer.post(n=1)
    pair.settle()
    pair.dials = False
    pair.server.answer(reply_error("READONLY no"), reply_error("ERR no"))
    pair.advance(8)
    with pytest.raises(ReadOnlyError, match="in reply to XADD"):
        request.answer()


def test_closing_ends_what_waits() -> None:
    pair = Pair(producer := Sender(durability=TWO))
    flying, waiting = producer.post(n=1), producer.post(n=2)
    pair.settle()
    producer.close()
    with pytest.raises(DeliveryUnknown):
        flying.answer()
    with pytest.raises(ConnectionLost, match=r"not sent: .*before the producer was closed") as caught:
        waiting.answer()
    assert not caught.value.sent
    assert not producer._accumulator.queued  # type: ignore[union-attr]  # it has one


def test_an_id_without_its_wait_is_asked_for_again() -> None:
    pair = Pair(producer := sender(durability=Replicas(1)))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("1-0")
    pair.server.close(LOST)
    pair.advance(1)
    pair.server.expect("EVAL")
    pair.server.expect("WAIT")
    pair.server.answer("1-0", 1)
    assert request.answer() == StreamId(1)


def test_an_id_without_its_wait_and_a_repetition_that_is_refused() -> None:
    pair = Pair(producer := sender(durability=Replicas(1)))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("1-0")
    pair.server.close(LOST)
    pair.advance(1)
    pair.server.answer(reply_error("WRONGTYPE somebody has replaced the key"), 1)
    with pytest.raises(NotDurable, match="whether it is safe was not answered: WRONGTYPE") as caught:
        request.answer()
    assert caught.value.id == StreamId(1)


def test_an_id_whose_wait_is_never_answered() -> None:
    pair = Pair(producer := sender(durability=Replicas(1)))
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer("1-0")
    pair.dials = False
    pair.server.close(LOST)
    pair.advance(7)
    with pytest.raises(
        NotDurable, match="in the stream; whether it is safe was not answered: no answer within 7 s"
    ) as caught:
        request.answer()
    assert caught.value.id == StreamId(1)
