"""A link that loses its connection, closes it, and backs off."""

from __future__ import annotations

import pytest

from streamcore.connection.link_state import State
from streamcore.errors import ConnectFailed, ConnectionLost, RemoteProtocolError
from streamcore.testing.resp import PushOf, resp
from tests.core.support.link_rig import WELCOME, Rig

# -- losing it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_error", "text"),
    [
        (None, "server:1 closed the connection"),
        (OSError("reset by peer"), "the connection to server:1 broke: reset by peer"),
        (ConnectFailed("refused"), "refused"),
    ],
)
def test_the_owner_learns_why_a_connection_was_lost(up: Rig, given_error: Exception | None, text: str) -> None:
    up.link.connection_lost(given_error, up.now)
    [(_, error, *_)] = up.diary.read()
    assert isinstance(error, ConnectionLost)
    assert str(error) == text


def test_unanswered_exchanges_come_back_as_sent_and_unsent(up: Rig) -> None:
    answered, sent = up.ask(), up.ask()
    up.write()
    unsent = up.ask()
    up.hear(resp("v"))
    assert up.link.unanswered == 2
    up.link.connection_lost(None, up.now)
    [page, (_, _, came_back, never_left)] = up.diary.read()
    assert page == ("answered", answered)
    assert (came_back, never_left) == ([sent], [unsent])
    assert up.link.unanswered == 0


@pytest.mark.parametrize("written", [False, True])
def test_the_links_own_ping_does_not_come_back(up: Rig, written: bool) -> None:
    up.tell(110.0)
    assert up.link.unanswered == 1
    if written:
        assert up.write() == [[b"PING"]]
    up.link.connection_lost(None, up.now)
    [(_, _, sent, unsent)] = up.diary.read()
    assert (sent, unsent) == ([], [])


def test_completions_are_told_before_the_error_behind_them(up: Rig) -> None:
    one, two = up.ask(), up.ask()
    up.write()
    up.hear(resp("v") + resp(PushOf(["x"])) + b"rubbish\r\n")
    answered, pushed, (_, error, sent, unsent) = up.diary.read()
    assert answered == ("answered", one)
    assert pushed == ("pushed", [b"x"])
    assert isinstance(error, RemoteProtocolError)
    assert (sent, unsent) == ([two], [])


def test_an_unsolicited_reply_drops_the_link(up: Rig) -> None:
    up.hear(b"+stray\r\n")
    [(_, error, *_)] = up.diary.read()
    assert isinstance(error, RemoteProtocolError)
    up.expect(State.DROPPING)


def test_a_dropped_socket_must_be_confirmed_before_another_is_wanted(up: Rig) -> None:
    up.link.drop(ConnectionLost("enough"))
    for now in (101.0, 200.0, 10_000.0):
        assert up.link.next_timeout() is None
        up.link.handle_timeout(now)
        up.link.connection_made(now)
        up.hear(b"+late\r\n")
        up.link.data_sent(7)
        assert not up.link.wants_connection
    assert len(up.diary.read()) == 1
    up.link.connection_lost(None, 10_000.0)
    assert up.link.next_timeout() == 10_001.0


def test_an_owner_that_drops_while_it_is_told_still_hears_the_rest(up: Rig) -> None:
    one, two, three = up.ask(), up.ask(), up.ask()
    up.write()
    up.diary.on_answered = lambda link: link.drop(ConnectionLost("enough"))
    up.hear(resp("1") + resp("2") + b"rubbish\r\n")
    first, (_, error, sent, _), second = up.diary.read()
    assert (first, second) == (("answered", one), ("answered", two))
    assert str(error) == "enough"
    assert sent == [three]


def test_an_owner_may_close_as_soon_as_it_is_up() -> None:
    rig = Rig().to(State.GREETING)
    rig.diary.on_up = lambda link: link.close()
    rig.hear(WELCOME + b"rubbish\r\n")
    assert [page[0] for page in rig.diary.read()] == ["up", "down"]
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)


@pytest.mark.parametrize("state", State)
def test_a_closed_link_rests_once_the_driver_has_confirmed(state: State) -> None:
    rig = Rig().to(state)
    rig.link.close()
    assert not rig.link.wants_connection
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)
    assert rig.link.next_timeout() is None
    rig.link.close()
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)


def test_a_link_can_be_opened_again_while_its_last_socket_is_closing(up: Rig) -> None:
    up.link.close()
    up.link.open()
    up.expect(State.DROPPING)
    up.link.connection_lost(None, up.now)
    up.redial()


def test_a_closed_link_tells_its_owner_what_was_unanswered(up: Rig) -> None:
    one = up.ask()
    up.write()
    up.link.close()
    [(_, error, sent, _)] = up.diary.read()
    assert sent == [one]
    assert str(error) == "the connection was closed by its owner"


def waits(rig: Rig, number: int) -> list[float]:
    """How long the link backs off after each of so many dials that fail."""
    found = []
    for _ in range(number):
        rig.link.connection_lost(OSError("refused"), rig.now)
        due = rig.link.next_timeout()
        assert due is not None
        found.append(due - rig.now)
        rig.redial()
    return found


# -- backing off -------------------------------------------------------------------------------------------------------


def test_the_back_off_doubles_up_to_its_limit() -> None:
    assert waits(Rig().to(State.DIALLING), 6) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_back_off_is_spread_over_all_of_its_length() -> None:
    rig = Rig().to(State.DIALLING)
    for die, expected in ((0.0, 0.0), (0.5, 1.0), (0.25, 1.0), (1.0, 8.0)):
        rig.die = die
        assert waits(rig, 1) == [expected]


def test_a_thousand_failures_do_not_overflow() -> None:
    assert waits(Rig().to(State.DIALLING), 1100)[-1] == 8.0


def test_greeting_alone_is_no_success() -> None:
    rig = Rig().to(State.DIALLING)
    waits(rig, 3)
    rig.link.connection_made(rig.now)
    rig.hear(WELCOME)
    assert rig.link.attempts == 4
    assert waits(rig, 1) == [8.0]


def test_success_begins_the_back_off_anew() -> None:
    rig = Rig().to(State.DIALLING)
    waits(rig, 3)
    rig.link.connection_made(rig.now)
    rig.hear(WELCOME)
    rig.link.succeeded()
    assert rig.link.attempts == 0
    assert waits(rig, 3) == [1.0, 1.0, 2.0]


def test_a_timer_that_fires_early_does_no_harm() -> None:
    rig = Rig().to(State.BACKING_OFF)
    due = rig.link.next_timeout()
    assert due == 101.0
    rig.link.handle_timeout(100.999)
    rig.expect(State.BACKING_OFF)
    assert rig.link.next_timeout() == due
