"""Checks of the application's arguments, before anything is sent: each names the argument, the value and the remedy."""

# Callers without a type checker pass anything.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from .errors import InvalidArgument

SHOWN: Final = 3
"""How many names are shown of many."""
_MOST: Final = (1 << 64) - 1
T = TypeVar("T")
Name: TypeAlias = bytes | str | bytearray | memoryview
Seconds: TypeAlias = float | timedelta
Moment: TypeAlias = datetime | float
ReadFrom: TypeAlias = Literal["primary", "replica", "any"]
"""The nodes of a cluster that answer commands which only read: the primary of their keys, its replicas, or any of them."""


class MillisecondsWarning(UserWarning):
    """A duration is so long that it looks like milliseconds; ours are seconds."""


_ENDLESS: Final = 1e12  # seconds; infinity and NaN are not below it, and milliseconds of less fit an int64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def listed(names: Iterable[bytes]) -> str:
    """Join names for a line of a log; only the first of them, where there are many."""
    first, *more = names
    shown = [each.decode(errors="replace") for each in (first, *more[: SHOWN - 1])]
    return ", ".join(shown) + (f" and {len(more) - SHOWN + 1} more" if len(more) >= SHOWN else "")


def name(what: str, value: Name) -> bytes:
    """Check the name of a stream, group, consumer or key: non-empty text or bytes."""
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"{what} {value!r} cannot be sent as UTF-8 ({error.reason}); pass bytes") from None
    elif isinstance(value, (bytearray, memoryview)):
        if isinstance(value, memoryview) and not value.c_contiguous:
            raise InvalidArgument(f"{what} is a memoryview with gaps; pass bytes(...) of it")
        value = bytes(value)
    if not isinstance(value, bytes):
        raise InvalidArgument(f"{what} must be str or bytes, not {type(value).__name__} ({value!r})")
    if not value:
        raise InvalidArgument(f"{what} is empty; give it a name")
    return value


def pick(options: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Take the options of these names out of ``options``, and return them."""
    return {key: options.pop(key) for key in names if key in options}


def stream_names(value: Name | Iterable[Name]) -> list[bytes]:
    """Check the name of a stream, or several, each named once: a decoder garbles the reply to a repeated name."""
    if not isinstance(value, Iterable):
        raise InvalidArgument(f"streams must be one name or several, not {value!r}")
    given: list[Any] = [value] if isinstance(value, (str, bytes, bytearray, memoryview)) else list(value)
    if not given:
        raise InvalidArgument("no stream was given; name at least one")
    names = [name("stream", stream) for stream in given]
    twice = {stream for stream in names if names.count(stream) > 1}
    if twice:
        raise InvalidArgument(f"stream {min(twice).decode(errors='replace')!r} is named twice; name each stream once")
    return names


def positive(what: str, value: int, *, zero: bool = False) -> int:
    """Check a count, of at least 1, or with ``zero`` of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{what} must be a whole number, not {value!r}")
    if value > _MOST:
        raise InvalidArgument(f"{what} must be at most {_MOST}, as servers count")
    if value < (not zero):
        raise InvalidArgument(f"{what} must be at least {0 if zero else 1}, not {value}")
    return value


def seconds(what: str, value: Seconds, *, zero: bool = False) -> float:
    """Check a duration: seconds, or a ``timedelta``."""
    plain: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or not abs(plain) < _ENDLESS:
        raise InvalidArgument(f"{what} must be a finite number of seconds or a timedelta, not {value!r}")
    if plain < 0 or (plain == 0 and not zero):
        raise InvalidArgument(f"{what} must be {'at least' if zero else 'more than'} 0 seconds, not {plain:g}")
    return float(plain)


def encoding(value: str | None) -> str | None:
    """Check the name of a text encoding; None is bytes."""
    if value is not None:
        try:
            " ".encode(value)
        except (LookupError, TypeError, ValueError):
            raise InvalidArgument(f"decode={value!r} is not a text encoding; try decode='utf-8'") from None
    return value


def integer(what: str, value: int) -> int:
    """Check a whole number of either sign."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{what} must be a whole number, not {value!r}")
    return value


def real(what: str, value: float) -> float:
    """Check a number; it may be infinite, but not NaN."""
    plain: Any = value
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or plain != plain:  # noqa: PLR0124  # only NaN is not
        raise InvalidArgument(f"{what} must be a number, not {value!r}")
    return value


def at_most_one(**options: object) -> None:
    """Refuse options that exclude each other; None or False is not given."""
    given = [what for what, value in options.items() if value is not None and value is not False]
    if len(given) > 1:
        raise InvalidArgument(f"give {' or '.join(given)}, not {'both' if len(given) == 2 else 'all'}")


def milliseconds(what: str, value: Seconds, *, zero: bool = False) -> int:
    """Convert a duration to whole milliseconds, never rounded to 0, which servers take for "at once" or for ever."""
    duration = seconds(what, value, zero=zero)
    return max(round(duration * 1000), 1) if duration else 0


def unix_milliseconds(what: str, value: Moment) -> int:
    """Convert a moment, a ``datetime`` with its timezone or unix seconds, to whole milliseconds."""
    if not isinstance(value, datetime):
        return round(seconds(what, value, zero=True) * 1000)
    if value.tzinfo is None:
        raise InvalidArgument(f"{what} is a datetime without a timezone; give it one, such as tzinfo=datetime.UTC")
    since = (value - _EPOCH) // timedelta(milliseconds=1)
    if since < 0:
        raise InvalidArgument(f"{what} lies before 1970; servers count from there")
    return since


def read_source(value: ReadFrom) -> ReadFrom:
    """Check which nodes of a cluster are to answer reads."""
    return one_of("read_from", value, *get_args(ReadFrom))


def one_of(what: str, value: T, *choices: object) -> T:
    """Check that an argument is one of a few words."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):  # bytes never equal text
        listed = " or ".join(map(repr, choices))
        raise InvalidArgument(f"{what} must be {listed}, not {value!r}")
    return value
