"""A few links are dialled at a time, in the order in which they asked."""

from __future__ import annotations

from streamcore.connection.dials import MOST, Dials
from streamcore.connection.link_state import State
from streamcore.errors import ConnectionLost
from tests.core.support.link_rig import WELCOME, Rig, Waiting


def test_a_few_are_dialled_at_a_time_and_the_others_in_their_order() -> None:
    dials = Dials()
    links = [Waiting(dials, "a") for _ in range(MOST + 3)]
    assert [link.turns for link in links] == [1] * MOST + [0] * 3
    links[3].end()
    links[MOST + 1].end()
    links[5].end()
    assert [link.turns for link in links[MOST:]] == [1, 0, 1]
    for link in links:
        link.end()
        link.end()
    assert [link.turns for link in links] == [1] * MOST + [1, 0, 1]


def test_no_server_waits_for_another() -> None:
    dials = Dials()
    links = [Waiting(dials, "a") for _ in range(MOST + 1)]
    assert Waiting(dials, "b").is_dialling
    assert not links[-1].is_dialling


def test_a_turn_that_was_not_given_back_counts_only_while_its_link_dials() -> None:
    dials = Dials()
    links = [Waiting(dials, "a") for _ in range(MOST)]
    links[0].is_dialling = False
    last = Waiting(dials, "a")
    assert last.is_dialling
    assert [link.turns for link in links] == [1] * MOST


def test_a_link_waits_for_its_turn_without_a_deadline() -> None:
    rig = Rig().to(State.QUEUED)
    assert (rig.link.next_timeout(), rig.link.attempts, rig.link.wants_connection) == (None, 0, False)
    rig.others[0].end()
    rig.expect(State.DIALLING)
    assert rig.link.attempts == 1
    rig.link.dial()
    assert rig.link.attempts == 1


def test_a_turn_ends_when_the_server_has_agreed_or_the_attempt_has_failed() -> None:
    for is_up in (True, False):
        rig = Rig().to(State.QUEUED)
        rig.others[0].end()
        behind = Waiting(rig.dials, rig.link.address)
        rig.link.connection_made(rig.now)
        rig.write()
        assert not behind.is_dialling
        if is_up:
            rig.hear(WELCOME)
        else:
            rig.link.drop(ConnectionLost("dropped"))
        assert behind.is_dialling


def test_a_link_that_is_closed_waits_no_more() -> None:
    rig = Rig().to(State.QUEUED)
    rig.link.close()
    rig.others[0].end()
    rig.expect(State.RESTING)
