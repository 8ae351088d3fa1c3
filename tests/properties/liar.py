"""An engine and a server that lies: the model answers, and now and then something else is sent in the place of what it has said.

A ``Lie`` says which answer that is (the n-th to a command) and what is sent: any value, in the place of the whole answer or of a
part of it. So what is wrong is mostly well hidden in what is right.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.resp3 import make_decoder
from streamcore.testing.model import VALKEY9, Server, Session
from streamcore.testing.resp import CommandReader, resp
from tests.core.support.entropy import entropy

ROUNDS = 2000


class Lie(NamedTuple):
    """Instead of the ``which``-th answer to ``word``: ``value``, at the end of a ``path`` into what is true."""

    word: str
    which: int
    path: tuple[int, ...]
    value: Any


def altered(truth: Any, path: tuple[int, ...], value: Any) -> Any:
    """What is true, but for one place in it."""
    if not path or not isinstance(truth, (list, dict)) or not truth:
        return value
    step = path[0] % len(truth)
    if isinstance(truth, dict):
        key = list(truth)[step]
        if path[0] < 0:  # the key, too
            return {**truth, key: None, b"strange": value}
        return {**truth, key: altered(truth[key], path[1:], value)}
    changed = [*truth]
    if path[0] < 0:
        del changed[step]
    else:
        changed[step] = altered(changed[step], path[1:], value)
    return changed


class Wire:
    """One connection, from the engine to the server."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.parser = CommandReader()
        self.words: deque[str] = deque()  # of what is not answered


class Liar:
    """Drives one engine against the model. Whatever the engine raises on the way goes through to the test."""

    def __init__(self, engine: Engine, lies: list[Lie]) -> None:
        self.engine = engine
        self.now = 1000.0
        self.server = Server(VALKEY9, now=self.now, entropy=entropy)
        self._operator = self.server.connect(self.now)
        self._lies = {(lie.word, lie.which): lie for lie in lies}
        self._seen: Counter[str] = Counter()
        self._wires: dict[Link, Wire] = {}

    def do(self, *words: str | bytes) -> None:
        """Somebody else has the server run a command."""
        self._operator.receive(b"".join([b"*%d\r\n" % len(words), *map(resp, words)]), self.now)
        self._operator.data_sent(len(self._operator.data_to_send()))

    def settle(self) -> None:
        """Do what a driver does, and the server, until nothing moves any more."""
        for _ in range(ROUNDS):
            moved = [self._step(link) for link in self.engine.changed_links()]
            moved += [self._answer(link, wire) for link, wire in list(self._wires.items())]
            due = self.engine.next_timeout()
            if due is not None and due <= self.now:
                self.engine.handle_timeout(self.now)
                moved.append(True)
            if not any(moved):
                return
        raise AssertionError("a busy loop: the engine always wants something more")

    def advance(self, seconds: float) -> None:
        """Let time pass, for both."""
        end = self.now + seconds
        for _ in range(ROUNDS):
            due = [at for at in (self.engine.next_timeout(), self.server.next_timeout()) if at is not None]
            self.now = max(self.now, min([*due, end]))
            self.server.handle_timeout(self.now)
            self.settle()
            if self.now >= end:
                return
        raise AssertionError("a busy loop: the engine always wants one more timer")

    def _step(self, link: Link) -> bool:
        wire = self._wires.get(link)
        if not link.wants_connection:
            if wire is None:
                return False
            self._hang_up(link, wire)
            return True
        if wire is None:
            self._wires[link] = Wire(self.server.connect(self.now))
            link.connection_made(self.now)
            return True
        data = bytes(link.data_to_send())
        link.data_sent(len(data))
        for words in wire.parser.feed(data):
            self._run(wire, words)
        return bool(data)

    def _run(self, wire: Wire, words: list[bytes]) -> None:
        name = words[0].decode().upper()
        if name in {"XINFO", "XGROUP", "CLIENT"}:
            name += f" {words[1].decode().upper()}"
        if not name.endswith("SUBSCRIBE"):  # answered by pushes
            wire.words.append(name)
        wire.session.receive(b"".join([b"*%d\r\n" % len(words), *map(resp, words)]), self.now)

    def _answer(self, link: Link, wire: Wire) -> bool:
        if self._wires.get(link) is not wire:
            return False
        data = bytes(wire.session.data_to_send())
        wire.session.data_sent(len(data))
        if data:
            decoder = make_decoder("python")
            replies = b"".join([self._told(wire, reply, decoder.push) for reply in decoder.feed(data)])
            link.receive_data(replies, self.now)
        if wire.session.closed and self._wires.get(link) is wire:
            self._hang_up(link, wire)
            return True
        return bool(data)

    def _told(self, wire: Wire, truth: Any, push: type) -> bytes:
        is_push = type(truth) is push
        word = "PUSH" if is_push else wire.words.popleft()
        lie = self._lies.get((word, self._seen[word]))
        self._seen[word] += 1
        if lie is None:
            sent = resp(truth)
        else:
            value = altered(truth, lie.path, lie.value)
            sent = resp(value)
        if is_push and sent.startswith(b"*"):
            sent = b">" + sent[1:]
        return sent

    def _hang_up(self, link: Link, wire: Wire) -> None:
        del self._wires[link]
        wire.session.lost()
        link.connection_lost(None, self.now)
