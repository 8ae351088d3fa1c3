"""hiredis, where it is usable: the only import of it.

Without it (PyPy, or a platform without a wheel), or with one older than 3.5 (which crashes on a map whose key is an array,
and nests without a limit), everything here is None and streamcore works in Python alone. ``Push`` is hiredis' own class
where there is one, because that is what its reader builds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast

Buffer: TypeAlias = bytes | bytearray | memoryview


class Reader(Protocol):
    """What ``hiredis.Reader`` really offers; its stub knows neither buffers nor what may be returned by its hooks."""

    def feed(self, data: Buffer, start: int = ..., length: int = ..., /) -> None: ...
    def gets(self) -> Any: ...
    def has_data(self) -> bool: ...
    def len(self) -> int: ...


class _Push(list[Any]):
    """An out-of-band message, ``[kind, ...]``."""

    __slots__ = ()


def is_recent(version: str) -> bool:
    """Whether this version of hiredis is known to be safe."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 5)


Push: type[list[Any]] = _Push
make_reader: Callable[..., Reader] | None = None
pack_command: Callable[[tuple[Any, ...]], bytes] | None = None

try:
    import hiredis
except ImportError:
    pass
else:
    if is_recent(hiredis.__version__):
        Push = hiredis.PushNotification
        make_reader = cast("Callable[..., Reader]", hiredis.Reader)
        pack_command = cast("Any", hiredis).pack_command
