"""A chat in one file: Litestar's channels on our backend, pages that are fed by server-sent events, and a server of its own.

    pip install 'streamcore-redis[embedded,litestar]' uvicorn
    python docs/examples/chat.py

Open the address that it prints in two tabs. Whoever comes gets the last lines of the room first. Pull the plug of one tab, say
something in the other, and plug it in again: nothing is missing, and nothing comes twice.
"""

from __future__ import annotations

from typing import Any

import uvicorn
from litestar import Litestar, MediaType, Request, get, post
from litestar.channels import ChannelsPlugin
from litestar.params import FromPath
from litestar.types import ASGIApp

from transports.embedded import EmbeddedServer
from transports.litestar import StreamChannelsBackend
from transports.sse import channel_events

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Chat</title>
<style>
  body { font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 2rem auto; }
  #lines { list-style: none; padding: 0; }
  #state { color: gray; }
</style>
<p id="state">connecting</p>
<ul id="lines"></ul>
<form id="form">
  <input id="name" placeholder="name" value="anonymous" required>
  <input id="text" placeholder="say something" autocomplete="off" required>
  <button>Say</button>
</form>
<script>
  const room = location.hash.slice(1) || "lobby";
  const find = (id) => document.getElementById(id);
  const show = (text) => {
    const item = document.createElement("li");
    item.textContent = text;  // never as HTML: others have written it
    find("lines").append(item);
  };
  const source = new EventSource(`/rooms/${room}/events`);
  source.onopen = () => { find("state").textContent = `in ${room}`; };
  source.onerror = () => { find("state").textContent = "waiting for the server"; };
  source.onmessage = (event) => {
    const { name, text } = JSON.parse(event.data);
    show(`${name}: ${text}`);
  };
  source.addEventListener("gap", () => show("(some lines are too old to be shown)"));
  find("form").onsubmit = async (event) => {
    event.preventDefault();
    const line = { name: find("name").value, text: find("text").value };
    find("text").value = "";
    await fetch(`/rooms/${room}`, { method: "POST", body: JSON.stringify(line) });
  };
</script>
"""


def application(url: str, *, retry: float = 2.0) -> Litestar:
    """Rooms are channels, kept for a day after their last line; pages come back after ``retry`` seconds."""
    backend = StreamChannelsBackend(history=50, url=url, key_prefix="chat", stream_ttl=24 * 3600 * 1000)
    plugin = ChannelsPlugin(backend, arbitrary_channels_allowed=True)

    @get("/", media_type=MediaType.HTML)
    async def page() -> str:
        return PAGE

    @get("/rooms/{room:str}/events")
    async def events(room: FromPath[str]) -> ASGIApp:
        return channel_events(backend.channels, room, history=50, retry=retry)

    @post("/rooms/{room:str}")
    async def say(room: FromPath[str], request: Request[Any, Any, Any]) -> None:
        line = await request.json()
        await plugin.wait_published({"name": str(line["name"])[:40], "text": str(line["text"])[:1000]}, room)

    return Litestar([page, events, say], plugins=[plugin])


if __name__ == "__main__":
    with EmbeddedServer() as server:
        uvicorn.run(application(server.url), timeout_graceful_shutdown=1)
