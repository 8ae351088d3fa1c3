"""Appending once however often it is sent: by IDMP, or by a script, and never by both."""

from __future__ import annotations

import pytest

from streamcore.connection.handshake import greeting
from streamcore.entries import StreamId
from streamcore.errors import (
    ClosedError,
    ConnectionLost,
    DeliveryUnknown,
    InvalidArgument,
    LoadingError,
    NoScriptError,
    ReadOnlyError,
    WrongTypeError,
    reply_error,
)
from streamcore.options import DEFAULT_LOGIN, Options
from streamcore.producer.deduplication import WINDOW
from streamcore.producer.durability import Replicas
from streamcore.producer.producer import Producer
from streamcore.resp3 import encode
from streamcore.scripts.producer import APPEND_ONCE
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy
from tests.core.support.senders import LOST, NO_SCRIPT, SHA, Sender, asked, message, ready, sender

# -- by a script -------------------------------------------------------------------------------------------------------


def test_the_first_entry_of_a_connection_brings_the_script_with_it() -> None:
    pair = Pair(producer := sender(maxlen=5))
    requests = [producer.post(n=n) for n in range(3)]
    pair.settle()
    first = pair.server.expect("EVAL", APPEND_ONCE.source, 2, "orders", "{orders}:sent:p")
    assert first[6:] == [b"1000", b"100000", b"MAXLEN", b"~", b"5", b"*", b"n", b"0"]
    pair.server.answer("1-0")
    second = pair.server.expect("EVALSHA", SHA, 2, "orders", "{orders}:sent:p")
    third = pair.server.expect("EVALSHA", SHA)
    assert len({message(first), message(second), message(third)}) == 3
    pair.server.answer("2-0", "3-0")
    assert [request.answer() for request in requests] == [StreamId(1), StreamId(2), StreamId(3)]


def test_a_lost_entry_is_sent_again_as_the_same_message_until_it_is_known() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    first = pair.server.expect("EVAL")
    for _ in range(3):
        pair.server.close(LOST)
        pair.advance(0.3)
        assert message(pair.server.expect("EVAL")) == message(first)
        pair.server.expect_nothing()
    pair.server.answer("1-0")
    assert request.answer() == StreamId(1)
    assert producer._main.queued == 0
    assert producer._accumulator is not None
    assert producer._accumulator.queued == 0


def test_what_its_caller_does_to_a_buffer_afterwards_changes_no_repetition() -> None:
    pair = Pair(producer := sender())
    buffer = bytearray(b"before")
    producer.post(n=buffer, v=memoryview(buffer))
    pair.settle()
    buffer[:] = b"after!"
    assert pair.server.expect("EVAL")[-3:] == [b"before", b"v", b"before"]
    pair.server.close(LOST)
    pair.advance(0.3)
    assert pair.server.expect("EVAL")[-3:] == [b"before", b"v", b"before"]


def test_what_was_answered_before_the_loss_is_not_repeated_and_the_order_is_kept() -> None:
    pair = Pair(producer := sender())
    producer.post(n=0)
    requests = [producer.post(n=n) for n in (1, 2, 3)]
    pair.settle()
    pair.server.answer("0-1")
    pair.server.answer("1-0")
    late = producer.post(n=4)
    pair.server.close(LOST)
    assert requests[0].answer() == StreamId(1)
    pair.advance(1)
    assert [command[-1] for command in pair.server.commands] == [b"2", b"3", b"4"]
    pair.server.answer("2-0", "3-0", "4-0")
    assert [request.answer() for request in [*requests[1:], late]] == [StreamId(2), StreamId(3), StreamId(4)]


def test_at_the_deadline_it_is_unknown() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    pair.dials = False
    pair.server.close(LOST)
    pair.advance(5)
    with pytest.raises(DeliveryUnknown, match="did not answer within 5 s"):
        request.answer()
    pair.dials = True
    pair.advance(10)
    pair.server.expect_nothing()


def test_a_script_that_the_server_has_forgotten_is_brought_again_in_order() -> None:
    pair = Pair(producer := sender())
    producer.post(n=0)
    pair.server.answer()
    pair.settle()
    pair.server.answer("0-1")
    requests = [producer.post(n=n) for n in (1, 2)]
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer(NO_SCRIPT)  # to the first one, which was alone
    pair.server.expect("EVAL")
    pair.server.expect("EVALSHA")
    pair.server.answer("1-0", NO_SCRIPT)
    pair.server.expect("EVAL")
    pair.server.answer("2-0")
    assert [request.answer() for request in requests] == [StreamId(1), StreamId(2)]


def test_never_more_in_doubt_than_is_remembered() -> None:
    pair = Pair(producer := sender(batch_count=5000))
    for n in range(WINDOW + 3):
        producer.post(n=n)
    pair.settle()
    pair.server.expect("EVAL")
    pair.server.answer("1-0")
    assert len({message(command) for command in pair.server.commands}) == WINDOW
    pair.server.commands.clear()
    pair.server.answer(*[f"{n}-0" for n in range(2, WINDOW + 2)])
    assert len(pair.server.commands) == 2


def test_a_cancelled_one_that_was_sent_is_not_sent_again() -> None:
    pair = Pair(producer := sender())
    cancelled = producer.post(n=1)
    pair.settle()
    cancelled.finished = True
    pair.server.close(LOST)
    kept = producer.post(n=2)
    pair.advance(1)
    assert [command[-1] for command in pair.server.commands] == [b"2"]
    pair.server.answer("2-0")
    assert kept.answer() == StreamId(2)
    assert producer.ended == [kept]


def test_all_that_waits_is_cancelled() -> None:
    pair = Pair(producer := sender())
    pair.server.close(LOST)
    cancelled = [producer.post(n=n) for n in (1, 2)]
    for request in cancelled:
        request.finished = True
    assert not pair.server.connected
    pair.advance(1)
    pair.server.expect_nothing()
    assert producer._accumulator is not None
    assert producer._accumulator.queued == 0


def test_cancelled_behind_the_dispatch_of_the_first() -> None:
    pair = Pair(producer := sender())
    first = producer.post(n=1)
    second = producer.post(n=2)
    pair.settle()
    second.finished = True
    pair.server.commands.clear()
    pair.server.answer("1-0")
    pair.server.expect_nothing()
    assert first.answer() == StreamId(1)


def test_an_error_of_the_entry_is_final() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer(reply_error("WRONGTYPE Operation against a key holding the wrong kind of value"))
    with pytest.raises(WrongTypeError, match="in reply to XADD"):
        request.answer()
    assert ready(producer)


def test_some_were_executed_when_the_primary_became_a_replica() -> None:
    pair = Pair(producer := sender())
    producer.post(n=0)
    requests = [producer.post(n=n) for n in (1, 2, 3)]
    pair.settle()
    pair.server.answer("0-1")
    pair.server.commands.clear()
    read_only = ReadOnlyError("READONLY", "You can't write against a read only replica. script: x")
    pair.server.answer("1-0", read_only, LoadingError("LOADING", "wait"))
    assert [request.finished for request in requests] == [True, False, False]
    assert not pair.server.connected or pair.server.dials > 1
    pair.advance(0.2)
    pair.server.expect("EVAL")
    pair.server.expect("EVALSHA")
    pair.server.answer("2-0", "3-0")
    assert [request.answer() for request in requests] == [StreamId(1), StreamId(2), StreamId(3)]


def test_refused_first_and_unknown_later() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.answer(ReadOnlyError("READONLY", "no"))
    pair.advance(0.2)
    pair.server.close(LOST)
    pair.dials = False
    pair.advance(10)
    with pytest.raises(DeliveryUnknown):
        request.answer()


def test_a_repetition_that_is_refused_tells_nothing_of_the_first_one() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.close(LOST)
    pair.advance(1)
    pair.server.answer(reply_error("WRONGTYPE somebody has replaced the key"))
    with pytest.raises(DeliveryUnknown, match="may be in the stream: WRONGTYPE"):
        request.answer()


def test_nor_does_one_that_is_refused_for_now_until_it_is_late() -> None:
    pair = Pair(producer := sender())
    request = producer.post(n=1)
    pair.settle()
    pair.server.close(LOST)
    pair.advance(1)
    pair.dials = False
    pair.server.answer(LoadingError("LOADING", "wait"))
    pair.advance(5)
    with pytest.raises(DeliveryUnknown, match="did not answer within 5 s: LOADING"):
        request.answer()


# -- names -------------------------------------------------------------------------------------------------------------


def test_messages_of_another_run_are_other_messages_unless_they_are_named() -> None:
    names = set()
    for _ in range(2):
        pair = Pair(producer := Sender(producer_id="p", entropy=entropy))
        producer.post(n=1)
        producer.send({"n": 2}, producer.ended.append, message_id="mine")
        pair.settle()
        names.add(message(pair.server.expect("EVAL")))
        pair.server.answer("1-0")
        assert message(pair.server.expect("EVALSHA")) == b"mine"
    assert len(names) == 2


def test_a_producer_without_a_name_gets_one() -> None:
    keys = set()
    for _ in range(2):
        pair = Pair(producer := Sender(idempotent=True, entropy=entropy))
        producer.post(n=1)
        pair.settle()
        keys.add(pair.server.expect("EVAL")[4])
    assert len(keys) == 2


def test_what_cannot_be_idempotent() -> None:
    with pytest.raises(InvalidArgument, match=r"an idempotent producer needs entropy=os.urandom"):
        Producer("s", idempotent=True, random=lambda: 0.5)
    with pytest.raises(InvalidArgument, match=r"an idempotent producer needs entropy=os.urandom"):
        Producer("s", producer_id="p")
    with pytest.raises(InvalidArgument, match="producer_id is empty"):
        sender(producer_id="")
    with pytest.raises(InvalidArgument, match="remembered for 100 seconds, and may be sent again for 110"):
        sender(options=Options(request_timeout=90), durability=Replicas(1, timeout=10))
    producer = sender()
    for id_ in ("5-5", "5-*", b"*", StreamId(5)):
        with pytest.raises(InvalidArgument, match="needs id='\\*'"):
            producer.send({"n": 1}, producer.ended.append, id_)  # type: ignore[arg-type]  # bytes
    with pytest.raises(InvalidArgument, match="at most 3950 fields"):
        producer.send({n: n for n in range(4000)}, producer.ended.append)
    with pytest.raises(InvalidArgument, match="message_id is empty"):
        producer.send({"n": 1}, producer.ended.append, message_id="")
    with pytest.raises(InvalidArgument, match="message_id needs idempotent=True"):
        Producer("s").send({"n": 1}, producer.ended.append, message_id="m")
    producer.close()
    with pytest.raises(ClosedError):
        producer.post(n=1)


# -- with a wait behind it -----------------------------------------------------------------------------------------------


def test_closing() -> None:
    pair = Pair(producer := sender())
    unsent = producer.post(n=0)
    flying = producer.post(n=1)
    pair.settle()
    pair.server.answer("1-0")
    assert unsent.answer() == StreamId(1)
    producer.close()
    with pytest.raises(DeliveryUnknown, match="before the producer was closed"):
        flying.answer()
    with pytest.raises(ConnectionLost):
        flying.answer()


def test_a_missing_script_is_an_error_where_none_was_used() -> None:
    pair = Pair(producer := Sender(linger=0.1))
    request = producer.post(n=1)
    producer.hurry()
    pair.settle()
    pair.server.answer(NO_SCRIPT)
    with pytest.raises(NoScriptError):
        request.answer()


@pytest.mark.usefixtures("redis8")
def test_an_answer_about_the_window_from_a_connection_that_is_gone() -> None:
    """The question never left the first connection; over the next one it is asked twice, and only the new one counts."""
    pair = Pair(producer := sender(), budget=sum(len(encode(command)) for command in greeting(DEFAULT_LOGIN)))
    producer.post(n=1)
    pair.server.expect_nothing()
    pair.server.close(LOST)
    pair.budget = None
    pair.advance(1)
    asked(pair, window=3)
    assert not ready(producer)
    asked(pair, window=5)
    assert ready(producer)
    pair.server.expect("XADD", "orders", "IDMP")


def test_two_are_late_and_one_of_them_is_cancelled() -> None:
    pair = Pair(producer := sender(), dials=False)
    late, cancelled = producer.post(n=1), producer.post(n=2)
    cancelled.finished = True
    pair.advance(5)
    assert producer.ended == [late]
