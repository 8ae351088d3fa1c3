"""Replies as bytes, drawn from a seed: every type of RESP3, with what is rare in practice made frequent; and damage to them.

Hypothesis shrinks better; this is many times as fast.
"""

from __future__ import annotations

from random import Random
from typing import Final

# Payloads that look like what they are not.
PAYLOADS: Final = (
    b"",
    b"a",
    b"hello\r\n%2\r\n+",
    b"\r\n|1\r\n",
    b"\n(\n!\n=\n>",
    b"$?\r\n",
    b"\n*?",
    b"\n%1\r\n*",
    b"\n>100\r\n",
    b"*9999999999\r\n",
    b"=(!?|%>" * 4,
    b"\n\r\n\r",
    b"\x00\xff\x80",
)
NUMBERS: Final = (0, 1, -1, 7, 512, 1_700_000_000_000, -(1 << 63), (1 << 63) - 1)
OTHERS: Final = (
    b"_",
    b"$-1",
    b"*-1",
    b"#t",
    b"#f",
    b",1.5",
    b",inf",
    b",-inf",
    b",nan",
    b",-1e10",
    b",.5",
    b"+",
    b"+OK",
    b"-ERR x",
)
KEYS: Final = (b"+a\r\n", b"$1\r\na\r\n", b":1\r\n", b"#t\r\n", b",1.0\r\n", b"*0\r\n", b"%0\r\n", b"_\r\n", b"(1\r\n")


def string(random: Random) -> bytes:
    payload = random.choice(PAYLOADS)
    match random.randrange(9):
        case 0:
            return b"!%d\r\nERR %b\r\n" % (len(payload) + 4, payload)
        case 1:
            return b"=%d\r\ntxt:%b\r\n" % (len(payload) + 4, payload)
        case 2:
            size = random.randrange(1, 9)
            pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
            return b"$?\r\n" + b"".join(b";%d\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b";0\r\n\r\n"
        case _:
            return b"$%d\r\n%b\r\n" % (len(payload), payload)


def scalar(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.5:
        return string(random)
    if kind < 0.7:
        return b":%d\r\n" % random.choice(NUMBERS)
    if kind < 0.8:
        return b"(%d\r\n" % random.getrandbits(random.randrange(200))
    return random.choice(OTHERS) + b"\r\n"


def pairs(random: Random, count: int, depth: int) -> bytes:
    wire = b""
    for _ in range(count):
        wire += random.choice(KEYS) if random.random() < 0.6 else value(random, depth + 1)
        wire += value(random, depth + 1)
    return wire


def attributes(random: Random, depth: int = 0) -> bytes:
    count = random.randrange(3)
    if random.random() < 0.2:
        return b"|?\r\n" + pairs(random, count, depth) + b".\r\n"
    return b"|%d\r\n" % count + pairs(random, count, depth)


def value(random: Random, depth: int = 0) -> bytes:
    if depth > 2 or random.random() < 0.6:
        return scalar(random)
    kind = random.choice("**~%%>|")
    count = random.choice((0, 1, 1, 2, 2, 3, 4))
    if kind == "|":
        return attributes(random, depth) + value(random, depth)
    if kind == "%":
        items = pairs(random, count, depth)
    else:
        count = max(count, kind == ">")
        items = b"".join([value(random, depth + 1) for _ in range(count)])
    if random.random() < 0.15:
        return kind.encode() + b"?\r\n" + items + b".\r\n"
    return b"%b%d\r\n%b" % (kind.encode(), count, items)


def frame(random: Random) -> bytes:
    """A few replies."""
    wire = b""
    for _ in range(random.choice((1, 1, 2, 3))):
        if random.random() < 0.1:
            wire += attributes(random)
        wire += value(random)
    return wire


DAMAGE: Final = (*(bytes([code]) for code in b"$*%~>|!=(,#_:+-;.?\r\n019"), b"\r\n", b"\xff", b"99999999999")


def mutate(random: Random, wire: bytes) -> bytes:
    """The frame with some bytes flipped, deleted, inserted, or copied from elsewhere."""
    data = bytearray(wire)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0:
                data[at : at + 1] = random.choice(DAMAGE)
            case 1:
                del data[at : at + random.choice((1, 1, 2, 8))]
            case 2:
                data[at:at] = random.choice(DAMAGE)
            case 3:
                other = random.randrange(len(data) + 1)
                data[at:at] = data[other : other + random.randrange(12)]
            case _:
                data[at : at + 1] = bytes([random.randrange(256)])
    return bytes(data)


def cut(random: Random, wire: bytes) -> list[bytes]:
    """The frame in pieces: one, a few, or single bytes."""
    match random.randrange(8):
        case 0:
            return [wire]
        case 1 if len(wire) < 200:
            return [wire[at : at + 1] for at in range(len(wire))]
        case _:
            ends = sorted(random.randrange(len(wire) + 1) for _ in range(random.randrange(1, 5)))
            return [wire[start:end] for start, end in zip([0, *ends], [*ends, len(wire)], strict=True)]
