"""Logins that rotate: when a link asks for credentials, what it does with them, and what it does without."""

from __future__ import annotations

import traceback
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from streamcore.connection.exchange import Exchange
from streamcore.connection.link_state import State
from streamcore.connection.rotation import FixedLogin, Rotation
from streamcore.errors import ConnectFailed, InvalidArgument, LoginRefused
from streamcore.options import Credentials, Login
from streamcore.testing.resp import OK
from tests.core.support.link_rig import SECRET, WELCOME, Rig

TOKEN = Credentials("ann", SECRET)
REFUSED = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


class Rotating(Rig):
    """A link whose login rotates, and the failures that it has told."""

    def __init__(self, **login: Any) -> None:
        super().__init__(login=Login(rotates=True, **login))
        assert isinstance(self.link.rotation, Rotation)
        self.rotation = self.link.rotation
        self.failures: list[Exception] = []
        self.rotation.on_failure = self.failures.append

    def made(self) -> Rotating:
        self.link.open()
        self.tell()
        self.link.connection_made(self.now)
        return self

    def answer(self, credentials: Credentials = TOKEN) -> None:
        self.link.authenticate(credentials, self.now)

    def up(self, credentials: Credentials = TOKEN) -> Rotating:
        self.made().answer(credentials)
        self.write()
        self.hear(WELCOME)
        self.expect(State.UP)
        self.elapse()  # the limit of the introduction
        self.diary.read()
        return self

    def expect_asking(self, wanted: bool) -> None:
        assert self.link.wants_credentials is wanted

    @property
    def due(self) -> float:
        """In how many seconds the timer of the rotation is due."""
        return self.changes.deadlines[self.rotation] - self.now

    def elapse(self) -> None:
        """Let the time come at which the timer of the rotation is due, if it ever is."""
        if self.due != inf:
            self.now += max(self.due, 0.0)
            self.clock.now = self.now
            self.rotation.handle_timeout(self.now)


def test_a_fixed_login_never_asks() -> None:
    rig = Rig().to(State.UP)
    assert type(rig.link.rotation) is FixedLogin
    rig.link.authenticate(TOKEN, rig.now)
    rig.link.credentials_failed(OSError(), rig.now)
    rig.expect(State.UP)
    assert not rig.link.wants_credentials
    assert rig.write() == []


# -- the introduction --------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_credentials_are_there() -> None:
    rig = Rotating(client_name="billing", database=2)
    rig.expect_asking(False)
    rig.made()
    rig.expect_asking(True)
    assert rig.link in rig.changes.outputs
    assert rig.write() == []
    rig.answer()
    rig.expect_asking(False)
    assert rig.write()[0] == [b"HELLO", b"3", b"AUTH", b"ann", SECRET.encode(), b"SETNAME", b"billing"]
    rig.hear(WELCOME + OK)
    rig.expect(State.UP)
    assert rig.diary.read() == [("up",)]


def test_a_login_that_ends_before_the_introduction_would_be_late_is_renewed_in_time() -> None:
    rig = Rotating().made()
    rig.answer(Credentials("ann", SECRET, expires_in=2.0))
    assert rig.due == pytest.approx(1.6)
    rig.elapse()
    assert rig.due == pytest.approx(5.0 - 1.6), "not before it is introduced"
    rig.write()
    rig.hear(WELCOME)
    rig.elapse()
    rig.expect_asking(True)


def test_a_login_that_ends_soon_is_renewed_in_time() -> None:
    rig = Rotating().made()
    rig.answer(Credentials("ann", SECRET, expires_in=2.0))
    rig.write()
    rig.hear(WELCOME)
    assert rig.due == pytest.approx(1.6)
    rig.elapse()
    rig.expect_asking(True)


def test_without_a_user_they_are_those_of_the_default_user() -> None:
    rig = Rotating().made()
    rig.answer(Credentials(None, SECRET))
    assert rig.write()[0] == [b"HELLO", b"3", b"AUTH", b"default", SECRET.encode()]


def test_each_dial_asks_anew() -> None:
    rig = Rotating().up()
    rig.link.connection_lost(None, rig.now)
    rig.expect_asking(False)
    assert rig.due == inf
    rig.redial()
    rig.expect_asking(False)
    rig.link.connection_made(rig.now)
    rig.expect_asking(True)
    rig.answer(Credentials("bob", "other"))
    assert rig.write()[0][3:] == [b"bob", b"other"]


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    rig = Rotating().made()
    rig.link.drop(ConnectFailed("dropped"))
    rig.expect_asking(False)
    rig.answer()
    rig.link.credentials_failed(OSError(), rig.now)
    rig.expect(State.DROPPING)
    assert rig.write() == []
    up = Rotating().up()
    up.answer()
    assert up.write() == []


def test_credentials_have_the_time_of_a_dial() -> None:
    rig = Rotating().made()
    assert rig.due == 3.0
    rig.elapse()
    rig.expect(State.DROPPING)
    rig.expect_asking(False)
    assert "server:1: credentials= returned none within 3 s" in str(rig.link.error)


def test_the_introduction_has_a_deadline_of_its_own() -> None:
    rig = Rotating().made()
    rig.answer()
    assert rig.due == 5.0
    assert rig.link.next_timeout() is None
    rig.elapse()
    rig.expect(State.DROPPING)
    assert "did not answer HELLO" in str(rig.link.error)


def test_a_full_server_refuses_before_it_is_asked() -> None:
    rig = Rotating().made()
    rig.hear(b"-ERR max number of clients reached\r\n")
    rig.expect(State.DROPPING)
    assert "too many clients already" in str(rig.link.error)


def test_a_server_that_answers_before_it_is_asked_is_logged_in_to() -> None:
    rig = Rotating().made()
    rig.hear(WELCOME)
    rig.expect(State.UP)
    rig.answer()
    assert rig.write() == [[b"AUTH", b"ann", SECRET.encode()]]


def test_an_error_of_the_application_is_a_failed_dial() -> None:
    rig = Rotating().made()
    try:
        secret = SECRET  # noqa: F841  # in the frame
        raise KeyError("vault")
    except KeyError as error:
        rig.link.credentials_failed(error, rig.now)
    rig.expect(State.DROPPING)
    failure = rig.link.error
    assert isinstance(failure, ConnectFailed)
    assert not failure.permanent
    assert str(failure) == "server:1: credentials= raised KeyError: 'vault'"
    assert isinstance(failure.__cause__, KeyError)
    assert SECRET not in "".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format())
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.BACKING_OFF)


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(("error", "told"), [(TimeoutError(), "TimeoutError"), (Unreadable(), "Unreadable")])
def test_an_error_without_a_text_has_a_name(error: Exception, told: str) -> None:
    rig = Rotating().made()
    rig.link.credentials_failed(error, rig.now)
    assert str(rig.link.error) == f"server:1: credentials= raised {told}"


def test_an_answer_of_no_use_is_permanent() -> None:
    rig = Rotating().made()
    rig.link.credentials_failed(InvalidArgument("a tuple of 3"), rig.now)
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)


def test_a_refused_password_is_not_permanent() -> None:
    rig = Rotating().made()
    rig.answer()
    rig.write()
    rig.hear(REFUSED)
    rig.expect(State.DROPPING)
    error = rig.link.error
    assert isinstance(error, LoginRefused)
    assert not error.permanent
    assert "the next dial asks credentials= anew" in str(error)
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.BACKING_OFF)


# -- renewals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasts", "die", "due"),
    [
        (100.0, 1.0, 80.0),
        (100.0, 0.0, 70.0),
        (timedelta(seconds=100), 0.5, 75.0),
        (1, 1.0, 1.0),
        (-5.0, 1.0, 1.0),
        (None, 1.0, inf),
        (inf, 1.0, inf),
    ],
)
def test_when_a_login_is_renewed(lasts: Any, die: float, due: float) -> None:
    rig = Rotating()
    rig.die = die
    rig.made()
    began = rig.now
    rig.answer(Credentials("ann", SECRET, lasts))
    rig.write()
    rig.hear(WELCOME)
    rig.elapse()  # the deadline of the introduction
    if due < 5.0:  # passed already
        rig.expect_asking(True)
    else:
        assert rig.now + rig.due == pytest.approx(began + due)
        rig.expect_asking(False)


def test_a_login_is_renewed_behind_the_read_that_blocks() -> None:
    rig = Rotating().up(Credentials("ann", SECRET, 100))
    read = rig.ask(timeout=20.0)
    rig.write()
    rig.elapse()
    rig.expect_asking(True)
    assert rig.due == 3.0
    rig.answer(Credentials("ann", "fresh", 100))
    assert rig.due == 80.0
    assert rig.write() == [[b"AUTH", b"ann", b"fresh"]]
    assert rig.link.unanswered == 1  # the owner's
    assert rig.link.in_flight() == [read]
    rig.hear(OK)
    assert rig.diary.read() == [("answered", read)]
    rig.hear(OK)
    assert rig.diary.read() == []
    assert rig.link.unanswered == 0
    rig.expect(State.UP)
    rig.elapse()
    rig.expect_asking(True)
    rig.answer(Credentials(None, "fresh"))
    assert rig.write() == [[b"AUTH", b"default", b"fresh"]]


def test_a_server_that_does_not_answer_a_renewal_is_silent() -> None:
    rig = Rotating().up(Credentials("ann", SECRET, 100))
    rig.elapse()
    rig.answer()
    rig.write()
    rig.tell()
    began = rig.now
    while rig.link.is_up:
        rig.tell(rig.link.next_timeout())
    assert rig.now - began == 5.0
    rig.expect(State.DROPPING)
    assert "did not answer in time" in str(rig.link.error)
    [(_, _, sent, unsent)] = rig.diary.read()
    assert (sent, unsent) == ([], [])


def failed(rig: Rotating, how: str) -> None:
    """Have a renewal that is due fail."""
    rig.elapse()
    rig.expect_asking(True)
    if how == "raised":
        rig.link.credentials_failed(OSError("down"), rig.now)
    elif how == "late":
        rig.elapse()
    else:
        rig.answer(Credentials("ann", "stale", 100))
        rig.write()
        rig.hear(REFUSED)


@pytest.mark.parametrize("how", ["raised", "late", "refused"])
def test_a_renewal_that_fails_is_tried_again_and_the_link_stays_up(how: str) -> None:
    rig = Rotating().up(Credentials("ann", SECRET, 100))
    pauses = []
    for _ in range(5):
        failed(rig, how)
        rig.expect_asking(False)
        pauses.append(rig.due)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]
    rig.expect(State.UP)
    assert [type(error) for error in rig.failures] == [LoginRefused if how == "refused" else ConnectFailed] * 5
    rig.elapse()
    rig.answer(Credentials("ann", "fresh", 100))
    rig.write()
    rig.hear(OK)
    failed(rig, how)
    assert rig.due == 1.0  # the back-off begins anew after a success
    rig.expect(State.UP)


def test_a_refusal_that_comes_while_it_asks_again_asks_no_third_time() -> None:
    rig = Rotating().up(Credentials("ann", SECRET, 100))
    rig.elapse()
    rig.answer(Credentials("ann", "stale", 100))
    rig.write()
    rig.elapse()  # behind a read that blocks for so long
    rig.expect_asking(True)
    due = rig.due
    rig.hear(REFUSED)
    assert len(rig.failures) == 1
    rig.expect_asking(True)
    assert rig.due == due


def test_a_refusal_shows_no_password() -> None:
    rig = Rotating().up(Credentials("ann", SECRET, 100))
    rig.elapse()
    rig.answer(Credentials("ann", SECRET, 100))
    rig.write()
    rig.hear(b"-ERR what is AUTH ann " + SECRET.encode() + b"\r\n")
    [error] = rig.failures
    assert SECRET not in f"{error} {error!r} {vars(error)}"


def test_what_waits_for_the_introduction_leaves_behind_it() -> None:
    rig = Rotating().made()
    assert rig.link.unanswered == 0
    connection = rig.link._connection
    assert connection is not None
    connection.send(held := Exchange([("GET", "k")]))
    rig.answer()
    assert [command[0] for command in rig.write()] == [b"HELLO", b"CLIENT", b"CLIENT"]
    rig.hear(WELCOME)
    assert rig.write() == [[b"GET", b"k"]]
    assert connection.oldest is held
