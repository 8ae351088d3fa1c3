"""``EventStream``: an ASGI application that answers requests by server-sent events, for as long as the browser stays.

Three tasks serve a request. The first takes events from the source into a small buffer, the second sends them in a piece, and
a comment when nothing came for a while, and the third waits for the browser to leave, which ends the others at once. A slow
browser fills the buffer; then nothing more is taken, and the source, a pull all the way, reads no further. When the source
cannot be reached, the answer is 200 nevertheless, and ends: a browser comes back after that, and after any other status never.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from streamcore.arguments import Seconds, positive, seconds
from streamcore.entries import StreamId
from streamcore.errors import ClosedError, ConnectionLost, InvalidArgument, MissingExtra

from .._facade.durations import warn_of_milliseconds
from .._facade.logs import Limiter, write_line
from .buffer import BYTES, Buffer
from .wire import BadLastEventId, ServerSentEvent, checked_headers, last_event_id

if TYPE_CHECKING:
    from starlette.responses import Response

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),  # neither kept nor, by well-behaved proxies, collected
    (b"x-accel-buffering", b"no"),  # nginx collects a response unless it is told
)
_limiter: Final = Limiter(monotonic)  # while a server is away, every browser comes back every few seconds


class Source(Protocol):
    """Where events come from. ``open`` is asked once for each request; the iteration belongs to it alone.

    ``after`` is the id of the browser's last event, None at its first visit. The first event tells, by its ``id``, from where
    the iteration goes on, so that a browser that has had nothing yet can come back to that place; it has no data.
    """

    def open(self, after: StreamId | None) -> AbstractAsyncContextManager[AsyncIterator[ServerSentEvent]]: ...


class EventStream:
    """An ASGI application for any number of requests; return it from an endpoint, or mount it.

    A browser waits ``retry`` (2) seconds before it comes back; after ``keep_alive`` (15) seconds of silence a
    comment is sent, which proxies that close silent connections take for traffic. ``headers`` are sent beside our own.
    ``parameter`` of the query stands in for the header ``Last-Event-ID``; None: nothing does. A request whose
    id is malformed is answered by status 400.

    About ``buffer_bytes`` (65,536) of events wait for a browser, and a browser that takes nothing for ``send_timeout`` (60)
    seconds is dropped: if it never reads it would hold memory, and a connection, for ever.
    """

    def __init__(
        self,
        source: Source,
        *,
        retry: Seconds = 2.0,
        keep_alive: Seconds = 15.0,
        send_timeout: Seconds = 60.0,
        buffer_bytes: int = BYTES,
        headers: Mapping[str, str] | None = None,
        parameter: str | None = "lastEventId",
    ) -> None:
        self._source = source
        self._retry = seconds("retry", retry, zero=True)
        self._keep_alive = seconds("keep_alive", keep_alive)
        self._send_timeout = seconds("send_timeout", send_timeout)
        self._buffer_bytes = positive("buffer_bytes", buffer_bytes)
        warn_of_milliseconds({"retry": retry, "keep_alive": keep_alive, "send_timeout": send_timeout})
        given = checked_headers(headers or {})
        ours = {key: value for key, value in _HEADERS if key not in dict(given)}
        self._headers = [*ours.items(), *given]
        self._parameter = parameter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise InvalidArgument(
                f"server-sent events answer HTTP requests, not {scope['type']!r}; route these elsewhere"
            )
        try:
            after = last_event_id(scope, self._parameter)
        except BadLastEventId as error:
            await _refuse(send, str(error))
            return
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._serve(after, receive, send)

    def response(self) -> Response:
        """The same as a response of Starlette, which FastAPI wants its endpoints to return."""
        return _response_class()(self)

    async def _serve(self, after: StreamId | None, receive: Receive, send: Send) -> None:
        anyio = _anyio()
        failures: list[Exception] = []  # not raised through the groups, which would wrap them

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                continue
            group.cancel_scope.cancel()

        async def answer() -> None:
            try:
                await self._answer(after, send)
            except _Gone:
                pass
            except Exception as error:  # noqa: BLE001  # raised below
                failures.append(error)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            group.start_soon(answer)
        for error in failures:
            raise error

    async def _answer(self, after: StreamId | None, send: Send) -> None:
        outlet = _Outlet(send, self._headers, self._send_timeout)
        anyio = _anyio()
        opening = self._source.open(after)
        try:
            events = await opening.__aenter__()
        except (ClosedError, ConnectionLost) as error:
            _log("no source, the browser is told to come back", error)
            await outlet.write(bytes(ServerSentEvent(retry=self._retry)))
            await outlet.end()
            return
        try:
            first = await anext(events)
            await outlet.write(bytes(replace(first, retry=self._retry)))
            await self._pump(events, outlet)
        finally:
            with anyio.CancelScope(shield=True):
                await opening.__aexit__(None, None, None)

    async def _pump(self, events: AsyncIterator[ServerSentEvent], outlet: _Outlet) -> None:
        anyio = _anyio()
        buffer = Buffer(self._buffer_bytes, anyio.Event, anyio.move_on_after)
        failures: list[Exception] = []

        async def fill() -> None:
            try:
                async for event in events:
                    await buffer.put(event)
            except Exception as error:  # noqa: BLE001  # told when what came before it has been sent
                failures.append(error)
            buffer.end()

        async with anyio.create_task_group() as group:
            group.start_soon(fill)
            try:
                while (piece := await buffer.take(self._keep_alive)) is not None:
                    await outlet.write(piece)
            except Exception as error:  # noqa: BLE001  # nothing more can be sent
                failures[:] = [error]
                group.cancel_scope.cancel()
        for failure in failures:
            if not isinstance(failure, (ClosedError, ConnectionLost)):
                raise failure
            _log("ended, the browser comes back", failure)
        await outlet.end()


class _Gone(Exception):
    """The browser has left, its connection broke, or it reads nothing."""


class _Stuck(Exception):
    """The browser's connection stands, and takes nothing."""


class _Outlet:
    """The response, as the server takes it; begun with the first piece."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], timeout: float) -> None:
        self._send = send
        self._headers = headers
        self._timeout = timeout
        self._begun = False

    async def write(self, piece: bytes) -> None:
        """Returns when the server has room for more. Raises ``_Gone``."""
        if not self._begun:
            self._begun = True
            await self._tell({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._tell({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        await self._tell({"type": "http.response.body", "body": b""})

    async def _tell(self, message: MutableMapping[str, Any]) -> None:
        with _anyio().move_on_after(self._timeout) as patience:
            try:
                await self._send(message)
            except OSError as error:  # what servers raise when the connection is lost, since version 2.4 of ASGI
                raise _Gone from error
        if patience.cancelled_caught:
            _log("a browser is dropped", _Stuck(f"it has taken nothing for {self._timeout:g} s"))
            raise _Gone


async def _refuse(send: Send, why: str) -> None:
    body = f"{why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _log(what: str, error: Exception) -> None:
    for kind, lines, level in _limiter.over():
        write_line(level, "server-sent events: %d more times: %s", lines, kind)
    level = logging.INFO if isinstance(error, ClosedError) else logging.WARNING
    if _limiter.admit(what, level):
        write_line(level, "server-sent events: %s: %s", what, error)


def _anyio() -> Any:
    try:
        import anyio
    except ModuleNotFoundError:
        raise MissingExtra("server-sent events need anyio: pip install 'streamcore-redis[anyio]'") from None
    return anyio


@cache
def _response_class() -> Callable[[EventStream], Response]:
    from starlette.responses import Response

    class EventStreamResponse(Response):
        def __init__(self, stream: EventStream) -> None:
            super().__init__(media_type="text/event-stream")
            self._stream = stream

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self._stream(scope, receive, send)

    return EventStreamResponse
