"""Checks of what the application passes, before anything is sent: each names the argument, the value and the remedy."""

# Callers without a type checker pass anything.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, TypeAlias

from .errors import InvalidArgument

Name: TypeAlias = bytes | str
Seconds: TypeAlias = float | timedelta

_ENDLESS: Final = 1e12  # seconds; infinity and NaN are not below it, and milliseconds of less fit an int64


def name(what: str, value: Name) -> bytes:
    """A stream, group, consumer or key: non-empty text or bytes."""
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"{what} {value!r} cannot be sent as UTF-8 ({error.reason}); pass bytes") from None
    if not isinstance(value, bytes):
        raise InvalidArgument(f"{what} must be str or bytes, not {type(value).__name__} ({value!r})")
    if not value:
        raise InvalidArgument(f"{what} is empty; give it a name")
    return value


def stream_names(value: Name | Iterable[Name]) -> list[bytes]:
    """One stream or several, each named once (servers answer a repeated name by a reply that decoders garble)."""
    if not isinstance(value, Iterable):
        raise InvalidArgument(f"streams must be one name or several, not {value!r}")
    given = [value] if isinstance(value, (str, bytes)) else list(value)
    if not given:
        raise InvalidArgument("no stream was given; name at least one")
    names = [name("stream", stream) for stream in given]
    twice = {stream for stream in names if names.count(stream) > 1}
    if twice:
        raise InvalidArgument(f"stream {min(twice).decode(errors='replace')!r} is named twice; name each stream once")
    return names


def positive(what: str, value: int, *, zero: bool = False) -> int:
    """A count of at least one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{what} must be a whole number, not {value!r}")
    if value < (not zero):
        raise InvalidArgument(f"{what} must be at least {0 if zero else 1}, not {value}")
    return value


def seconds(what: str, value: Seconds, *, zero: bool = False) -> float:
    """A duration: seconds, or a ``timedelta``."""
    plain: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or not abs(plain) < _ENDLESS:
        raise InvalidArgument(f"{what} must be a finite number of seconds or a timedelta, not {value!r}")
    if plain < 0 or (plain == 0 and not zero):
        raise InvalidArgument(f"{what} must be {'at least' if zero else 'more than'} 0 seconds, not {plain:g}")
    return float(plain)


def encoding(value: str | None) -> str | None:
    """The name of a text encoding, or None for bytes."""
    if value is not None:
        try:
            " ".encode(value)
        except (LookupError, TypeError, ValueError):
            raise InvalidArgument(f"decode={value!r} is not a text encoding; try decode='utf-8'") from None
    return value
