"""A consumer that pauses, idles, or is interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.consumer.options import Interruption
from streamcore.errors import ClosedError, ConnectionLost
from streamcore.testing.net import Fate
from streamcore.testing.pair import Pair
from streamcore.testing.resp import entry
from tests.core.support.consumers import ids, read, reading, unwatched
from tests.core.support.followers import following
from tests.core.support.server import Server


class TestPausing:
    def test_nothing_is_handed_over_and_nothing_more_is_read(self) -> None:
        consumer, pair = reading(prefetch=5)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.commands.clear()
        consumer.pause()
        assert (consumer.take(), consumer.has_batch) == (None, False)
        pair.server.answer({"s": [entry("2-0")]})
        pair.server.expect_nothing()
        consumer.resume()
        assert ids(consumer) == ["1-0", "2-0"]
        assert read(pair) == ([b"s"], [b"2-0"])

    def test_a_pause_is_no_end(self) -> None:
        consumer, pair = reading(stop_on_idle=True)
        consumer.pause()
        pair.server.answer(None)
        assert consumer.interruption() is None
        consumer.resume()
        assert consumer.interruption() is Interruption.ENDED

    def test_an_error_is_raised_all_the_same(self) -> None:
        consumer, _ = reading()
        consumer.pause()
        consumer.close()
        with pytest.raises(ClosedError):
            consumer.take()


class TestIdling:
    def test_an_empty_read_is_noticed(self) -> None:
        consumer, pair = reading()
        assert not consumer.idle
        pair.server.answer(None)
        assert (consumer.idle, consumer.ended) == (True, False)
        assert read(pair) == ([b"s"], [b"0-0"])

    def test_or_ends_the_reading_until_somebody_begins_again(self) -> None:
        consumer, pair = reading(stop_on_idle=True)
        pair.server.answer({"s": [entry("1-0")]})
        read(pair)
        pair.server.answer(None)
        pair.server.expect_nothing()
        assert consumer.ended
        assert ids(consumer) == ["1-0"]
        consumer.begin()
        assert (consumer.idle, consumer.ended) == (False, False)
        assert read(pair) == ([b"s"], [b"1-0"])
        consumer.begin()
        pair.server.expect_nothing()

    def test_without_waiting_in_the_server(self) -> None:
        consumer = unwatched({"s": "0"}, block=None, stop_on_idle=True)
        pair = Pair(consumer)
        pair.server.expect("XREAD", "COUNT", 100, "STREAMS", "s", "0-0")
        pair.server.answer(None)
        assert consumer.ended


class TestInterruptions:
    def test_an_idle_read_is_told_once_and_an_end_until_one_begins_again(self) -> None:
        consumer, pair = reading()
        assert consumer.interruption() is None
        pair.server.answer(None)
        assert [consumer.interruption(), consumer.interruption()] == [Interruption.IDLE, None]
        consumer, pair = reading(stop_on_idle=True)
        pair.server.answer(None)
        assert [consumer.interruption(), consumer.interruption()] == [Interruption.ENDED, Interruption.ENDED]
        consumer.begin()
        assert consumer.interruption() is None

    @pytest.mark.parametrize("how", ["raise", "yield"])
    def test_a_disconnection_is_told_if_asked_for(self, how: Any) -> None:
        consumer, pair = reading(on_disconnect=how)
        pair.server.answer({"s": [entry("1-0")]})
        pair.server.close(OSError("reset"))
        pair.advance(1.0)
        told = consumer.interruption()
        assert isinstance(told, ConnectionLost)
        assert "reset" in str(told)
        assert consumer.interruption() is None
        pair.greets = False
        pair.server.close()
        pair.advance(3.0)
        assert isinstance(consumer.interruption(), ConnectionLost)
        assert consumer.interruption() is None, "what was not up was not lost"

    def test_and_not_otherwise(self) -> None:
        consumer, pair = reading()
        pair.server.close()
        assert consumer.interruption() is None

    def test_the_control_link_is_nobodys_business(self) -> None:
        consumer, pair = reading(on_disconnect="raise")
        consumer.seek("s", "0")
        pair.settle()
        pair.peer("control").close()
        assert consumer.interruption() is None


def test_a_read_that_was_ended_for_a_change_that_was_given_up_is_no_idle_one() -> None:
    consumer = Consumer({"s": "0"}, stop_on_idle=True, detect_gaps=False)
    pair = Pair(consumer)
    pair.settle()
    pair.server.commands.clear()
    change = consumer.add_stream("t")
    assert change is not None
    consumer.give_up(change)
    pair.settle()
    pair.server.answer(None)
    assert not consumer.ended


def test_an_interruption_ends_with_the_read_even_if_that_was_lost_with_its_connection() -> None:
    server = Server()
    consumer, net = following(server, {"s": "0"})
    consumer.pause()
    consumer.add_stream("t", "0")
    net.cut("main", Fate.REQUESTS_LOST)
    net.serve()
    net.advance(1.0)
    server.seen.clear()
    net.advance(5.0)
    unblocks = [command for command in server.seen if command[:2] == [b"CLIENT", b"UNBLOCK"]]
    assert len(unblocks) < 5, "a command each 10 ms for as long as the consumer is paused"


def test_an_interruption_does_not_keep_the_timer_busy_while_the_server_is_away() -> None:
    server = Server()
    consumer, net = following(server, {"s": "0"})
    change = consumer.add_stream("t", "0")
    assert change is not None
    net.pair.refusal = OSError("refused")
    net.cut("main", Fate.REQUESTS_LOST)
    consumer.give_up(change)
    told = 0
    while net.pair.now < 1030.0 and told < 1000:
        net.pair.advance(0.01)
        told += (consumer.next_timeout() or 2000.0) - net.pair.now <= 0.011
    assert told < 200, "it wakes a hundred times a second"
