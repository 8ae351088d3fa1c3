"""hiredis, where it is usable: the only import of it, made when a decoder first asks for it.

Without it (PyPy, or a platform without a wheel), or with a version older than 3.5 (which crashes on a map whose key is
an array, and nests without a limit), streamcore works in Python alone. So it does where only the reference decoder is
used: on a free-threaded Python, importing an extension that is not made for it brings the global lock back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, cast

from .values import Push

Buffer: TypeAlias = bytes | bytearray | memoryview


class Reader(Protocol):
    """The interface of ``hiredis.Reader``; its stub knows neither buffers nor the values that its hooks may return."""

    def feed(self, data: Buffer, start: int = ..., length: int = ..., /) -> None: ...
    def gets(self) -> Any: ...
    def has_data(self) -> bool: ...
    def len(self) -> int: ...


class Extension:
    """The used parts of hiredis: None before it is loaded, and where it is not usable. ``push`` is its push class."""

    def __init__(self) -> None:
        self.push: type[list[Any]] = Push
        self.pack_command: Callable[[tuple[Any, ...]], bytes] | None = None
        self._make_reader: Callable[..., Reader] | None = None
        self._looked_for = False

    def load(self) -> Callable[..., Reader] | None:
        """Import hiredis, the first time, and have it pack commands from then on.

        Returns the class of its reader, or None where hiredis is not usable.
        """
        if not self._looked_for:
            self._import()
            self._looked_for = True
        return self._make_reader

    def _import(self) -> None:
        try:
            import hiredis  # noqa: PLC0415  # not before it is wanted
        except ImportError:
            return
        if is_recent(hiredis.__version__):
            self.push = hiredis.PushNotification
            self.pack_command = cast("Any", hiredis).pack_command
            self._make_reader = cast("Callable[..., Reader]", hiredis.Reader)


HIREDIS: Final = Extension()


def is_recent(version: str) -> bool:
    """Tell whether this version of hiredis is known to be safe."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 5)
