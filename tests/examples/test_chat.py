"""The chat, with two clients over HTTP, and with two tabs of a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import httpx
import pytest

from tests.support.browser import Browser, Tab
from tests.support.pages import Parser
from tests.support.proxy import Proxy
from tests.support.web import Web
from transports.embedded import EmbeddedServer

EXAMPLE = "chat"
LINES = "[...document.querySelectorAll('li')].map((item) => item.textContent).join('|')"
STATE = "document.getElementById('state').textContent"
pytestmark = pytest.mark.timeout(120)


class Client(Parser):
    """Somebody in a room, without a browser."""

    def __init__(self, http: httpx.Client, response: httpx.Response) -> None:
        super().__init__()
        self._http = http
        self._pieces = response.iter_raw()

    def say(self, name: str, text: str, room: str = "lobby") -> None:
        answer = self._http.post(f"/rooms/{room}", content=json.dumps({"name": name, "text": text}))
        assert answer.status_code == 201

    def lines(self, count: int) -> list[str]:
        """So many lines, as soon as they are there."""
        while len(self.got) < count:
            self.feed(next(self._pieces))
        return [one.json["text"] for one in self.got]


@contextmanager
def joined(web: Web, room: str = "lobby", last_event_id: str = "") -> Iterator[Client]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    with (
        httpx.Client(base_url=web.url, timeout=30, trust_env=False) as http,
        http.stream("GET", f"/rooms/{room}/events", headers=headers) as response,
    ):
        assert response.status_code == 200
        client = Client(http, response)
        while not client.last_event_id:
            client.feed(next(client._pieces))
        yield client


def test_two_clients_talk_and_a_third_gets_what_was_said(example: ModuleType, server: EmbeddedServer) -> None:
    with Web(example.application(server.url)) as web:
        with joined(web) as ann, joined(web) as bob, joined(web, "elsewhere") as eve:
            ann.say("Ann", "hello")
            bob.say("Bob", "hi\nthere <b>you</b>")
            assert ann.lines(2) == bob.lines(2) == ["hello", "hi\nthere <b>you</b>"]
            last = ann.last_event_id
            eve.say("Eve", "alone", "elsewhere")
            assert eve.lines(1) == ["alone"]
            bob.say("Bob", "are you there?")
            bob.lines(3)
        with joined(web) as late, joined(web, last_event_id=last) as back:
            assert late.lines(3) == ["hello", "hi\nthere <b>you</b>", "are you there?"]
            assert back.lines(1) == ["are you there?"]


def test_what_was_said_survives_a_restart_of_the_application(example: ModuleType, server: EmbeddedServer) -> None:
    for number in range(2):
        with Web(example.application(server.url)) as web, joined(web) as ann:
            ann.say("Ann", str(number))
            assert ann.lines(number + 1) == [str(n) for n in range(number + 1)]


def say(tab: Tab, name: str, text: str) -> None:
    """Fill in the form, and send it."""
    tab.evaluate(
        f"find('name').value = {json.dumps(name)}, find('text').value = {json.dumps(text)}, find('form').requestSubmit()"
    )


def test_two_tabs_talk(example: ModuleType, browser: Browser, server: EmbeddedServer) -> None:
    with Web(example.application(server.url)) as web:
        ann, bob = browser.open(web.url), browser.open(web.url)
        for tab in (ann, bob):
            tab.wait_for(STATE, "in lobby")
        say(ann, "Ann", "hello")
        for tab in (ann, bob):
            tab.wait_for(LINES, "Ann: hello")
        say(bob, "Bob", "<script>document.body.remove()</script>")
        for tab in (ann, bob):
            tab.wait_for(LINES, "Ann: hello|Bob: <script>document.body.remove()</script>")
            tab.close()


def test_a_tab_that_was_cut_off_gets_what_was_said_meanwhile_once(
    example: ModuleType, browser: Browser, server: EmbeddedServer
) -> None:
    with Web(example.application(server.url, retry=0.02)) as web, Proxy(web.address) as proxy:
        ann, bob = browser.open(web.url), browser.open("http://{}:{}".format(*proxy.address))
        for tab in (ann, bob):
            tab.wait_for(STATE, "in lobby")
        expected: list[str] = []
        for number in range(3):
            proxy.refuse()
            proxy.cut()
            bob.wait_for(STATE, "waiting for the server")
            say(ann, "Ann", f"missed {number}")
            expected.append(f"Ann: missed {number}")
            ann.wait_for(LINES, "|".join(expected))
            proxy.accept()
            bob.wait_for(LINES, "|".join(expected))
            say(bob, "Bob", f"back {number}")
            expected.append(f"Bob: back {number}")
            for tab in (ann, bob):
                tab.wait_for(LINES, "|".join(expected))
        ann.close()
        bob.close()
