"""Server-sent events: a page that follows a stream, and loses nothing while its connection breaks and comes back.

    pip install 'streamcore-redis[anyio,embedded]' starlette uvicorn
    python docs/examples/ticker.py

Open the address that it prints. Switch the network off and on, or put the machine to sleep: the numbers go on without a hole.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from transports.asyncio import Client, connect
from transports.embedded import EmbeddedServer
from transports.sse import stream_events

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Ticker</title>
<p id="state">connecting</p>
<ol id="prices"></ol>
<script>
  const seen = [];
  const state = document.getElementById("state");
  const source = new EventSource("/events");
  source.onopen = () => { state.textContent = "live"; };
  source.onerror = () => { state.textContent = "waiting for the server"; };
  source.onmessage = (event) => {
    const { n, price } = JSON.parse(event.data);
    seen.push(Number(n));
    const item = document.createElement("li");
    item.textContent = `${n}: ${price}`;
    document.getElementById("prices").prepend(item);
  };
  source.addEventListener("gap", (event) => {
    state.textContent = `missed: ${JSON.parse(event.data).entries ?? "some"}`;
  });
</script>
"""


def application(url: str, *, pause: float = 0.5, retry: float = 2.0) -> Starlette:
    """A price every ``pause`` seconds; browsers come back after ``retry`` seconds."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with connect(url) as client:
            app.state.client = client
            quoting = asyncio.create_task(quote(client))
            yield
            quoting.cancel()
            with suppress(asyncio.CancelledError):
                await quoting

    async def quote(client: Client) -> None:
        n = 0
        while True:
            n += 1
            fields = {"n": str(n), "price": f"{random.gauss(100, 5):.2f}"}
            await client.xadd("prices", fields, maxlen=100_000)
            await asyncio.sleep(pause)

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    async def events(request: Request):
        return stream_events(request.app.state.client, "prices", retry=retry)

    return Starlette(routes=[Route("/", page), Route("/events", events)], lifespan=lifespan)


if __name__ == "__main__":
    with EmbeddedServer() as server:
        uvicorn.run(application(server.url), timeout_graceful_shutdown=1)
