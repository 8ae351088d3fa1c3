"""The model server, with an operator beside its clients, and the commands that it has run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from streamcore.resp3 import make_decoder
from streamcore.stream_id import StreamId
from streamcore.testing.model import VALKEY9, Flavour, Session
from streamcore.testing.model import Server as Model
from streamcore.testing.model.faults import Faults
from streamcore.testing.model.protocol import Failure
from streamcore.testing.model.values import Group, Scores, Stream, Value
from streamcore.testing.resp import resp

V = TypeVar("V")


class KeyRefused(Faults):
    """A fault: commands that name a key are refused (``NOPERM``)."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def check(self, word: bytes, words: Sequence[bytes], flags: str) -> None:
        super().check(word, words, flags)
        if self._key in words:
            raise Failure("NOPERM No permissions to access a key")


class Server(Model):
    """The model server, with an operator. ``seen``: the commands that it has run, of clients and the operator.

    ``before`` is called with each command of a client before it runs.
    """

    def __init__(self, flavour: Flavour = VALKEY9, *, now: float = 1000.0) -> None:
        super().__init__(flavour, now=now)
        self.seen: deque[list[bytes]] = deque(maxlen=1000)
        self.before: Callable[[list[bytes]], object] = len
        self.on_command = self._note

    def _note(self, session: Session, words: list[bytes]) -> None:
        if session.number:
            self.before(words)
        self.seen.append(words)

    # -- the operator -------------------------------------------------------------------------------------------------

    def do(self, *words: object) -> Any:
        """Run a command of the operator, whom no fault befalls; errors are returned."""
        operator = Session(self, 0, self.databases[0], self.now)
        operator.protocol = 3
        faults, self.faults = self.faults, Faults()
        operator.receive(resp([word if isinstance(word, bytes) else str(word) for word in words]), self.now)
        self.faults = faults
        self.changed.pop(operator, None)
        [reply] = make_decoder().feed(operator.data_to_send())
        return reply

    def add(self, name: str, id_: str | StreamId, **fields: str) -> None:
        flat = [part for pair in (fields or {"f": "v"}).items() for part in pair]
        assert not isinstance(self.do("XADD", name, id_, *flat), Exception)

    def put(self, key: bytes, value: Value) -> None:
        """Let a key hold another value at once, as by RENAME, and serve the reads that wait for it."""
        self.databases[0].put(key, value)
        self.handle_timeout(self.now)

    def sleep(self, seconds: float) -> None:
        """Let time pass while no engine is there."""
        self.handle_timeout(self.now + seconds)

    # -- its data -----------------------------------------------------------------------------------------------------

    def group(self, stream: str = "s", group: str = "g") -> Group:
        return self.streams[stream.encode()].groups[group.encode()]

    @property
    def streams(self) -> dict[bytes, Stream]:
        return self._of(Stream)

    @property
    def hashes(self) -> dict[bytes, dict[bytes, bytes]]:
        return self._of(dict)

    @property
    def schedules(self) -> dict[bytes, Scores]:
        return self._of(Scores)

    def _of(self, kind: type[V]) -> dict[bytes, V]:
        keys = self.databases[0]
        return {key: value for key in keys if type(value := keys.raw(key)) is kind}
