"""Bytes to replies and commands to bytes, without a server: the seam against hiredis alone, the reference against redis-py.

Input comes in pieces of 64 KiB, as from a socket. Replies of a piece are looked at one by one and dropped.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from benchmarks.raw import MORE, make_reader, pack
from benchmarks.server import Server
from benchmarks.table import Contestant, Metric, Sample, Setting, Table, Target
from streamcore.options import DecoderKind
from streamcore.resp3 import encode, make_decoder

PIECE: Final = 65536
REPEATS: Final = 5
HIREDIS, OURS, REFERENCE, REDIS_PY = "hiredis alone", "streamcore, hiredis", "streamcore, python", "redis-py, python"


# -- what is decoded ---------------------------------------------------------------------------------------------------


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def xread(count: int) -> bytes:
    """A reply of XREAD: entries of three fields."""
    wire = [b"%%1\r\n%b*%d\r\n" % (bulk("orders"), count)]
    for number in range(count):
        fields = [
            ("customer", f"customer-{number}"),
            ("total", f"{number}.50"),
            ("comment", "as soon as possible, please"),
        ]
        wire += [
            b"*2\r\n",
            bulk(f"1700000000{number:03}-0"),
            b"*6\r\n",
            *(bulk(word) for pair in fields for word in pair),
        ]
    return b"".join(wire)


WIRES: Final[dict[str, Callable[[int], bytes]]] = {
    "decode": xread,
    "reference": xread,
    "pipelines": lambda _: bulk("1700000000000-0") + b":1\r\n" + b"+OK\r\n",
    "pushes": lambda _: b">3\r\n" + bulk("message") + bulk("channel") + bulk("twenty characters...."),
}


@cache
def pieces(table: str, setting: Setting) -> Sequence[bytes]:
    """Pieces that have ``setting.n`` bytes altogether, to within one reply."""
    one = WIRES[table](setting.count or 10_000)
    wire = one * max(1, setting.n // len(one))
    return [wire[at : at + PIECE] for at in range(0, len(wire), PIECE)]


# -- who decodes it ----------------------------------------------------------------------------------------------------


def with_hiredis(chunks: Sequence[bytes]) -> None:
    reader = make_reader()
    gets = reader.gets
    for chunk in chunks:
        reader.feed(chunk)
        replies = []
        while (reply := gets()) is not MORE:
            replies.append(reply)
        for _ in replies:
            pass


def with_streamcore(chunks: Sequence[bytes], kind: DecoderKind = "hiredis") -> None:
    decoder = make_decoder(kind)
    for chunk in chunks:
        for _ in decoder.feed(chunk):
            pass


def with_reference(chunks: Sequence[bytes]) -> None:
    with_streamcore(chunks, "python")


class FakeSocket:
    """What redis-py's parser reads from."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)

    def recv(self, _: int) -> bytes:
        return next(self._chunks, b"")


class NoEncoder:
    encoding, encoding_errors, decode_responses = "utf-8", "strict", False


def with_redis_py(chunks: Sequence[bytes]) -> None:
    """One reply; it decodes no text, as the others do not."""
    parser: Any = importlib.import_module("redis._parsers.resp3")._RESP3Parser(PIECE)
    buffer: Any = importlib.import_module("redis._parsers.socket").SocketBuffer
    parser._sock, parser.encoder = FakeSocket(chunks), NoEncoder()
    parser._buffer = buffer(parser._sock, PIECE, None)
    parser.read_response(disable_decoding=True)


COMMAND: Final = (
    "XADD",
    "orders",
    "MAXLEN",
    "~",
    "1000000",
    "*",
    "customer",
    "customer-17",
    "total",
    "9.50",
    b"raw",
    b"x" * 30,
)


def encode_with_hiredis(times: int) -> None:
    for _ in range(times):
        pack(COMMAND)


def encode_with_streamcore(times: int) -> None:
    for _ in range(times):
        encode(COMMAND)


# -- tables ------------------------------------------------------------------------------------------------------------


DECODERS: Final[dict[str, Callable[[Sequence[bytes]], None]]] = {
    HIREDIS: with_hiredis,
    OURS: with_streamcore,
    REFERENCE: with_reference,
    REDIS_PY: with_redis_py,
}
ENCODERS: Final[dict[str, Callable[[int], None]]] = {HIREDIS: encode_with_hiredis, OURS: encode_with_streamcore}


def best_seconds(work: Callable[[], None]) -> float:
    """CPU time, the best of several: what else runs on the machine can only make it worse."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def run_decoder(table: str) -> Callable[[Contestant, Setting, Server], Sample]:
    def run(contestant: Contestant, setting: Setting, server: Server) -> Sample:
        chunks, decode = pieces(table, setting), DECODERS[contestant.label]
        seconds = best_seconds(lambda: decode(chunks))
        return {"rate": sum(map(len, chunks)) / seconds / 1e6, "piece": seconds / len(chunks) * 1e6}

    return run


def run_encoder(contestant: Contestant, setting: Setting, server: Server) -> Sample:
    seconds = best_seconds(lambda: ENCODERS[contestant.label](setting.n))
    return {"rate": setting.n / seconds, "each": seconds / setting.n * 1e9}


def decoding(name: str, title: str, *, counts: tuple[int, ...] = (0,)) -> Table:
    return Table(
        name=name,
        title=title,
        metrics=(Metric("rate", "MB/s"), Metric("piece", "µs per 64 KiB")),
        run=run_decoder(name),
        n=4_000_000,
        counts=counts,
        reference=HIREDIS,
        contestants=(
            Contestant(HIREDIS, "", "limit"),
            Contestant(OURS, "", "ours"),
            Contestant(REFERENCE, "", "ours"),
        ),
        targets=(Target(OURS, (HIREDIS,), 0.9),),
    )


TABLES: Final = (
    decoding("decode", "Decode replies of XREAD", counts=(100, 1000)),
    decoding("pipelines", "Decode small replies"),
    decoding("pushes", "Decode pushes"),
    Table(
        name="reference",
        title="Decode one reply of 10,000 entries in Python",
        metrics=(Metric("rate", "MB/s", digits=1), Metric("piece", "µs per 64 KiB")),
        run=run_decoder("reference"),
        n=1,
        n_is_most=True,
        reference=REDIS_PY,
        contestants=(
            Contestant(HIREDIS, "", "limit"),
            Contestant(REDIS_PY, "", needs="redis"),
            Contestant(REFERENCE, "", "ours"),
        ),
        peers={"redis-py": (REDIS_PY,)},
        targets=(Target(REFERENCE, (REDIS_PY,), 1.0), Target(REFERENCE, (HIREDIS,), 1 / 7)),
    ),
    Table(
        name="encode",
        title="Encode XADD",
        metrics=(Metric("rate", "commands/s"), Metric("each", "ns each")),
        run=run_encoder,
        n=200_000,
        reference=HIREDIS,
        contestants=(
            Contestant(HIREDIS, "", "limit"),
            Contestant(OURS, "", "ours"),
        ),
    ),
)
