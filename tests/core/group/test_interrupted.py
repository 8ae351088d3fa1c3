"""A signal handler raises in the middle of a call of an engine: what it holds is counted anew, and goes on."""

from __future__ import annotations

from contextlib import suppress

from streamcore.entries import GroupBatch
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.members import add, consume, ids, sent, take_all
from tests.core.support.server import Server
from tests.support.moments import CORE, moments


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_call_that_takes_a_batch_may_be_interrupted_anywhere(server: Server) -> None:
    """Once its counters were torn, a reader found no room for the next read any more, and waited for ever."""
    consumer, net = consume(server, prefetch=1)
    for number in range(1, 121):
        add(server, number, number)
        net.serve()
        with suppress(KeyboardInterrupt):
            moments(lambda: keep(consumer), number, interrupt, within=(CORE,), everywhere=True)
        if not consumer.readers[0].runner._waiting:  # the script itself was hit: then a driver gives up the links
            kept.clear()
            net.cut("main", Fate.REQUESTS_LOST)
            net.advance(1)
        batches = [*kept, *take_all(consumer, net)]
        kept.clear()
        assert ids(batches) == [f"{number}-0"]
        for batch in batches:
            batch.ack()
        net.advance(0.1)
        assert consumer.members[0].loop.in_flight.blocked, "the next read has left"


kept: list[GroupBatch[bytes]] = []


def keep(consumer: GroupConsumer[bytes]) -> None:
    if (batch := consumer.take()) is not None:
        kept.append(batch)


def interrupted(server: Server) -> tuple[GroupConsumer[bytes], Net]:
    """A member that has one of two entries in hand, and has lost its connection."""
    add(server, 1, 2)
    consumer, net = consume(server, count=1, prefetch=2)
    first, _ = take_all(consumer, net)
    first.ack()
    consumer.members[0].loop.pending.collect()
    return consumer, net


def test_acknowledgements_that_were_cut_off_before_they_left_are_sent_on_the_next_connection(server: Server) -> None:
    consumer, net = interrupted(server)
    consumer.members[0].loop.pending.take()  # and then the handler has raised
    net.cut("main", Fate.REQUESTS_LOST)
    sent(server, "XACK")
    net.advance(1)
    assert sent(server, "XACK") == [[b"XACK", b"s", b"g", b"1-0"]]
    assert not consumer.members[0].loop.pending.settling


def test_what_is_in_hand_is_counted_anew_on_the_next_connection(server: Server) -> None:
    consumer, net = interrupted(server)
    pending = consumer.members[0].loop.pending
    pending.in_flight += 7
    pending._of.clear()
    net.cut("main", Fate.REQUESTS_LOST)
    net.advance(1)
    assert (pending.in_flight, pending.unsettled(b"s")) == (1, {b"2-0"})
