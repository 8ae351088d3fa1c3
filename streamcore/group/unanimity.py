"""A state that many have to be in: whether all of them are, at the cost of a question to one while any of them is not.

The member that was found outside the state is asked first the next time. While members come into the state one by one, and none
leaves it, all questions together cost each of them one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Generic, TypeVar

M = TypeVar("M")


class Unanimity(Generic[M]):
    """Tells whether ``is_so`` holds for all members, which may become more."""

    def __init__(self, members: Sequence[M], is_so: Callable[[M], bool]) -> None:
        self._members = members
        self._is_so = is_so
        self._first = 0  # for which it did not hold when it was asked last

    def holds(self) -> bool:
        """Tell whether it holds for all members."""
        members, is_so = self._members, self._is_so
        for at in chain(range(self._first, len(members)), range(self._first)):
            if not is_so(members[at]):
                self._first = at
                return False
        return True
