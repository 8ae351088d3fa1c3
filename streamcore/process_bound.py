"""Objects that live in the process that made them, with its sockets and locks: they are neither pickled nor copied."""

from __future__ import annotations

from typing import ClassVar, NoReturn, SupportsIndex


class ProcessBound:
    """The base of such objects. Pickling or copying raises ``TypeError``, with ``_instead`` for advice."""

    __slots__ = ()
    _instead: ClassVar[str] = "make another one where it is needed"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"{name} cannot be pickled or copied: it belongs to the process that made it; {self._instead}")
