"""Commands on keys of any type: whether they exist, how long they live, how they are renamed.

The server's EXPIRE and its relatives come in pairs, for seconds and milliseconds; there is a single function for each
pair here. It takes seconds, or a ``datetime``, and uses the finer command. Commands on several keys need at least one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from ..arguments import Moment, Name, Seconds, at_most_one, milliseconds, name, positive, unix_milliseconds
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import ALL_KEYS, ASK_SERVER, READ, WRITE, Command, Traits
from .replies import strings

_READ_ALL: Final = Traits(ALL_KEYS, repeatable=True)
_WRITE_ALL: Final = Traits(ALL_KEYS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def delete(*keys: Name) -> Command[int]:
    """Delete keys; answers how many there were (``DEL``)."""
    return Command(("DEL", *key_names(keys)), traits=_WRITE_ALL)


def unlink(*keys: Name) -> Command[int]:
    """Delete keys, and free their memory in the background; answers how many there were (``UNLINK``)."""
    return Command(("UNLINK", *key_names(keys)), traits=_WRITE_ALL)


def exists(*keys: Name) -> Command[int]:
    """Count the keys that exist; a key that is named twice counts twice (``EXISTS``)."""
    return Command(("EXISTS", *key_names(keys)), traits=_READ_ALL)


def expire(
    key: Name, time: Seconds, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """Delete the key after ``time`` seconds; answers whether that is set now (``PEXPIRE``).

    ``nx``: only if it would live for ever, ``xx``: only if it would not; ``gt`` and ``lt``: only to let it live
    longer, or shorter, where for ever is the longest. False also where the key does not exist.
    """
    return _expire("PEXPIRE", key, milliseconds("time", time), nx=nx, xx=xx, gt=gt, lt=lt)


def expireat(
    key: Name, when: Moment, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """Delete the key at a moment, a ``datetime`` or seconds since 1970; options as for ``expire`` (``PEXPIREAT``)."""
    return _expire("PEXPIREAT", key, unix_milliseconds("when", when), nx=nx, xx=xx, gt=gt, lt=lt)


def _expire(word: str, key: Name, when: int, **only: bool) -> Command[bool]:
    conditions = condition_words(**only)
    # After NX, GT and LT the second answer would not be the first one's.
    traits = READ if conditions in ([], ["XX"]) else WRITE
    return Command((word, name("key", key), when, *conditions), bool, traits)


def persist(key: Name) -> Command[bool]:
    """Let the key live for ever; answers whether it would not have (``PERSIST``)."""
    return Command(("PERSIST", name("key", key)), bool, traits=WRITE)


def ttl(key: Name) -> Command[float | None]:
    """Seconds until the key expires, ``math.inf`` where it never does; None where it does not exist (``PTTL``)."""
    return Command(("PTTL", name("key", key)), _ttl, READ)


def _ttl(reply: int) -> float | None:
    if reply < 0:
        return None if reply == -2 else float("inf")
    return reply / 1000


def expiretime(key: Name) -> Command[datetime | None]:
    """When the key expires, in UTC (``PEXPIRETIME``).

    None where it never does, or does not exist: ``ttl`` tells the two apart. ``datetime.max`` is any moment beyond it.
    """
    return Command(("PEXPIRETIME", name("key", key)), _expiretime, READ)


def _expiretime(reply: int) -> datetime | None:
    return None if reply < 0 else _EPOCH + timedelta(milliseconds=min(reply, _LAST))


def type_(key: Name) -> Command[bytes]:
    """The type of the key's value, such as ``stream``; ``none`` where the key does not exist (``TYPE``)."""
    return Command(("TYPE", name("key", key)), traits=READ)


def rename(key: Name, newkey: Name) -> Command[bytes]:
    """Rename a key, and delete the key that had the name (``RENAME``). A missing key is an ``ERR``."""
    return Command(("RENAME", name("key", key), name("newkey", newkey)), traits=Traits(slice(1, 3)))


class ScanPage(NamedTuple):
    """Some of the keys, and the cursor of the next page; it is 0 once all have been seen."""

    cursor: int
    keys: list[bytes]


def scan(
    cursor: int = 0,
    *,
    match: Name | None = None,
    count: int | None = None,
    type: str | None = None,  # noqa: A002  # the server's word
) -> Command[ScanPage]:
    """Some of the keys of a server, from a cursor on that begins at 0 (``SCAN``).

    ``match``: only names that fit a pattern, ``type``: only keys of a type, such as ``stream``; ``count``: about how
    many are looked at, not how many are answered. A key may come twice, and a key that was not there all the time may
    be missing.
    """
    args: list[Argument] = ["SCAN", positive("cursor", cursor, zero=True)]
    if match is not None:
        args += ["MATCH", name("match", match)]
    if count is not None:
        args += ["COUNT", positive("count", count)]
    if type is not None:
        args += ["TYPE", name("type", type)]
    return Command(tuple(args), _page, ASK_SERVER)


def _page(reply: list[Any]) -> ScanPage:
    cursor, keys = reply
    return ScanPage(int(cursor), strings(keys))


def memory_usage(key: Name, *, samples: int | None = None) -> Command[int | None]:
    """How many bytes a key takes, None where it does not exist (``MEMORY USAGE``).

    Of nested values ``samples`` are looked at, 5 if not given; 0: all of them.
    """
    option = () if samples is None else ("SAMPLES", positive("samples", samples, zero=True))
    return Command(("MEMORY", "USAGE", name("key", key), *option), traits=Traits(slice(2, 3), repeatable=True))


def key_names(keys: tuple[Name, ...]) -> list[bytes]:
    """Check the keys of a command that takes several. Raises ``InvalidArgument`` without any."""
    if not keys:
        raise InvalidArgument("name at least one key")
    return [name("key", key) for key in keys]


def condition_words(*, nx: bool, xx: bool, gt: bool, lt: bool) -> list[str]:
    """Conditions of a change as they are sent; XX goes with GT or LT, NX with neither."""
    at_most_one(nx=nx, xx=xx)
    at_most_one(nx=nx, gt=gt, lt=lt)
    given = {"NX": nx, "XX": xx, "GT": gt, "LT": lt}
    return [word for word, wanted in given.items() if wanted]
