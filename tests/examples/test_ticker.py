"""The page of server-sent events, as a browser shows it."""

from __future__ import annotations

import time
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from tests.support.browser import Browser, Tab
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.web import Web
from transports.embedded import EmbeddedServer

EXAMPLE = "ticker"
pytestmark = pytest.mark.timeout(120)


def numbers(tab: Tab) -> list[int]:
    seen: list[int] = tab.evaluate("seen")
    return seen


def wait_for_more(tab: Tab, than: int = 0) -> list[int]:
    tab.wait_for(f"seen.length > {than}")
    return numbers(tab)


def test_the_page_shows_every_price_in_order(example: ModuleType, browser: Browser, server: EmbeddedServer) -> None:
    with Web(example.application(server.url, pause=0.01)) as web:
        tab = browser.open(web.url)
        seen = wait_for_more(tab, 20)
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert tab.evaluate("document.getElementById('state').textContent") == "live"
        assert tab.evaluate("document.querySelectorAll('li').length") >= len(seen)
        tab.close()


def test_a_browser_comes_back_and_misses_nothing(example: ModuleType, browser: Browser, server: EmbeddedServer) -> None:
    """The connection is cut ten times, in the middle of what is sent: nothing is missing, and nothing comes twice."""
    with (
        Web(example.application(server.url, pause=0.005, retry=0.02)) as web,
        Proxy(web.address) as proxy,
    ):
        tab = browser.open("http://{}:{}".format(*proxy.address))
        for number in range(10):
            before = len(wait_for_more(tab, 0))
            proxy.cut(hard=number % 2 == 1)
            tab.wait_for(f"seen.length > {before + 10}")
        seen = numbers(tab)
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert proxy.accepted >= 11
        tab.close()


def test_a_browser_that_was_away_before_the_first_event_misses_nothing(
    example: ModuleType, browser: Browser, server: EmbeddedServer
) -> None:
    with (
        Web(example.application(server.url, pause=3600, retry=0.02)) as web,
        Proxy(web.address) as proxy,
        Raw(server.address) as raw,
    ):
        wait_until(lambda: raw("XLEN", "prices"))
        tab = browser.open("http://{}:{}".format(*proxy.address))
        tab.wait_for("document.getElementById('state').textContent", "live")
        wait_until(lambda: [line for line in raw("CLIENT", "LIST").splitlines() if b"cmd=xread" in line])
        time.sleep(0.5)  # the browser reads where its stream begins, and shows nothing of that
        proxy.refuse()
        proxy.cut()
        tab.wait_for("document.getElementById('state').textContent", "waiting for the server")
        for n in (101, 102, 103):
            raw("XADD", "prices", "*", "n", n, "price", "1")
        assert numbers(tab) == []
        proxy.accept()
        tab.wait_for("JSON.stringify(seen)", "[101,102,103]")
        tab.close()


def test_what_was_trimmed_while_the_browser_was_away_is_told(
    example: ModuleType, browser: Browser, server: EmbeddedServer
) -> None:
    with (
        Web(example.application(server.url, pause=3600, retry=0.02)) as web,
        Proxy(web.address) as proxy,
        Raw(server.address) as raw,
    ):
        wait_until(lambda: raw("XLEN", "prices"))
        tab = browser.open("http://{}:{}".format(*proxy.address))
        for n in count(100):
            raw("XADD", "prices", "*", "n", n, "price", "1")
            if numbers(tab):
                break
            time.sleep(0.01)
        proxy.refuse()
        proxy.cut()
        tab.wait_for("document.getElementById('state').textContent", "waiting for the server")
        for n in range(1000, 1010):
            raw("XADD", "prices", "MAXLEN", "=", 4, "*", "n", n, "price", "1")
        tab.evaluate("source.addEventListener('gap', (event) => { window.gap = JSON.parse(event.data); })")
        proxy.accept()
        tab.wait_for("seen.slice(-4).join()", "1006,1007,1008,1009")
        assert tab.evaluate("window.gap.rewound") is False
        tab.close()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
