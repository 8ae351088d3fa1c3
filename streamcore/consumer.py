"""Follow streams without a group: XREAD from a cursor per stream, across any number of connections.

Where to begin is resolved once: ``"$"`` is looked up (``XINFO STREAM``, last-generated-id) before the first read, and
never again, so that what arrives during a reconnect is not skipped. From then on a cursor per stream says what was
*received*; the next read leaves as soon as a reply is in, while the application works on it. ``cursor()`` says what was
*handed over*: saved after the work it gives at least once, before the work at most once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar, Unpack

from .arguments import Name, Seconds, encoding, name, positive, seconds, streams
from .engine import WAIT, Engine, EngineOptions, Exchange, Script, ScriptRunner, Steps, call, checked
from .entries import Batch, StreamId
from .errors import InvalidArgument, ReplyError
from .prefetch import Prefetch

T = TypeVar("T", bytes, str)
ZERO = StreamId(0, 0)
Starts: TypeAlias = Name | Iterable[Name] | Mapping[str, str | StreamId] | Mapping[bytes, str | StreamId]


class ConsumerOptions(TypedDict, total=False):
    """Keywords of ``Consumer``, explained there."""

    count: int
    block: Seconds
    prefetch: int
    prefetch_bytes: int


class Consumer(Engine, Generic[T]):
    """Follow streams by XREAD: each entry after the starting point once, in id order per stream.

    ``streams`` is one name or several, which start at their end, or a mapping of names to starting points: an id
    (exclusive), ``"0"`` (everything), ``"$"`` (only what comes from now on). ``count`` entries per stream and read,
    ``block`` seconds of waiting in the server, ``prefetch`` replies or ``prefetch_bytes`` ahead of the application.
    """

    def __init__(
        self,
        streams_: Starts,
        *,
        count: int = 100,
        block: Seconds = 5.0,
        prefetch: int = 2,
        prefetch_bytes: int = 64 << 20,
        decode: str | None = None,
        **engine: Unpack[EngineOptions],
    ) -> None:
        super().__init__(**engine)
        self.is_ready = False
        self.count = positive("count", count)
        self.block = seconds("block", block)
        self._check_block(self.block)
        self._encoding = encoding(decode)
        self._prefetch: Prefetch[Batch[T]] = Prefetch(
            positive("prefetch", prefetch), positive("prefetch_bytes", prefetch_bytes)
        )
        starts = _starts(streams_)
        self._unresolved = [stream for stream, start in starts.items() if start is None]
        self._received = {stream: start or ZERO for stream, start in starts.items()}
        self._handed_over = {stream: start for stream, start in starts.items() if start is not None}
        self._reading = ScriptRunner(self, self._read)
        self._reading.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return bool(self._prefetch)

    def take(self) -> Batch[T] | None:
        """The next batch, or None where nothing has arrived. Raises what ended the consumer."""
        batch = self._prefetch.pop()
        if batch is None:
            self.check()
        else:
            self._handed_over[batch.key] = StreamId.parse(batch.raw[-1][0])
            self._reading.wake()
        return batch

    def split(self, batch: Batch[T], at: int) -> Batch[T]:
        """The rest of a batch behind its first ``at`` entries, as a batch of its own."""
        return Batch(batch.key, batch.raw[at:], encoding=batch.encoding)

    def cursor(self) -> dict[bytes, StreamId]:
        """Per stream the last id of the batches that were taken; pass it as ``streams`` to go on from there."""
        return dict(self._handed_over)

    # -- the story ----------------------------------------------------------------------------------------------------

    def _read(self) -> Script:
        for stream in self._unresolved.copy():
            yield from self._resolve(stream)
        self.is_ready = True
        self._reading.link.succeeded()
        while True:
            if not self._prefetch.has_room(0):
                yield WAIT
                continue
            [reply], size = yield from self._read_once()
            for stream, entries in (checked(reply) or {}).items():
                if entries:
                    self._received[stream] = StreamId.parse(entries[-1][0])
                    self._prefetch.add(Batch(stream, entries, encoding=self._encoding, size=size // len(reply)))

    def _resolve(self, stream: bytes) -> Steps[None]:
        """Look up where ``$`` is; a stream that does not exist yet is followed from its beginning."""
        [info] = yield from call(("XINFO", "STREAM", stream))
        if not (isinstance(info, ReplyError) and info.code == "ERR"):
            self._received[stream] = StreamId.parse(checked(info)[b"last-generated-id"])
        self._handed_over[stream] = self._received[stream]
        self._unresolved.remove(stream)

    def _read_once(self) -> Steps[tuple[list[Any], int]]:
        head = ("XREAD", "COUNT", self.count, "BLOCK", int(self.block * 1000), "STREAMS")
        command = (*head, *self._received, *map(bytes, self._received.values()))
        yield Exchange([command], self.block + self.options.request_timeout)
        while (answered := (yield WAIT)) is None:
            pass
        return answered.replies, answered.nbytes


def _starts(given: Starts) -> dict[bytes, StreamId | None]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(streams(given))
    streams(given)
    return {name("stream", stream): _start(start) for stream, start in given.items()}


def _start(start: str | StreamId) -> StreamId | None:
    if isinstance(start, StreamId):
        return start
    if not isinstance(start, str):
        raise InvalidArgument(f"a stream starts at an id, '0' or '$', not at {start!r}")
    return None if start == "$" else StreamId.parse(start)
