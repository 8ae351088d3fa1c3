"""Commands as RESP arrays of bulk strings.

hiredis packs fastest where it is in use, but it trusts its arguments: a subclass, a strided memoryview or a huge
integer makes it read memory that is not ours. So only exact ``bytes``, ``str`` and ``float`` go to it as they are;
everything else is turned into bytes first, or refused by name. Text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from ..errors import InvalidArgument
from ._hiredis import HIREDIS

Argument: TypeAlias = bytes | str | int | float | bytearray | memoryview

_SAFE: Final = frozenset({bytes, str, float})
# Beyond 64 bits no server command takes an integer, and CPython's own conversion becomes quadratic.
_INTEGER_LIMIT: Final = 1 << 64


def encode(arguments: Iterable[Argument]) -> bytes:
    """Encode a command. Raises ``InvalidArgument`` for anything but bytes-like values, text, integers and floats."""
    plain: tuple[Argument, ...] = tuple(arguments)
    if not plain:
        raise InvalidArgument("a command needs at least its name")  # servers skip an empty one and send no reply
    if not _SAFE.issuperset(map(type, plain)):
        plain = tuple([value if type(value) in _SAFE else to_bytes(value) for value in plain])
    try:
        return (HIREDIS.pack_command or pack)(plain)
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"text cannot be sent as UTF-8: {error.reason}; pass bytes") from None


def pack(arguments: tuple[Argument, ...]) -> bytes:
    """Encode exact bytes, text and floats as hiredis' ``pack_command`` does."""
    parts = [b"*%d\r\n" % len(arguments)]
    for value in arguments:
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def to_bytes(value: Argument) -> bytes | str:
    """Convert an argument to exact bytes or text: a subclass's own methods are not asked, its value counts."""
    match value:
        case str():
            return str.__str__(value)
        case bytes() | bytearray():
            return memoryview(value).tobytes()
        case memoryview():
            if value.c_contiguous:
                return value.tobytes()
            raise InvalidArgument("a memoryview with gaps cannot be sent; pass bytes(...) of it")
        case float():
            return float.__repr__(value)
        case bool():
            pass
        case int():
            if -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
                return int.__repr__(value)
            raise InvalidArgument("an integer of more than 64 bits cannot be sent; pass it as text")
    raise InvalidArgument(f"a value of type {type(value).__name__} cannot be sent; pass bytes, str, int or float")
