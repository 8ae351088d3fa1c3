from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.common import Changes, Clock
from streamcore.connection.exchange import Exchange
from streamcore.connection.link import AT_ONCE, LATE, LONGEST, MAX_EXCUSES, SLOWEST, Link
from streamcore.connection.link_state import State
from streamcore.errors import (
    ConnectFailed,
    ConnectionLost,
    LoginRefused,
    RemoteProtocolError,
    reply_error,
)
from streamcore.options import Address, Login, Options
from tests.core.pair import HELLO, OK, PushOf, commands_in, resp

WELCOME: Final = resp(HELLO) + OK * 2
OPTIONS: Final = Options(
    request_timeout=5.0,
    connect_timeout=3.0,
    backoff_initial=1.0,
    backoff_max=8.0,
    keepalive_idle=10.0,
    keepalive_answer=2.0,
)
SECRET: Final = "sesame"


class Diary:
    """An owner that writes down what its link tells."""

    def __init__(self) -> None:
        self.pages: list[tuple[Any, ...]] = []
        self.on_up: Callable[[Link], None] = lambda link: None
        self.on_answered: Callable[[Link], None] = lambda link: None

    def link_up(self, link: Link) -> None:
        self.pages.append(("up",))
        self.on_up(link)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        self.pages.append(("answered", exchange))
        self.on_answered(link)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        self.pages += [("pushed", items) for items in pushes]

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self.pages.append(("down", error, sent, unsent))

    def read(self) -> list[tuple[Any, ...]]:
        """What was written since the last time."""
        pages, self.pages = self.pages, []
        return pages


class Rig:
    """A link with its diary, a hand-turned clock and a loaded die."""

    def __init__(self, options: Options = OPTIONS, login: Login | None = None) -> None:
        self.diary = Diary()
        self.clock = Clock()
        self.changes = Changes()
        self.now = 100.0
        self.die = 1.0
        self.link = Link(
            self.diary,
            random=lambda: self.die,
            clock=self.clock,
            changes=self.changes,
            address=Address("server", 1),
            login=login or Login(),
            options=options,
        )

    def to(self, state: State) -> Rig:
        """Take the link to a state by the shortest way."""
        link = self.link
        if state is not State.RESTING:
            link.open()
            self.tell()
        if state in (State.GREETING, State.UP, State.DROPPING):
            link.connection_made(self.now)
        if state is State.UP:
            self.write()
            link.receive_data(WELCOME, self.now)
        if state is State.DROPPING:
            link.drop(ConnectionLost("dropped"))
        if state is State.BACKING_OFF:
            link.connection_lost(OSError("refused"), self.now)
        self.expect(state)
        self.diary.read()
        return self

    def expect(self, state: State) -> None:
        assert self.link.state is state

    def expect_reading(self, wanted: bool) -> None:
        assert self.link.wants_data is wanted

    def tell(self, now: float | None = None) -> None:
        """Tell the time as a driver does: as long as a timer is due."""
        self.now = self.now if now is None else now
        for _ in range(10):
            due = self.link.next_timeout()
            if due is None or due > self.now:
                return
            self.link.handle_timeout(self.now)
        raise AssertionError("a timer that is always due")

    def write(self) -> list[list[bytes]]:
        """Let the driver write everything."""
        data = self.link.data_to_send()
        self.link.data_sent(len(data))
        return commands_in(data)

    def ask(self, timeout: float = 5.0) -> Exchange:
        """Send a command that must be answered within ``timeout``."""
        exchange = Exchange([("GET", "k")], timeout)
        self.link.send(exchange)
        return exchange

    def hear(self, data: bytes) -> None:
        self.link.receive_data(data, self.now)

    def redial(self) -> None:
        """From BACKING_OFF, wait, and dial."""
        self.expect(State.BACKING_OFF)
        self.tell(self.link.next_timeout())
        self.expect(State.DIALLING)


@pytest.fixture
def up() -> Rig:
    return Rig().to(State.UP)


# -- states ------------------------------------------------------------------------------------------------------------

INPUTS: Final[dict[str, Callable[[Rig], None]]] = {
    "open": lambda rig: rig.link.open(),
    "close": lambda rig: rig.link.close(),
    "drop": lambda rig: rig.link.drop(ConnectionLost("dropped")),
    "made": lambda rig: rig.link.connection_made(rig.now),
    "lost": lambda rig: rig.link.connection_lost(None, rig.now),
    "rubbish": lambda rig: rig.link.receive_data(b"rubbish\r\n", rig.now),
    "timer": lambda rig: rig.link.handle_timeout(rig.now + 100.0),
}
# What each input makes of each state. The columns are the keys of INPUTS.
TRANSITIONS: Final = """
    RESTING      DIALLING     RESTING   RESTING      RESTING      RESTING      RESTING      RESTING
    DIALLING     DIALLING     RESTING   DROPPING     GREETING     BACKING_OFF  DIALLING     DROPPING
    GREETING     GREETING     DROPPING  DROPPING     GREETING     BACKING_OFF  DROPPING     DROPPING
    UP           UP           DROPPING  DROPPING     UP           BACKING_OFF  DROPPING     UP
    DROPPING     DROPPING     DROPPING  DROPPING     DROPPING     BACKING_OFF  DROPPING     DROPPING
    BACKING_OFF  BACKING_OFF  RESTING   BACKING_OFF  BACKING_OFF  BACKING_OFF  BACKING_OFF  DIALLING
"""
ROWS: Final = [row.split() for row in TRANSITIONS.strip().splitlines()]


@pytest.mark.parametrize(
    ("before", "name", "after"),
    [(row[0], name, after) for row in ROWS for name, after in zip(INPUTS, row[1:], strict=True)],
)
def test_what_each_input_does_in_each_state(before: str, name: str, after: str) -> None:
    rig = Rig().to(State[before])
    INPUTS[name](rig)
    rig.expect(State[after])
    down = [page for page in rig.diary.pages if page[0] == "down"]
    ended = before in ("DIALLING", "GREETING", "UP") and after in ("DROPPING", "BACKING_OFF")
    assert len(down) == ended


@pytest.mark.parametrize("state", State)
def test_a_socket_is_wanted_while_dialling_greeting_and_up(state: State) -> None:
    assert Rig().to(state).link.wants_connection == (state in (State.DIALLING, State.GREETING, State.UP))


@pytest.mark.parametrize("state", State)
def test_looking_at_the_outputs_changes_nothing(state: State) -> None:
    link = Rig().to(state).link

    def outputs() -> tuple[Any, ...]:
        seen = (link.wants_connection, link.wants_data, bytes(link.data_to_send()), link.next_timeout())
        return (*seen, link.state, link.is_up, link.unanswered)

    assert outputs() == outputs() == outputs()


@pytest.mark.parametrize("state", [state for state in State if state is not State.UP])
def test_only_a_link_that_is_up_says_so(state: State) -> None:
    assert not Rig().to(state).link.is_up


def test_links_are_told_apart_by_their_names() -> None:
    assert Rig().link.name == "main"
    assert Link(Diary(), random=lambda: 0.0, clock=Clock(), changes=Changes(), name="acks").name == "acks"


def test_every_input_tells_the_time_to_whoever_shares_the_clock(up: Rig) -> None:
    link, clock = up.link, up.clock
    link.handle_timeout(200.0)
    assert clock.now == 200.0
    link.connection_made(201.0)
    assert clock.now == 201.0
    link.receive_data(b"", 202.0)
    assert clock.now == 202.0
    link.connection_lost(None, 300.0)
    assert clock.now == 300.0
    link.receive_data(b"+late\r\n", 301.0)
    assert clock.now == 301.0


# -- dialling and greeting ---------------------------------------------------------------------------------------------


def test_the_deadline_of_a_dial_begins_when_the_driver_tells_the_time() -> None:
    rig = Rig()
    rig.link.open()
    assert rig.link.next_timeout() == AT_ONCE
    rig.link.handle_timeout(50.0)
    assert rig.link.next_timeout() == 53.0
    rig.link.handle_timeout(52.9)
    rig.expect(State.DIALLING)
    rig.link.handle_timeout(53.0)
    rig.expect(State.DROPPING)
    [(_, error, sent, unsent)] = rig.diary.read()
    assert str(error) == "no connection to server:1 within 3 s"
    assert isinstance(error, ConnectFailed)
    assert (sent, unsent) == ([], [])


def test_a_dial_that_succeeds_after_its_deadline_is_not_used() -> None:
    rig = Rig().to(State.DIALLING)
    rig.tell(103.0)
    rig.link.connection_made(104.0)
    rig.expect(State.DROPPING)
    assert not rig.link.wants_connection
    assert rig.link.data_to_send() == b""
    rig.link.connection_lost(None, 104.0)
    rig.expect(State.BACKING_OFF)


def test_hello_must_be_answered_within_the_request_timeout() -> None:
    rig = Rig().to(State.GREETING)
    assert rig.write()[0] == [b"HELLO", b"3"]
    rig.tell(102.0)
    rig.hear(resp(HELLO))  # half an answer does not prolong it
    assert rig.link.next_timeout() == 105.0
    rig.tell(105.0)
    rig.expect(State.DROPPING)
    [(_, error, *_)] = rig.diary.read()
    assert str(error) == "server:1 accepted the connection but did not answer HELLO"


def test_a_link_is_up_when_the_server_has_agreed() -> None:
    rig = Rig().to(State.GREETING)
    rig.hear(WELCOME[:-1])
    assert rig.diary.read() == []
    rig.hear(WELCOME[-1:])
    assert rig.diary.read() == [("up",)]
    assert rig.link.is_up
    assert rig.link.server[b"version"] == b"9.1.2"
    assert rig.link.error is None


def test_what_comes_with_the_welcome_is_told_after_it() -> None:
    rig = Rig().to(State.GREETING)
    rig.hear(WELCOME + resp(PushOf(["message", "c", "x"])))
    assert rig.diary.read() == [("up",), ("pushed", [b"message", b"c", b"x"])]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (b"-WRONGPASS no\r\n", LoginRefused),
        (b"-NOPERM no\r\n", ConnectFailed),
        (b"HTTP/1.1 400 Bad Request\r\n", ConnectFailed),
        (resp(HELLO) + OK + OK + b"-ERR DB index is out of range\r\n", ConnectFailed),
        (b"-NOPROTO no\r\n", ConnectFailed),
    ],
)
def test_settings_that_never_worked_end_the_dialling(failure: bytes, kind: type[Exception]) -> None:
    rig = Rig(login=Login(database=9)).to(State.GREETING)
    rig.hear(failure)
    [(_, error, *_)] = rig.diary.read()
    assert type(error) is kind
    assert kind is LoginRefused or str(error).startswith("server:1: ")
    rig.expect(State.DROPPING)
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)
    assert rig.link.next_timeout() is None
    rig.link.open()  # the owner may insist
    rig.expect(State.DIALLING)


def test_settings_that_worked_before_may_work_again() -> None:
    rig = Rig().to(State.UP)
    rig.link.connection_lost(None, rig.now)
    rig.redial()
    rig.link.connection_made(rig.now)
    rig.hear(b"-WRONGPASS no\r\n")
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.BACKING_OFF)


def test_a_driver_may_know_that_dialling_again_is_pointless() -> None:
    rig = Rig().to(State.DIALLING)
    error = ConnectFailed("bad certificate", permanent=True)
    rig.link.connection_lost(error, rig.now)
    assert rig.diary.read() == [("down", error, [], [])]
    rig.expect(State.RESTING)


@pytest.mark.parametrize("failure", [b"-LOADING wait\r\n", b"-ERR max number of clients reached\r\n", b"rubbish\r\n"])
def test_what_may_pass_is_tried_again(failure: bytes) -> None:
    rig = Rig().to(State.GREETING)
    rig.hear(failure)
    [(_, error, *_)] = rig.diary.read()
    assert isinstance(error, (ConnectFailed, RemoteProtocolError))
    assert rig.link.error is error
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.BACKING_OFF)


def test_the_password_is_shown_nowhere() -> None:
    rig = Rig(login=Login("ann", SECRET)).to(State.GREETING)
    assert SECRET.encode() in bytes(rig.link.data_to_send())
    rig.hear(bytes(rig.link.data_to_send()))
    [(_, error, *_)] = rig.diary.read()
    assert SECRET not in f"{error} {error!r} {rig.link!r} {rig.link.error!r}"


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


# -- backing off -------------------------------------------------------------------------------------------------------


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


# -- the watch over a connection ---------------------------------------------------------------------------------------


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


# -- any order ---------------------------------------------------------------------------------------------------------

DO: Final[dict[str, Callable[[Rig], None]]] = {
    **INPUTS,
    "time": lambda rig: rig.tell(rig.now + 0.7),
    "write": lambda rig: rig.link.data_sent(len(rig.link.data_to_send()) // 2),
    "all": lambda rig: rig.link.data_sent(len(rig.link.data_to_send())),
    "welcome": lambda rig: rig.hear(WELCOME),
    "answer": lambda rig: rig.hear(resp("v")),
    "push": lambda rig: rig.hear(resp(PushOf(["x"]))),
    "refusal": lambda rig: rig.hear(b"-NOAUTH no\r\n"),
    "pause": lambda rig: rig.link.pause(),
    "resume": lambda rig: rig.link.resume(),
    "success": lambda rig: rig.link.succeeded(),
}


@given(st.lists(st.sampled_from([*DO, "ask", "ask"]), max_size=60))
def test_in_whatever_order_things_happen_each_exchange_ends_once(steps: list[str]) -> None:
    rig = Rig().to(State.UP)
    asked: list[Exchange] = []
    for step in steps:
        if step == "ask":
            if rig.link.is_up:
                asked.append(rig.ask())
        else:
            DO[step](rig)
        assert rig.link.wants_connection == (rig.link.state in (State.DIALLING, State.GREETING, State.UP))
        if rig.link.state is not State.UP:
            assert rig.link.unanswered == 0
    rig.link.close()
    ended: list[Exchange] = []
    for kind, *page in rig.diary.read():
        if kind == "answered":
            ended += page
        elif kind == "down":
            ended += [*page[1], *page[2]]
    assert ended == asked


def test_an_error_of_the_owner_is_told_back(up: Rig) -> None:
    error = reply_error("READONLY no")
    up.link.drop(error)
    assert up.diary.read() == [("down", error, [], [])]
    assert up.link.error is error
