"""The keys of a command, by its words: they decide to which slot it belongs. Channels of sharded pub/sub count as keys."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from streamcore.commands.cluster import key_slot
from streamcore.commands.traits import COUNTED, KEYS

SHARDED: Final = frozenset({b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"SPUBLISH"})
"""Commands whose keys are shard channels, which no key needs to exist for."""

_WITHOUT_KEYS: Final = frozenset(
    {b"SUBSCRIBE", b"PSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SELECT", b"QUIT", b"RESET", b"BGSAVE", b"ASKING"}
    | {b"READONLY", b"READWRITE"}
)
_VALUES: Final = {
    b"BLOCK": 1,
    b"COUNT": 1,
    b"CLAIM": 1,
    b"GROUP": 2,
    b"NOACK": 0,
}  # how many words belong to an option of a read

slot_of = lru_cache(4096)(key_slot)
"""The slot of a key."""


def keys_of(word: bytes, words: list[bytes]) -> list[bytes]:
    """Find the keys of a command; ``word`` is its first word in capitals. Malformed commands may have none."""
    if word in {b"XREAD", b"XREADGROUP"}:
        return _streams(words)
    if word in _WITHOUT_KEYS:
        return []
    at = COUNTED.get(word.decode(errors="replace"))
    if at is None:
        return words[KEYS.get(word.decode(errors="replace"), slice(1, 2))]
    number = words[at] if at < len(words) else b""
    count = int(number) if number.isdigit() else 0
    return words[at + 1 : at + 1 + count] if at + count < len(words) else []


def _streams(words: list[bytes]) -> list[bytes]:
    at = 1
    while at < len(words) and (word := words[at].upper()) != b"STREAMS":
        if word not in _VALUES:
            return []
        at += 1 + _VALUES[word]
    names = words[at + 1 :]
    return names[: len(names) // 2] if len(names) % 2 == 0 else []
