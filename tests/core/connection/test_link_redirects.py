"""Links that are sent to another server, and the observer that sends them."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.connection.common import Changes, Clock
from streamcore.connection.link import Link
from streamcore.connection.link_state import State
from streamcore.errors import ConnectFailed, ConnectionLost
from streamcore.options import Address
from streamcore.testing.resp import OK
from tests.core.support.link_rig import OPTIONS, Diary, Rig

OTHER = Address("other", 2)


class Observer:
    """Notes the losses of a link."""

    def __init__(self) -> None:
        self.losses: list[Exception] = []

    def link_lost(self, link: Link, error: Exception) -> None:
        self.losses.append(error)


def observed(rig: Rig) -> Observer:
    observer = Observer()
    rig.link._observer = observer
    return observer


@pytest.mark.parametrize("state", [State.DIALLING, State.GREETING, State.UP])
def test_a_redirected_link_dials_without_a_pause(state: State) -> None:
    rig = Rig().to(state)
    observer = observed(rig)
    rig.link.redirect(OTHER)
    rig.expect(State.DROPPING)
    assert not rig.link.wants_connection
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.DIALLING)
    assert rig.link.address == OTHER
    [(_, error, _, _)] = rig.diary.read()
    assert str(error) == "the connection goes to other:2 now"
    assert not observer.losses, "the observer has done it"


def test_its_requests_are_given_back() -> None:
    rig = Rig().to(State.UP)
    sent, unsent = rig.ask(), None
    rig.write()
    unsent = rig.ask()
    rig.link.redirect(OTHER)
    assert rig.diary.read()[0][2:] == ([sent], [unsent])


def test_a_link_that_waits_dials_at_once() -> None:
    rig = Rig().to(State.BACKING_OFF)
    rig.link.redirect(OTHER)
    rig.expect(State.DIALLING)


def test_a_link_that_is_dropped_already_dials_the_other() -> None:
    rig = Rig().to(State.DROPPING)
    rig.link.redirect(OTHER)
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.DIALLING)
    assert rig.link.address == OTHER


def test_the_next_loss_is_followed_by_a_back_off() -> None:
    rig = Rig().to(State.UP)
    rig.link.redirect(OTHER)
    rig.link.connection_lost(None, rig.now)
    rig.link.connection_lost(OSError("refused"), rig.now)
    rig.expect(State.BACKING_OFF)


def test_a_link_that_rests_only_changes_its_address() -> None:
    rig = Rig()
    rig.link.redirect(OTHER)
    rig.expect(State.RESTING)
    assert rig.link.address == OTHER


def test_a_closed_link_stays_closed() -> None:
    rig = Rig().to(State.UP)
    rig.link.close()
    rig.link.redirect(OTHER)
    rig.link.connection_lost(None, rig.now)
    rig.expect(State.RESTING)


def test_an_observer_hears_of_losses_but_not_of_an_end() -> None:
    rig = Rig().to(State.UP)
    observer = observed(rig)
    rig.link.connection_lost(OSError("reset"), rig.now)
    assert [type(error) for error in observer.losses] == [ConnectionLost]
    rig.redial()
    rig.link.connection_made(rig.now)
    rig.link.close()
    assert len(observer.losses) == 1


def test_an_observer_may_redirect_a_link_that_is_lost() -> None:
    rig = Rig().to(State.UP)

    class Redirecting(Observer):
        def link_lost(self, link: Link, error: Exception) -> None:
            link.redirect(OTHER)

    rig.link._observer = Redirecting()
    rig.link.connection_lost(OSError("reset"), rig.now)
    rig.expect(State.DIALLING)
    assert rig.link.address == OTHER


def test_a_refusal_for_good_ends_no_link_that_is_redirected() -> None:
    rig = Rig().to(State.DIALLING)
    owner: Any = rig.diary

    class Moving(Diary):
        def link_down(self, link: Link, error: Exception, sent: Any, unsent: Any) -> None:
            link.redirect(OTHER)

    rig.link._owner = Moving()
    rig.link.connection_lost(ConnectFailed("no", permanent=True), rig.now)
    rig.expect(State.DIALLING)
    assert owner.read() == []


def test_a_link_without_an_address_dials_when_it_has_one() -> None:
    clock, changes = Clock(), Changes()
    link = Link(Diary(), random=lambda: 1.0, clock=clock, changes=changes, address=None, options=OPTIONS)
    link.open()
    assert not link.has_address
    assert not link.wants_connection
    assert link.next_timeout() is None
    link.redirect(OTHER)
    assert link.has_address
    assert link.wants_connection


def test_a_doubt_comes_after_the_given_time() -> None:
    rig = Rig().to(State.UP)
    doubts: list[float] = []
    rig.link.tell_doubts(lambda: doubts.append(rig.now), 1.0)
    rig.ask()
    rig.tell()
    begun = rig.now
    rig.tell(begun + 0.9)
    assert not doubts
    rig.tell(begun + 1.0)
    assert doubts == [begun + 1.0]


def test_what_is_pending_need_not_have_been_sent() -> None:
    rig = Rig()
    assert rig.link.pending() == []
    rig.to(State.UP)
    sent = rig.ask()
    rig.write()
    unsent = rig.ask()
    assert rig.link.pending() == [sent, unsent]
    rig.hear(OK)
    assert rig.link.pending() == [unsent]
