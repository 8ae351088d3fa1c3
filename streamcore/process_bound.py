"""What lives in the process that made it, with its sockets and locks: it is neither pickled nor copied, and says what to do instead."""

from __future__ import annotations

from typing import ClassVar, NoReturn, SupportsIndex


class ProcessBound:
    """Raises ``TypeError`` where it is pickled or copied; ``_instead`` is the advice."""

    __slots__ = ()
    _instead: ClassVar[str] = "make another one where it is needed"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"{name} cannot be pickled or copied: it belongs to the process that made it; {self._instead}")
