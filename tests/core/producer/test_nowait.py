"""Entries that linger, and entries that nobody waits for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import ClosedError, CommandErrors, ConnectionLost, DeliveryUnknown, InvalidArgument, reply_error
from streamcore.events import LOSS, SendFailed
from streamcore.options import Options
from streamcore.producer.producer import MAX_UNANSWERED, PendingSend, Producer, settling
from streamcore.testing.pair import Pair
from tests.core.support.senders import Sender

# -- lingering -----------------------------------------------------------------------------------------------------------


def appended(pair: Pair) -> list[bytes]:
    numbers = [command[-1] for command in pair.server.commands]
    pair.server.commands.clear()
    return numbers


def test_an_entry_lingers_and_takes_others_with_it() -> None:
    pair = Pair(producer := Sender(linger=timedelta(milliseconds=10)))
    producer.post(n=1)
    pair.advance(0.009)
    producer.post(n=2)
    pair.settle()
    assert appended(pair) == []
    pair.advance(0.0011)
    assert appended(pair) == [b"1", b"2"]
    pair.server.answer("1-0", "2-0")
    assert [request.answer() for request in producer.ended] == [StreamId(1), StreamId(2)]
    producer.post(n=3)
    pair.advance(0.02)
    assert appended(pair) == [b"3"]


@pytest.mark.parametrize("options", [{"batch_count": 3}, {"batch_bytes": 130}])
def test_a_full_batch_leaves_at_once(options: dict[str, Any]) -> None:
    pair = Pair(producer := Sender(linger=60, **options))
    for n in range(7):
        producer.post(n=n)
    pair.settle()
    assert appended(pair) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    producer.hurry()
    pair.settle()
    assert appended(pair) == [b"6"]


def test_batches_are_bounded_by_number_and_bytes() -> None:
    pair = Pair(producer := Sender(linger=60, batch_count=4), dials=False)
    for n in range(10):
        producer.post(n=n)
    producer.hurry()
    pair.dials = True
    pair.settle()
    assert len(producer.links()[0]._connection.waiting) == 3  # type: ignore[union-attr]  # it is up
    assert len(appended(pair)) == 10


def test_lingering_does_not_stop_the_clock_of_the_request_timeout() -> None:
    pair = Pair(producer := Sender(linger=60, options=Options(request_timeout=1)))
    request = producer.post(n=1)
    pair.advance(1)
    with pytest.raises(ConnectionLost) as caught:
        request.answer()
    assert not caught.value.sent
    pair.advance(60)
    assert appended(pair) == []


def test_cancelled_while_it_lingers() -> None:
    pair = Pair(producer := Sender(linger=0.5))
    first, second = producer.post(n=1), producer.post(n=2)
    pair.settle()
    first.finished = True
    pair.advance(1)
    assert appended(pair) == [b"2"]
    pair.server.answer("2-0")
    assert second.answer() == StreamId(2)
    producer.post(n=3).finished = True
    pair.advance(1)
    assert appended(pair) == []


def test_several_batches_in_flight_are_refused_in_order() -> None:
    pair = Pair(producer := Sender(linger=0.5, batch_count=2))
    requests = [producer.post(n=n) for n in range(4)]
    pair.settle()
    assert appended(pair) == [b"0", b"1", b"2", b"3"]
    refusal = reply_error("LOADING wait")
    pair.server.answer(refusal, refusal)
    producer.post(n=4)
    producer.post(n=5)
    assert pair.server.connected  # the rest is not answered yet
    pair.server.answer(refusal, refusal)
    pair.advance(1)
    assert appended(pair) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    pair.server.answer(*[f"{n}-1" for n in range(6)])
    assert [request.answer() for request in requests] == [StreamId(n, 1) for n in range(4)]


def test_lost_and_never_sent() -> None:
    pair = Pair(producer := Sender(linger=0.01))
    sent = producer.post(n=1)
    pair.advance(0.02)
    pair.budget = 0
    unsent = producer.post(n=2)
    pair.advance(0.02)
    pair.server.close(OSError("reset"))
    with pytest.raises(DeliveryUnknown):
        sent.answer()
    assert not unsent.finished
    pair.budget = None
    pair.server.commands.clear()
    pair.advance(1)
    assert appended(pair) == [b"2"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"linger": -1}, "linger"),
        ({"batch_count": 0}, "batch_count"),
        ({"batch_bytes": 0}, "batch_bytes"),
        ({"limit": 5}, "limit needs maxlen or minid"),
        ({"durability": "none"}, r"durability must be None, Replicas\(...\) or Disk\(...\), not 'none'"),
    ],
)
def test_a_bad_option_fails_at_once(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        Producer("orders", **options)


def test_trimming_with_a_limit() -> None:
    pair = Pair(producer := Sender(maxlen=100, limit=50))
    producer.post(n=1)
    pair.settle()
    pair.server.expect("XADD", "orders", "MAXLEN", "~", "100", "LIMIT", "50", "*")


# -- nobody waits --------------------------------------------------------------------------------------------------------


def nowait(producer: Producer, **fields: Any) -> PendingSend:
    return producer.send_nowait(producer.entry(fields))


def test_the_id_comes_later() -> None:
    pair = Pair(producer := Sender())
    sent = nowait(producer, n=1)
    with pytest.raises(InvalidArgument, match="not answered yet"):
        sent.id  # noqa: B018  # it raises
    settled = settling(producer.unanswered())
    pair.settle()
    assert not settled()
    pair.server.answer("1-0")
    assert settled()
    assert sent.finished
    assert sent.id == StreamId(1)
    assert not producer.unanswered()
    producer.raise_failures()
    assert producer.patience == 5


def test_failures_are_events_and_are_raised_together_once() -> None:
    pair = Pair(producer := Sender())
    refused, fine, unknown = [nowait(producer, n=n) for n in range(3)]
    pair.settle()
    pair.server.answer(reply_error("OOM no"), "1-0")
    pair.server.close(OSError("reset"))
    failed = [event for event in pair.events() if isinstance(event, SendFailed)]
    assert [(event.stream, type(event.error).__name__) for event in failed] == [
        (b"orders", "OutOfMemoryError"),
        (b"orders", "DeliveryUnknown"),
    ]
    assert isinstance(failed[0], LOSS)
    with pytest.raises(CommandErrors, match="2 entries were not appended, or are in doubt") as caught:
        producer.raise_failures()
    assert list(caught.value.exceptions) == [refused.error, unknown.error]
    producer.raise_failures()
    assert fine.id == StreamId(1)


def test_a_failure_that_somebody_has_seen_is_not_raised_again() -> None:
    pair = Pair(producer := Sender())
    seen, unseen = nowait(producer, n=1), nowait(producer, n=2)
    pair.settle()
    pair.server.answer(reply_error("OOM no"), reply_error("OOM no"))
    for _ in range(2):
        with pytest.raises(Exception, match="OOM"):
            seen.id  # noqa: B018  # it raises
    with pytest.raises(CommandErrors) as caught:
        producer.raise_failures()
    assert list(caught.value.exceptions) == [unseen.error]


def test_there_is_room_for_so_many_and_no_more() -> None:
    pair = Pair(producer := Sender())
    for n in range(MAX_UNANSWERED):
        assert producer.has_room_nowait
        nowait(producer, n=n)
    rooms = [producer.has_room_nowait]
    pair.settle()
    pair.server.answer("1-0")
    rooms.append(producer.has_room_nowait)
    nowait(producer, n=0)
    rooms.append(producer.has_room_nowait)
    assert rooms == [False, True, False]


def test_there_is_room_for_so_many_bytes_and_no_more() -> None:
    producer = Sender(linger=60, options=Options(max_outgoing=100))
    Pair(producer)
    nowait(producer, text="x" * 60)
    assert not producer.has_room
    assert not producer.has_room_nowait
    assert Sender(options=Options(max_outgoing=100)).has_room


def test_what_waits_fails_when_the_producer_is_closed() -> None:
    pair = Pair(producer := Sender(linger=60))
    sent = nowait(producer, n=1)
    pair.settle()
    producer.fail(RuntimeError("broken"))
    with pytest.raises(ConnectionLost, match="before the producer was closed: broken"):
        sent.id  # noqa: B018  # it raises
    with pytest.raises(RuntimeError):
        nowait(producer, n=2)
    producer = Sender()
    producer.close()
    with pytest.raises(ClosedError):
        nowait(producer, n=2)
    producer.hurry()


def test_many_at_once_keep_their_order() -> None:
    pair = Pair(producer := Sender(linger=60))
    requests = producer.append_all([producer.entry({"n": n}) for n in range(3)], producer.ended.append)
    assert not producer.is_direct
    assert Sender().is_direct
    producer.hurry()
    pair.settle()
    assert appended(pair) == [b"0", b"1", b"2"]
    pair.server.answer("1-0", "2-0", "3-0")
    assert [request.answer() for request in requests] == [StreamId(1), StreamId(2), StreamId(3)]


def test_a_leased_link_is_no_business_of_the_entries() -> None:
    pair = Pair(producer := Sender(linger=60))
    producer.post(n=1)
    lease = producer.lease()
    assert lease is not None
    pair.settle()
    assert appended(pair) == []
    pair.peer("lease-1").close(OSError("reset"))
    producer.hurry()
    pair.settle()
    assert appended(pair) == [b"1"]
