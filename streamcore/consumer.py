"""Follow streams without a group: XREAD from a cursor per stream, across any number of connections.

Where to begin is resolved once: ``"$"`` is looked up (``XINFO STREAM``, last-generated-id) before the first read, and
never again, so that what arrives during a reconnect is not skipped. From then on a cursor per stream says what was
*received*; the next read leaves as soon as a reply is in, while the application works on it. ``cursor()`` says what was
*handed over*: saved after the work it gives at least once, before the work at most once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar, Unpack, cast, overload

from .arguments import Name, stream_names
from .connection import Arguments
from .engine import WAIT, EngineOptions, Exchange, Script, ScriptRunner, Steps, checked
from .entries import Batch, StreamId
from .errors import InvalidArgument, ReplyError, UnblockedError
from .prefetch import Reader, ReaderOptions

T = TypeVar("T", bytes, str)
Starts: TypeAlias = Name | Iterable[Name] | Mapping[str, str | StreamId] | Mapping[bytes, str | StreamId]

ZERO = StreamId(0, 0)


class ConsumerOptions(ReaderOptions, total=False):
    """Keywords of ``Consumer``, explained there."""


class _Options(ConsumerOptions, EngineOptions, total=False): ...


class Consumer(Reader[Batch[T]], Generic[T]):
    """Follow streams by XREAD: each entry after the starting point once, in id order per stream.

    ``streams`` is one name or several, which start at their end, or a mapping of names to starting points: an id
    (exclusive), ``"0"`` (everything), ``"$"`` (only what comes from now on). ``count`` (100) entries per stream and
    read, ``block`` (5) seconds of waiting in the server, ``prefetch`` (2) batches or ``prefetch_bytes`` (64 MB) ahead of
    the application.
    """

    @overload
    def __init__(
        self: Consumer[bytes], streams: Starts, *, decode: None = None, **options: Unpack[_Options]
    ) -> None: ...
    @overload
    def __init__(self: Consumer[str], streams: Starts, *, decode: str, **options: Unpack[_Options]) -> None: ...
    @overload
    def __init__(self: Consumer[Any], streams: Starts, *, decode: str | None, **options: Unpack[_Options]) -> None: ...
    def __init__(self, streams: Starts, *, decode: str | None = None, **options: Unpack[_Options]) -> None:
        super().__init__(decode=decode, **options)
        starts = _starts(streams)
        self._unresolved = [stream for stream, start in starts.items() if start is None]
        self._received = {stream: start or ZERO for stream, start in starts.items()}
        self._handed_over = {stream: start for stream, start in starts.items() if start is not None}
        self._reading = ScriptRunner(self, self._read)
        self._reading.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    def split(self, batch: Batch[T], at: int) -> Batch[T]:
        """The rest of a batch behind its first ``at`` entries, as a batch of its own."""
        return Batch(batch.key, batch.raw[at:], encoding=batch.encoding)

    def cursor(self) -> dict[bytes, StreamId]:
        """Per stream the last id of the batches that were taken; pass it as ``streams`` to go on from there."""
        return dict(self._handed_over)

    def _hand_over(self, batch: Batch[T]) -> None:
        self._handed_over[batch.key] = StreamId.parse(batch.raw[-1][0])

    # -- the story ----------------------------------------------------------------------------------------------------

    def _read(self) -> Script:
        for stream in self._unresolved.copy():
            yield from self._resolve(stream)
        self.is_ready = True
        while True:
            if self._prefetch.has_room(0):
                yield from self._read_once()
            else:
                yield WAIT

    def _resolve(self, stream: bytes) -> Steps[None]:
        """Look up where ``$`` is; a stream that does not exist yet is followed from its beginning."""
        [info] = yield from self.ask(("XINFO", "STREAM", stream))
        if not (isinstance(info, ReplyError) and info.code == "ERR"):
            self._received[stream] = StreamId.parse(checked(info)[b"last-generated-id"])
        self._handed_over[stream] = self._received[stream]
        self._unresolved.remove(stream)

    def _read_once(self) -> Steps[None]:
        head: Arguments = ("XREAD", "COUNT", self.count, *self._waiting(), "STREAMS")
        read = (*head, *self._received, *map(bytes, self._received.values()))
        yield Exchange([read], self.block + self.options.request_timeout)
        while (answered := (yield WAIT)) is None:
            pass
        [reply] = answered.replies
        if isinstance(reply, UnblockedError):
            return  # the server has changed its role, and closes; or an operator has sent CLIENT UNBLOCK
        if isinstance(reply, ReplyError):
            reply.command = "XREAD"
            raise reply
        self._reading.link.succeeded()
        received: dict[bytes, list[Any]] = reply or {}
        for stream, entries in received.items():
            if entries:
                size = answered.nbytes // len(received)
                self._received[stream] = StreamId.parse(entries[-1][0])
                self._prefetch.add(Batch(stream, entries, encoding=self._encoding, size=size))


def _starts(given: Starts) -> dict[bytes, StreamId | None]:
    names = stream_names(given)
    if not isinstance(given, Mapping):
        return dict.fromkeys(names)
    starts = cast("Mapping[Any, Any]", given).values()
    return dict(zip(names, map(_start, starts), strict=True))


def _start(start: Any) -> StreamId | None:
    if isinstance(start, StreamId):
        return start
    if not isinstance(start, str):
        raise InvalidArgument(f"a stream starts at an id, '0' or '$', not at {start!r}")
    return None if start == "$" else StreamId.parse(start)
