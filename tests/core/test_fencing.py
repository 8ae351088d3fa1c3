"""A lease as its holder sees it: taken over, renewed, lost to another, let go."""

from __future__ import annotations

from streamcore.fencing import UNKNOWN, Identity, Lease
from streamcore.scripts.lease import HOLD, LET_GO

WE = Identity(7, b"run", b"we")
THEY = Identity(5, b"run", b"they")


def test_the_commands_name_the_holder_and_the_lifetime_in_milliseconds() -> None:
    lease = Lease(b"key", 600.0)
    assert lease.hold(WE, take_over=True) == ("EVAL", HOLD, 1, b"key", b"we", 1, 7, b"run", 600_000)
    assert lease.hold(WE, take_over=False)[5] == 0
    assert lease.let_go(b"we") == ("EVAL", LET_GO, 1, b"key", b"we")


def test_who_takes_over_learns_who_was_there() -> None:
    lease = Lease(b"key", 600.0)
    assert lease.answer([1, b"they", b"5", b"run"], WE, take_over=True)
    assert (lease.is_held, lease.former) == (True, THEY)
    assert lease.answer([1, b"we", b"7", b"run"], WE, take_over=False)
    assert lease.former == THEY


def test_a_lease_that_was_free_has_no_former_holder_and_our_own_an_unknown_one() -> None:
    lease = Lease(b"key", 600.0)
    assert lease.answer([1, None, None, None], WE, take_over=True)
    assert lease.former is None
    again = Lease(b"key", 600.0)
    assert again.answer([1, b"we", b"7", b"run"], WE, take_over=True)
    assert (again.former, UNKNOWN.is_proof, WE.is_proof) == (UNKNOWN, False, True)


def test_a_lease_that_another_has_taken_is_not_ours() -> None:
    lease = Lease(b"key", 600.0)
    assert not lease.answer([0], WE, take_over=False)
    assert (lease.is_held, lease.former) == (False, None)
