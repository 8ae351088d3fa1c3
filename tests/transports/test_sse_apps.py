"""Server-sent events in applications of each framework, served by a real server over real sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from tests.support.pages import Parser
from tests.support.raw import Raw
from tests.support.web import Web
from tests.transports.steps import clients
from transports.asyncio import Client, connect
from transports.embedded import EmbeddedServer
from transports.sse import EventStream, stream_events

pytestmark = pytest.mark.timeout(60)
Make = Callable[[Client], EventStream]


def plain(url: str, make: Make) -> Any:
    """ASGI as it is."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            async with connect(url) as application.client:  # type: ignore[attr-defined]  # for the requests
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await make(application.client)(scope, receive, send)  # type: ignore[attr-defined]

    return application


def starlette(url: str, make: Make) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with connect(url) as app.state.client:
            yield

    async def events(request: Request) -> Any:
        return make(request.app.state.client)

    return Starlette(routes=[Route("/events", events)], lifespan=lifespan)


def fastapi(url: str, make: Make) -> Any:
    from fastapi import FastAPI, Response

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with connect(url) as app.state.client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/events")
    async def events() -> Response:
        return make(app.state.client).response()

    return app


def litestar(url: str, make: Make) -> Any:
    from litestar import Litestar, get
    from litestar.datastructures import State
    from litestar.types import ASGIApp

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with connect(url) as app.state.client:
            yield

    @get("/events", sync_to_thread=False)
    def events(state: State) -> ASGIApp:
        return make(state.client)  # type: ignore[return-value]  # its Scope is a TypedDict of its own

    return Litestar([events], lifespan=[lifespan])


@pytest.fixture(params=[plain, starlette, fastapi, litestar], ids=lambda framework: framework.__name__)
def framework(request: pytest.FixtureRequest) -> Callable[[str, Make], Any]:
    chosen: Callable[[str, Make], Any] = request.param
    return chosen


def of_stream(client: Client) -> EventStream:
    return stream_events(client, "s", keep_alive=0.05)


class Visit(Parser):
    """One request of a client over HTTP."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self._pieces = response.iter_raw()

    def read_until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.feed(next(self._pieces))

    def read_until_placed(self) -> None:
        self.read_until(lambda: self.last_event_id)

    def read_until_got(self, count: int) -> None:
        self.read_until(lambda: len(self.got) == count)


@contextmanager
def visiting(address: tuple[str, int], last_event_id: str = "") -> Iterator[Visit]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    url = "http://{}:{}/events".format(*address)
    with httpx.Client(timeout=30, trust_env=False) as http, http.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Visit(response)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_a_client_resumes_in_every_framework(
    framework: Callable[[str, Make], Any], server: EmbeddedServer, raw: Raw
) -> None:
    with Web(framework(server.url, of_stream)) as web:
        seen: list[str] = []
        last = ""
        for n in range(0, 9, 3):
            with visiting(web.address, last) as visit:
                visit.read_until_placed()
                raw("XADD", "s", "*", "n", n)
                visit.read_until_got(3 if n else 1)
                seen += [one.json["n"] for one in visit.got]
                last = visit.last_event_id
            raw("XADD", "s", "*", "n", n + 1)
            raw("XADD", "s", "*", "n", n + 2)
        assert seen == [str(n) for n in range(7)]
        wait_until(lambda: clients(raw, "xread") == [])


def test_a_bad_id_is_a_bad_request_in_every_framework(
    framework: Callable[[str, Make], Any], server: EmbeddedServer, raw: Raw
) -> None:
    with Web(framework(server.url, of_stream)) as web:
        answer = httpx.get(f"{web.url}/events", headers={"Last-Event-ID": "nonsense"}, trust_env=False)
        assert (answer.status_code, "nonsense" in answer.text) == (400, True)
        assert clients(raw, "xread") == []


def of_silent_stream(client: Client) -> EventStream:
    return stream_events(client, "s", keep_alive=3600)


def test_a_client_that_leaves_is_noticed_though_nothing_is_sent(
    framework: Callable[[str, Make], Any], server: EmbeddedServer, raw: Raw
) -> None:
    with Web(framework(server.url, of_silent_stream)) as web:
        for _ in range(3):
            with visiting(web.address) as visit:
                visit.read_until_placed()
                assert len(clients(raw, "xread")) == 1
            wait_until(lambda: clients(raw, "xread") == [])


def test_events_pass_through_middleware_at_once_and_so_does_leaving(server: EmbeddedServer, raw: Raw) -> None:
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = starlette(server.url, of_silent_stream)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    with Web(app) as web:
        with visiting(web.address) as visit:
            visit.read_until_placed()
            raw("XADD", "s", "*", "n", 1)
            visit.read_until_got(1)
        wait_until(lambda: clients(raw, "xread") == [])


def test_a_client_that_does_not_read_costs_little(server: EmbeddedServer, raw: Raw) -> None:
    """100 MB are waiting; what the server of the stream has sent is what fits into the sockets and buffers between."""
    for _ in range(1000):
        raw("XADD", "s", "*", "n", "x" * 100_000)

    def make(client: Client) -> EventStream:
        return stream_events(client, "s", start="0", consumer={"count": 10})

    with Web(plain(server.url, make)) as web, socket.create_connection(web.address) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: _sent(raw) > 1_000_000)
        readings = [0]
        while len(set(readings[-5:])) > 1 or len(readings) < 5:
            time.sleep(0.2)
            readings.append(_sent(raw))
        assert readings[-1] < 40_000_000


def _sent(raw: Raw) -> int:
    return max([int(client["tot-net-out"]) for client in clients(raw)], default=0)


def test_comments_break_the_silence_on_the_wire(server: EmbeddedServer, raw: Raw) -> None:
    """Proxies close connections that are silent for long; they do not know that a comment says nothing."""
    with Web(plain(server.url, of_stream)) as web, visiting(web.address) as visit:
        visit.read_until(lambda: visit.comments >= 5)
        assert visit.got == []


FRAMEWORKS = ("anyio", "fastapi", "litestar", "starlette", "uvicorn")


def test_importing_it_imports_no_framework() -> None:
    script = f"import sys, transports.sse; print([name for name in {FRAMEWORKS} if name in sys.modules])"
    assert printed(script) == "[]"


def test_what_is_not_installed_is_named() -> None:
    without = "import sys; sys.modules['litestar'] = sys.modules['anyio'] = None; "
    backend = without + "import transports.litestar"
    assert "MissingExtra: there is no Litestar here: pip install 'streamcore-redis[litestar]'" in printed(backend)
    stream = without + "from transports.sse.response import _anyio; _anyio()"
    assert "pip install 'streamcore-redis[anyio]'" in printed(stream)


def printed(script: str) -> str:
    """The last line that a program of its own has written."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    return (done.stdout + done.stderr).strip().splitlines()[-1]
