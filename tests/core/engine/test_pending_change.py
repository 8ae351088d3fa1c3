"""A change that a caller waits for."""

from __future__ import annotations

import pytest

from streamcore.engine.pending_change import PendingChange
from streamcore.errors import InvalidArgument

ERROR = InvalidArgument("it cannot be made")


def test_a_change_is_pending_until_it_is_made() -> None:
    change = PendingChange()
    assert not change.poll()
    change.finish()
    assert change.done
    assert change.poll()


def test_a_change_that_cannot_be_made_raises_why() -> None:
    change = PendingChange()
    change.fail(ERROR)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="it cannot be made"):
            change.poll()
    assert not change.done


def test_a_change_ends_once() -> None:
    made, failed = PendingChange(), PendingChange()
    made.finish()
    made.fail(ERROR)
    assert (made.done, made.error) == (True, None)
    failed.fail(ERROR)
    failed.fail(InvalidArgument("another one"))
    failed.finish()
    assert (failed.done, failed.error) == (False, ERROR)
