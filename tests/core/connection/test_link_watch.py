"""The watch over a connection: pings, deadlines, late drivers and pauses."""

from __future__ import annotations

import pytest

from streamcore.connection.exchange import Exchange
from streamcore.connection.link import AT_ONCE
from streamcore.connection.link_state import State
from streamcore.connection.patience import LATE, LONGEST, MAX_EXCUSES, SLOWEST
from streamcore.errors import ConnectionLost
from streamcore.testing.resp import PushOf, resp
from tests.core.support.link_rig import WELCOME, Rig


def test_an_idle_link_is_pinged_and_goes_on(up: Rig) -> None:
    assert up.link.next_timeout() == 110.0
    up.tell(109.9)
    assert up.write() == []
    up.tell(110.0)
    assert up.write() == [[b"PING"]]
    assert up.link.next_timeout() == 112.0
    up.now = 111.0
    up.hear(b"+PONG\r\n")
    assert up.diary.read() == []
    assert up.link.next_timeout() == 121.0


def test_an_error_in_answer_to_the_ping_shows_that_the_server_lives(up: Rig) -> None:
    up.tell(110.0)
    up.write()
    up.hear(b"-MISCONF no\r\n")
    assert up.link.is_up
    assert up.diary.read() == []


def test_a_ping_without_an_answer_drops_the_link(up: Rig) -> None:
    up.tell(110.0)
    up.tell(111.9)
    assert up.link.is_up
    up.tell(112.0)
    [(_, error, *_)] = up.diary.read()
    assert str(error) == "server:1 did not answer in time"
    up.expect(State.DROPPING)


def test_requests_wait_their_turn_behind_a_ping(up: Rig) -> None:
    up.tell(110.0)
    one = up.ask()
    assert up.write() == [[b"PING"], [b"GET", b"k"]]
    up.hear(b"+PONG\r\n" + resp("v"))
    assert up.diary.read() == [("answered", one)]


def test_any_byte_proves_that_an_idle_link_lives(up: Rig) -> None:
    up.tell(109.0)
    up.hear(resp(PushOf(["message", "c", "x"])))
    assert up.link.next_timeout() == 119.0


def test_the_deadline_of_a_request_begins_when_the_driver_next_tells_the_time(up: Rig) -> None:
    up.ask(5.0)
    assert up.link.next_timeout() == AT_ONCE
    up.link.handle_timeout(130.0)
    assert up.link.next_timeout() == 135.0


def test_the_deadline_of_a_request_that_is_sent_on_an_answer_begins_at_once(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.diary.on_answered = lambda link: link.send(Exchange([("PING",)], 3.0))
    up.now = 102.0
    up.hear(resp("v"))
    assert up.link.next_timeout() == 105.0


def test_a_request_is_timed_from_when_it_became_the_oldest(up: Rig) -> None:
    up.ask(60.0)
    up.ask(5.0)
    up.tell()
    assert up.link.next_timeout() == 160.0
    up.now = 150.0
    up.hear(resp("v"))
    assert up.link.next_timeout() == 155.0
    up.tell(155.0)
    [_, (_, error, *_)] = up.diary.read()
    assert isinstance(error, ConnectionLost)


def test_a_long_answer_has_the_time_that_it_takes_at_the_slowest(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.hear(b"$%d\r\n" % (45 * SLOWEST))
    for now in range(101, 145):
        up.tell(now + 0.5)
        up.hear(b"x" * SLOWEST)
    up.expect(State.UP)
    up.hear(b"x" * SLOWEST + b"\r\n")
    assert [page[0] for page in up.diary.read()] == ["answered"]


@pytest.mark.parametrize("drop", [b"x", resp(PushOf(["invalidate", None]))], ids=["a reply that never ends", "pushes"])
def test_bytes_that_answer_nothing_do_not_keep_a_dead_link_alive(up: Rig, drop: bytes) -> None:
    up.ask(5.0)
    up.write()
    up.tell()
    if drop == b"x":
        up.hear(b"$100000000\r\n")
    for tenth in range(1, 52):
        up.tell(100.0 + tenth / 10)
        up.hear(drop)
    up.expect(State.DROPPING)
    *_, (_, error, sent, _) = up.diary.read()
    assert (str(error), len(sent)) == ("server:1 did not answer in time", 1)


def test_a_long_answer_that_stops_has_as_long_as_it_had_earned(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.hear(b"$100000000\r\n" + b"x" * (2 * SLOWEST))
    up.tell(105.0)
    assert up.link.next_timeout() == pytest.approx(107.0, abs=0.01)
    up.tell(107.1)
    up.expect(State.DROPPING)


def test_what_came_in_a_burst_earns_no_more_than_another_whole_time(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.hear(b"$100000000\r\n" + b"x" * (1000 * SLOWEST))
    up.tell(105.0)
    assert up.link.next_timeout() == 110.0
    up.tell(110.0)
    up.expect(State.DROPPING)


FLOOD: dict[str, tuple[bytes, bytes]] = {
    "a reply that never ends": (b"$500000000\r\n", b"x" * (4 * SLOWEST)),
    "pushes": (b"", resp(PushOf(["invalidate", "k" * (4 * SLOWEST)]))),
}


@pytest.mark.parametrize("what", FLOOD)
def test_no_answer_is_waited_for_longer_than_tenfold(up: Rig, what: str) -> None:
    first, piece = FLOOD[what]
    up.ask(5.0)
    up.write()
    up.tell()
    up.hear(first)
    for half in range(1, 2 * 5 * LONGEST):
        up.tell(100.0 + half / 2)
        up.hear(piece)
        up.expect(State.UP)
    up.tell(100.0 + 5 * LONGEST)
    up.expect(State.DROPPING)
    *_, (_, error, sent, _) = up.diary.read()
    assert (str(error), len(sent)) == ("server:1 did not answer in time", 1)


def test_an_answer_begins_the_count_anew(up: Rig) -> None:
    flood = resp(PushOf(["invalidate", "k" * (4 * SLOWEST)]))
    for _ in range(2):
        up.ask(5.0)
    up.tell()
    for half in range(1, 2 * 5 * LONGEST - 10):
        up.tell(100.0 + half / 2)
        up.hear(flood)
    up.hear(resp("v"))
    for _half in range(1, 2 * 5 * LONGEST - 10):
        up.tell(up.now + 0.5)
        up.hear(flood)
    up.expect(State.UP)


def test_a_driver_that_was_held_up_in_the_middle_of_an_answer_has_its_moment_as_ever(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.hear(b"$500000000\r\n")
    for _ in range(MAX_EXCUSES):
        up.hear(b"x" * (1000 * SLOWEST))
        up.tell(up.now + 1000.0)
        up.expect(State.UP)


def test_pushes_to_an_idle_link_are_signs_of_life(up: Rig) -> None:
    up.tell()
    up.hear(resp(PushOf(["message", "c", "x"])))
    assert up.link.next_timeout() == up.now + 10.0


def test_a_part_of_a_push_is_none(up: Rig) -> None:
    """An idle link asks whether the server is there, and finds that it is not."""
    up.tell()
    up.hear(b"$100000000\r\n")
    for half in range(1, 20):
        up.tell(100.0 + half / 2)
        up.hear(b"x")
        up.expect(State.UP)
    up.tell(110.0)
    assert up.write() == [[b"PING"]]
    for half in range(1, 5):
        up.tell(110.0 + half / 2)
        up.hear(b"x")
    up.tell(112.1)
    up.expect(State.DROPPING)


def test_a_connection_that_has_just_come_up_was_just_heard(up: Rig) -> None:
    up.tell()
    up.link.drop(ConnectionLost("dropped"))
    up.link.connection_lost(None, up.now)
    up.tell(5000.0)
    up.to(State.UP)
    assert up.link.next_timeout() == 5010.0


def test_each_reply_of_an_exchange_is_an_answer(up: Rig) -> None:
    up.link.send(Exchange([("GET", "k")] * 3, 5.0))
    up.tell()
    for now in (104.0, 108.0):
        up.tell(now)
        up.hear(resp("v"))
        assert up.link.next_timeout() == now + 5.0
    up.tell(112.0)
    up.hear(resp("v"))
    assert [page[0] for page in up.diary.read()] == ["answered"]


def test_a_long_write_that_goes_on_has_the_time_that_it_takes_at_the_slowest(up: Rig) -> None:
    up.link.send(Exchange([("SET", "k", b"x" * (45 * SLOWEST))], 5.0))
    up.tell()
    for now in range(101, 145):
        up.link.data_sent(SLOWEST)
        up.tell(now)
    up.expect(State.UP)
    up.link.data_sent(len(up.link.data_to_send()))  # all of it went: the answer has 5 s from the last sign of life
    up.tell(145.0)
    assert up.link.next_timeout() == pytest.approx(149.0, abs=0.01)


def test_a_server_that_takes_a_byte_now_and_then_is_silent(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    for now in (101.0, 102.0, 103.0, 104.0):
        up.link.data_sent(1)
        up.tell(now)
    up.tell(105.01)
    up.expect(State.DROPPING)


def test_a_driver_that_was_held_up_gets_a_moment_to_read_what_has_come_meanwhile(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    for excuse in range(1, MAX_EXCUSES + 1):
        late = 100.0 + 60.0 * excuse
        up.tell(late)
        assert up.link.next_timeout() == pytest.approx(late + LATE)
    up.ask(5.0)
    up.hear(resp("v"))  # an answer earns all excuses anew
    for excuse in range(MAX_EXCUSES):
        up.tell(up.now + 60.0 + excuse)
        up.expect(State.UP)
    up.tell(up.now + 60.0)
    up.expect(State.DROPPING)


def test_a_driver_that_is_a_little_late_has_no_excuse(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.tell(105.0 + LATE / 2)
    up.expect(State.DROPPING)


def test_an_idle_link_is_pinged_however_late(up: Rig) -> None:
    up.tell(110.0 + 60.0)
    assert up.write() == [[b"PING"]]
    assert up.link.next_timeout() == 172.0


def test_a_paused_link_is_not_read_and_not_watched(up: Rig) -> None:
    up.ask(5.0)
    up.tell()
    up.link.pause()
    up.expect_reading(False)
    assert up.link.next_timeout() is None
    up.tell(1000.0)
    assert up.link.is_up
    up.link.resume()
    up.expect_reading(True)
    up.tell(1000.0)
    assert up.link.next_timeout() == 1005.0  # counted from now, not from before the pause
    up.tell(1005.0)
    up.expect(State.DROPPING)


def test_resuming_a_link_that_was_not_paused_changes_nothing(up: Rig) -> None:
    up.link.resume()
    assert up.link.next_timeout() == 110.0


def test_a_new_connection_is_read_until_it_is_up_even_if_the_last_one_was_paused(up: Rig) -> None:
    up.link.pause()
    up.link.connection_lost(None, up.now)
    up.redial()
    up.link.connection_made(up.now)
    up.expect_reading(True)
    assert up.link.next_timeout() == up.now + 5.0
    up.hear(WELCOME)
    up.expect_reading(False)
