"""A browser's side of server-sent events: the standard's parser, and a page that an ASGI application talks to without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

LINE_ENDS: Final = ("\r\n", "\n", "\r")


@dataclass
class Got:
    """An event that a page's listener is called with."""

    data: str
    event: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Parser:
    """Interprets a stream as section 9.2.6 of the HTML standard says, in any pieces."""

    got: list[Got] = field(default_factory=list)
    comments: int = 0
    last_event_id: str = ""
    retry: int | None = None
    _rest: bytes = b""
    _data: list[str] = field(default_factory=list)
    _event: str = ""
    _id: str | None = None

    def feed(self, piece: bytes) -> None:
        self._rest += piece
        while (end := self._rest.find(b"\n")) >= 0:  # ours are the only ends that are not escaped
            line, self._rest = self._rest[:end], self._rest[end + 1 :]
            assert b"\r" not in line, "the end of a line that was not escaped"
            self._line(line.decode("utf-8", "replace"))

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id":
                self._id = value
            case "retry":
                self.retry = int(value)
            case _:
                raise AssertionError(f"{line!r} is no field of the format")

    def _dispatch(self) -> None:
        if self._id is not None:
            self.last_event_id = self._id
        self.comments += not (self._data or self._event or self._id)
        if self._data:
            self.got.append(Got("\n".join(self._data), self._event or "message", self.last_event_id))
        self._data, self._event, self._id = [], "", None


class Page(Parser):
    """A request. ``receive`` and ``send`` are for the application; ``leave`` closes the page, ``stall`` stops its reading."""

    def __init__(self, runtime: Any, *, last_event_id: str | None = None, query: str = "", method: str = "GET") -> None:
        super().__init__()
        headers = [] if last_event_id is None else [(b"Last-Event-ID", last_event_id.encode())]
        self.scope = {"type": "http", "method": method, "headers": headers, "query_string": query.encode()}
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.ended = False
        self._runtime = runtime
        self._asked = False
        self._left = runtime.flag()
        self._reads = runtime.flag()
        self._reads.set()
        self.on_send: Callable[[], None] = lambda: None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def leave(self) -> None:
        self._left.set()

    def stall(self) -> None:
        self._reads = self._runtime.flag()

    def go_on(self) -> None:
        self._reads.set()

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self._reads.wait()
        self.on_send()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode("latin-1") for key, value in message["headers"]}
        else:
            self.pieces.append(message["body"])
            self.ended = not message.get("more_body", False)
            if self.status == 200:
                self.feed(message["body"])

    async def visit(self, application: Any) -> None:
        """Until the page is left, or the answer ends."""
        await application(self.scope, self.receive, self.send)
