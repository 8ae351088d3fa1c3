from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.common import Changes, Clock
from streamcore.connection.dials import Dials
from streamcore.connection.exchange import Exchange
from streamcore.connection.link import AT_ONCE, Link
from streamcore.connection.link_state import State
from streamcore.errors import ConnectFailed, ConnectionLost, LoginRefused, RemoteProtocolError, reply_error
from streamcore.options import Login
from streamcore.testing.resp import HELLO, OK, PushOf, resp
from tests.core.support.link_rig import SECRET, WELCOME, Diary, Rig

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
    QUEUED       QUEUED       RESTING   QUEUED       QUEUED       QUEUED       QUEUED       QUEUED
    DIALLING     DIALLING     RESTING   DROPPING     GREETING     BACKING_OFF  DIALLING     DROPPING
    GREETING     GREETING     DROPPING  DROPPING     GREETING     BACKING_OFF  DROPPING     DROPPING
    UP           UP           DROPPING  DROPPING     UP           BACKING_OFF  DROPPING     UP
    DROPPING     DROPPING     DROPPING  DROPPING     DROPPING     BACKING_OFF  DROPPING     DROPPING
    BACKING_OFF  BACKING_OFF  RESTING   BACKING_OFF  BACKING_OFF  BACKING_OFF  BACKING_OFF  DIALLING
"""

ROWS: Final = [row.split() for row in TRANSITIONS.strip().splitlines()]


# -- states ------------------------------------------------------------------------------------------------------------


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
    assert (
        Link(Diary(), random=lambda: 0.0, clock=Clock(), changes=Changes(), dials=Dials(), name="acks").name == "acks"
    )


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


# -- any order ---------------------------------------------------------------------------------------------------------


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
