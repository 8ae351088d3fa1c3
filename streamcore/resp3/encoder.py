"""Commands as RESP arrays of bulk strings.

hiredis packs fastest, but it trusts its arguments: a subclass, a strided memoryview or a huge integer makes it read
memory that is not ours. So only exact ``bytes``, ``str`` and ``float`` go to it as they are; everything else is turned
into bytes first, or refused by name. Text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import hiredis

from ..errors import InvalidArgument

Argument: TypeAlias = bytes | str | int | float | bytearray | memoryview

_SAFE: Final = frozenset({bytes, str, float})
# Beyond 64 bits no server command takes an integer, and CPython's own conversion becomes quadratic.
_INTEGER_LIMIT: Final = 1 << 64


def encode(arguments: Iterable[Argument]) -> bytes:
    """Encode one command. Raises ``InvalidArgument`` for anything but bytes-like values, text, integers and floats."""
    plain = tuple(arguments)
    if not _SAFE.issuperset(map(type, plain)):
        plain = tuple(map(to_bytes, plain))
    try:
        return hiredis.pack_command(plain)  # type: ignore[arg-type]  # its stub knows no bytes | str | float tuples
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"text argument cannot be sent as UTF-8: {error.reason}; pass bytes") from None


def to_bytes(value: Argument) -> bytes:
    """The bytes of one argument, as the server will see them."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"text argument cannot be sent as UTF-8: {error.reason}; pass bytes") from None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgument(f"a {type(value).__name__} cannot be sent; pass bytes, str, int or float")
    if isinstance(value, float):
        return repr(float(value)).encode()
    if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
        raise InvalidArgument("an integer of more than 64 bits cannot be sent; pass it as text")
    return b"%d" % value
