"""The same commands for a real server and for the model, and whether the answers are the same.

The model is told the real server's time, so that ids that servers choose are equal; how long something was idle is compared
in steps of 100 seconds, which is how sequences fake it (XCLAIM IDLE).
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

import hiredis

from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour, Server, Session
from tests.support.raw import Raw

FLAVOURS: Final[dict[str, Flavour]] = {"valkey": VALKEY9, "redis7": REDIS7, "redis8": REDIS8}
STEP: Final = 100_000  # milliseconds
Words = tuple[str, ...]


class Twin:
    """One connection to each."""

    def __init__(self, raw: Raw, session: Session, protocol: int) -> None:
        self.raw = raw
        self.session = session
        self.reader = hiredis.Reader(notEnoughData=self)
        self.waits_for: Words | None = None
        self.real_number: int = raw("CLIENT", "ID")
        if protocol == 3:
            raw("HELLO", 3)
            self.session.protocol = 3

    def replies(self) -> list[Any]:
        """What the model has said."""
        data = bytes(self.session.data_to_send())
        self.session.data_sent(len(data))
        self.reader.feed(data)
        replies = []
        while (reply := self.reader.gets()) is not self:
            replies.append(reply)
        return replies


class Twins:
    """A real server, which is empty, and a model of its kind."""

    def __init__(self, address: tuple[str, int] | str, kind: str, *, connections: int, protocol: int) -> None:
        self.eye = Raw(address)
        self.model = Server(FLAVOURS[kind], now=self._real_time())
        self.story: list[str] = []
        self.all = [Twin(Raw(address), self.model.connect(self._real_time()), protocol) for _ in range(connections)]

    def close(self) -> None:
        for twin in self.all:
            twin.raw.close()
        self.eye("FLUSHALL")
        self.eye("SCRIPT", "FLUSH")
        self.eye.close()

    def do(self, number: int, *words: str) -> None:
        """Send a command over a connection of each; whoever gets an answer by it gets the same of both."""
        twin = self.all[number]
        assert twin.waits_for is None
        self.story.append(f"{number}: {' '.join(word.strip()[:40] for word in words)}")
        now = self._real_time()
        sent = words
        if words[:2] == ("CLIENT", "UNBLOCK"):
            other = self.all[int(words[2])]
            sent = (*words[:2], str(other.real_number), *words[3:])
            words = (*words[:2], str(other.session.number), *words[3:])
        twin.raw.send(*sent)
        real = self._first_reply(twin, words)
        if words[0] in {"XADD", "EXEC", "EVAL", "EVALSHA"}:
            now = max([now, *_chosen(real)])
        data = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w.encode()), w.encode()) for w in words)
        twin.session.receive(data, now)
        for other in self.all:
            replies = other.replies()
            if other is twin and real is not self:
                assert len(replies) == 1, self._told(f"the model answers {replies!r}, the server {real!r}")
                self._compare(words, replies[0], real)
                continue
            for reply in replies:
                asked = words if other is twin else (other.waits_for or ())
                self._compare(asked, reply, other.raw.read())
                other.waits_for = None
        if twin.session.blocked is not None:
            twin.waits_for = words
            assert real is self, self._told(f"the model waits, and the server answers {real!r}")

    def _first_reply(self, twin: Twin, words: Words) -> Any:
        """The real server's answer; ourselves where it blocks."""
        if not {"BLOCK", "BLPOP", "BRPOP"} & set(words):
            return twin.raw.read()
        deadline = time.monotonic() + 5
        twin.raw.socket.setblocking(False)
        try:
            while time.monotonic() < deadline:
                try:
                    return twin.raw.read()
                except BlockingIOError:
                    line = self.eye("CLIENT", "LIST", "ID", twin.real_number)
                    if b"flags=b" in line:
                        try:
                            return twin.raw.read()
                        except BlockingIOError:
                            return self
        finally:
            twin.raw.socket.settimeout(5)
        raise AssertionError(self._told("the server neither answers nor blocks"))

    def _compare(self, words: Words, model: Any, real: Any) -> None:
        ours, theirs = self._plain(words, model), self._plain(words, real)
        self.story.append(f"    {theirs!r}")
        assert ours == theirs, self._told(f"the model says {ours!r}\n  and the server {theirs!r}")

    def _plain(self, words: Words, reply: Any) -> Any:
        """Errors by their word, times in coarse steps."""
        if isinstance(reply, hiredis.ReplyError):
            return f"-{str(reply).split(' ')[0]}"
        if not words or words[0] == "EXEC":
            return [self._plain(("PTTL",), one) for one in reply] if isinstance(reply, list) else reply
        if words[0] == "XPENDING" and isinstance(reply, list):
            return [
                [*row[:2], _step(row[2]), row[3]]
                if isinstance(row, list) and len(row) == 4 and type(row[2]) is int
                else row
                for row in reply
            ]
        if "CLAIM" in words:
            return _claimed(reply)
        if words[0] == "PTTL" and isinstance(reply, int):
            return _step(reply) if reply > 1000 else reply
        if words[0] in {"SMEMBERS", "KEYS"} and isinstance(reply, list):
            return sorted(reply)  # servers keep them by hashes
        if words[0] == "XINFO":
            return self._info(reply, "")
        return reply

    def _info(self, reply: Any, name: str) -> Any:
        if isinstance(reply, dict):
            return {key: self._info(value, key.decode()) for key, value in reply.items() if key not in _UNEQUAL}
        if (
            isinstance(reply, list)
            and reply
            and all(isinstance(key, bytes) and not key[:1].isdigit() for key in reply[::2])
        ):
            return self._info(dict(zip(reply[::2], reply[1::2], strict=False)), name)
        if name == "pending" and isinstance(reply, list):
            return [
                [_step(self._ago(one)) if type(one) is int and one > 10**11 else one for one in row] for row in reply
            ]
        if isinstance(reply, list):
            return [self._info(one, name) for one in reply]
        if name in {"idle", "inactive"}:
            return _step(reply) if reply >= 0 else reply
        if name in {"seen-time", "active-time"}:
            return _step(self._ago(reply)) if reply >= 0 else reply
        return reply

    def _ago(self, ms: int) -> int:
        return int(time.time() * 1000) - ms

    def _real_time(self) -> float:
        seconds, micro = self.eye("TIME")
        return int(seconds) + int(micro) / 1e6

    def _told(self, end: str) -> str:
        return "\n".join(["", *self.story, end])


_UNEQUAL: Final = frozenset({b"radix-tree-keys", b"radix-tree-nodes", b"iids-added", b"iids-duplicates"})


def _chosen(reply: Any) -> list[float]:
    """The times in ids that the server has chosen, in seconds."""
    replies = reply if isinstance(reply, list) else [reply]
    return [int(one[:13]) / 1000 for one in replies if isinstance(one, bytes) and re.fullmatch(rb"\d{13}-\d+", one)]


def _claimed(reply: Any) -> Any:
    """What XREADGROUP CLAIM answers: how long it was idle stands behind the fields."""
    if isinstance(reply, list) and len(reply) == 4 and isinstance(reply[2], int):
        return [*reply[:2], _step(reply[2]), reply[3]]
    if isinstance(reply, dict):
        return {key: _claimed(value) for key, value in reply.items()}
    return [_claimed(one) for one in reply] if isinstance(reply, list) else reply


def _step(ms: int) -> int:
    return (ms + STEP // 2) // STEP
