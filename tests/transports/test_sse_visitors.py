"""Visitors of pages with server-sent events may say anything, and read nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamcore.entries import Entry
from streamcore.errors import InvalidArgument
from tests.support.pages import Got, Page
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import clients
from transports._facade.logs import Limiter
from transports.embedded import EmbeddedServer
from transports.sse import EventStream, ServerSentEvent, channel_events, stream_events

pytestmark = pytest.mark.runtimes("async")

AHEAD = ["18446744073709551615-18446744073709551615", "99999999999999-0", "8-1"]


def add(raw: Raw, *ids: str) -> None:
    for id_ in ids:
        raw("XADD", "s", id_, "n", id_)


def seen(page: Page) -> list[str]:
    return [one.json["n"] for one in page.got if one.event == "message"]


def gaps(page: Page) -> list[Got]:
    return [one for one in page.got if one.event == "gap"]


@asynccontextmanager
async def visiting(runtime: Runtime, events: EventStream, last_event_id: str) -> AsyncIterator[Page]:
    page = Page(runtime, last_event_id=last_event_id)
    async with runtime.tasks() as tasks:
        tasks.start(page.visit, events)
        await runtime.until(lambda: page.pieces)
        yield page
        page.leave()


# -- where they go on --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.every_server
async def test_an_id_ahead_of_the_stream_begins_at_its_end(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, ahead: str
) -> None:
    add(raw, "5-0", "8-0")
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s")
        async with visiting(runtime, events, ahead) as page:
            add(raw, "9-0")
            await runtime.until(lambda: seen(page) == ["9-0"])
            [gap] = gaps(page)
            assert gap.json == {"after": ahead, "before": None, "entries": None, "rewound": True}
            assert gap.id == "8-0", "it is told once: the page has come to another place"


async def test_of_a_channel_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        [last] = [id_ for n in range(5) for id_ in await channels.publish(f"old {n}", "room")][-1:]
        events = channel_events(channels, "room", history=3)
        async with visiting(runtime, events, AHEAD[0]) as page:
            await channels.publish("new", "room")
            await runtime.until(lambda: [one.data for one in page.got if one.event == "message"] == ["new"])
            [gap] = gaps(page)
            assert (gap.json["rewound"], gap.id) == (True, str(last))


async def test_an_id_of_a_stream_that_is_gone_begins_with_what_comes(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, visiting(runtime, stream_events(client, "s"), "5-0") as page:
        add(raw, "1-0")
        await runtime.until(lambda: seen(page) == ["1-0"])
        assert len(gaps(page)) == 1


@pytest.mark.parametrize(
    ("oldest", "expected", "told"),
    [
        (None, ["2-0", "3-0", "4-0"], 0),
        ("0", ["2-0", "3-0", "4-0"], 0),
        ("1-0", ["2-0", "3-0", "4-0"], 0),
        ("2-0", ["3-0", "4-0"], 1),
        (3, ["3-0", "4-0"], 1),
        (datetime.fromtimestamp(0.003, UTC), ["3-0", "4-0"], 1),
        ("3-5", ["4-0"], 1),
        ("4-0", [], 1),
        ("7-0", [], 1),
        (timedelta(hours=1), [], 1),
    ],
    ids=str,
)
async def test_nobody_comes_back_to_what_is_older_than_the_application_allows(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, oldest: Any, expected: list[str], told: int
) -> None:
    add(raw, "1-0", "2-0", "3-0", "4-0")
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s", oldest=oldest)
        async with visiting(runtime, events, "1-0") as page:
            add(raw, "9-0")
            await runtime.until(lambda: seen(page) == [*expected, "9-0"])
            assert len(gaps(page)) == told
            assert all(gap.json["rewound"] is False and gap.json["after"] == "1-0" for gap in gaps(page))


async def test_of_a_channel_they_do_not_either(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        ids = [id_ for n in range(4) for id_ in await channels.publish(f"{n}", "room")]
        events = channel_events(channels, "room", oldest=ids[1])
        async with visiting(runtime, events, "0-1") as page:
            await runtime.until(lambda: [one.data for one in page.got if one.event == "message"] == ["2", "3"])
            assert len(gaps(page)) == 1
        async with visiting(runtime, events, str(ids[2])) as page:
            await runtime.until(lambda: [one.data for one in page.got] == ["3"])


async def test_where_nothing_came_since_nothing_is_missed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """An idle stream: a page comes back after days, its place is older than is allowed, and nothing lies between."""
    async with runtime.connect(server.url) as client:
        for oldest in ("9-0", timedelta(hours=1)):
            raw("DEL", "s")
            add(raw, "1-0", "4-0")
            async with visiting(runtime, stream_events(client, "s", oldest=oldest), "4-0") as page:
                raw("XADD", "s", "*", "n", "new")
                await runtime.until(lambda page=page: seen(page) == ["new"])  # type: ignore[misc]
                assert gaps(page) == []


@pytest.mark.parametrize("oldest", ["nonsense", -5, timedelta(0), timedelta(seconds=-1), 1.5, datetime(2026, 1, 1)])  # noqa: DTZ001
async def test_a_bound_that_makes_no_sense(runtime: Runtime, server: EmbeddedServer, oldest: Any) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        with pytest.raises(InvalidArgument, match="oldest"):
            stream_events(client, "s", oldest=oldest)
        with pytest.raises(InvalidArgument, match="oldest"):
            channel_events(channels, "room", oldest=oldest)


# -- who never reads ---------------------------------------------------------------------------------------------------


async def test_a_browser_that_takes_nothing_is_dropped(
    runtime: Runtime,
    server: EmbeddedServer,
    raw: Raw,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.sse.response._limiter", Limiter(lambda: 0.0))
    async with runtime.connect(server.url) as client, client.channels() as channels, runtime.tasks() as tasks:
        page, silent, healthy = Page(runtime), Page(runtime), Page(runtime)
        visits = [
            tasks.start(page.visit, stream_events(client, "s", send_timeout=1)),
            tasks.start(silent.visit, channel_events(channels, "room", send_timeout=1, keep_alive=0.02)),
        ]
        tasks.start(healthy.visit, stream_events(client, "s", send_timeout=1))
        for one in (page, silent, healthy):
            await runtime.until(lambda one=one: one.pieces)  # type: ignore[misc]
        page.stall()
        silent.stall()  # for it there are only comments
        add(raw, "1-0")
        await runtime.until(lambda: all(visit.finished for visit in visits))
        for visit in visits:
            await visit.result()
        assert not page.ended, "the answer is cut off: the browser comes back"
        await runtime.until(lambda: seen(healthy) == ["1-0"] and len(clients(raw, "xread")) == 1 + 1)  # the hub's, too
        assert "a browser is dropped: it has taken nothing for 1 s" in log.text
        healthy.leave()


async def test_little_is_read_ahead_for_a_browser_that_never_reads(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """100 entries of 100 kB wait; what is fetched for the page is not two replies of 100 entries."""
    for _ in range(100):
        raw("XADD", "s", "*", "n", "x" * 100_000)
    made = 0

    def encode(entry: Entry[bytes]) -> bytes:
        nonlocal made
        made += 1
        return entry["n"]

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)

        def stall_behind_the_first_piece() -> None:
            if page.status is not None:
                page.stall()

        page.on_send = stall_behind_the_first_piece
        tasks.start(page.visit, stream_events(client, "s", start="0", encode=encode, buffer_bytes=1000))
        await runtime.until(lambda: made >= 2)
        for _ in range(20):
            await runtime.sleep(0.005)
        assert made <= 8
        assert sum(int(client["tot-net-out"]) for client in clients(raw)) < 4_000_000
        page.on_send = lambda: None
        page.go_on()
        await runtime.until(lambda: len(page.got) == 100)
        page.leave()


async def test_browsers_that_never_read_share_the_messages_of_a_channel(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels, runtime.tasks() as tasks:
        await channels.publish("first", "room")
        before = len(clients(raw))
        pages = [Page(runtime) for _ in range(20)]
        for page in pages:
            tasks.start(page.visit, channel_events(channels, "room", queue_bytes=300_000))
            await runtime.until(lambda page=page: page.pieces)  # type: ignore[misc]
            page.stall()
        for _ in range(40):
            await channels.publish(bytes(100_000), "room")
        for _ in range(20):
            await runtime.sleep(0.005)
        sent = sum(int(one["tot-net-out"]) for one in clients(raw))
        assert sent < 20_000_000, "20 browsers have 4 MB before them, and take none of it"
        assert len(clients(raw)) <= before + 2
        for page in pages:
            page.go_on()
            await runtime.until(lambda page=page: len(page.got) == 40)  # type: ignore[misc]
            page.leave()


# -- what would break the format ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "a\nb"},
        {"event": "a\rb"},
        {"event": "a\0b"},
        {"event": "a\ud800b"},
        {"event": b"a"},
        {"id": "1\n2"},
        {"id": "1\ud800"},
        {"id": 5},
        {"retry": float("nan")},
        {"retry": float("inf")},
        {"retry": -1},
        {"retry": "1\ndata: x"},
        {"data": 5},
        {"data": {"a": 1}},
        {"data": ["a"]},
    ],
    ids=str,
)
async def test_an_event_is_refused_where_it_is_made(runtime: Runtime, server: EmbeddedServer, wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        ServerSentEvent(**wrong)
    if "data" in wrong:
        async with runtime.connect(server.url) as client:
            await client.xadd("s", {"n": 1})
            page = Page(runtime)
            with pytest.raises(InvalidArgument, match=r"data must be text, bytes or None, not \w+; encode\(\)"):
                await page.visit(stream_events(client, "s", start="0", encode=lambda _: wrong["data"]))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-evil": "a\r\nset-cookie: pwned=1"},
        {"x-evil": "a\nb"},
        {"x-evil": "a\0b"},
        {"x-evil": "☃"},
        {"x evil": "a"},
        {"x-evil:": "a"},
        {"": "a"},
        {"x\r\nevil": "a"},
        {"é": "a"},
        {"Content-Type": "text/html"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=str,
)
async def test_headers_that_would_break_the_answer(
    runtime: Runtime, server: EmbeddedServer, headers: dict[str, str]
) -> None:
    async with runtime.connect(server.url) as client:
        with pytest.raises(InvalidArgument, match="header"):
            stream_events(client, "s", headers=headers)


async def test_headers_of_the_application_win_over_ours(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        head = Page(runtime, method="HEAD")
        await head.visit(stream_events(client, "s", headers={"Cache-Control": "no-cache", "X-Name": "ä\tb"}))
        assert head.headers["cache-control"] == "no-cache"
        assert head.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("given", ["1-2\r\nid:9", "9" * 5000, "1-2\0", "１-２"])  # noqa: RUF001  # digits of another script
async def test_an_id_that_breaks_lines_is_shown_by_nobody(runtime: Runtime, server: EmbeddedServer, given: str) -> None:
    async with runtime.connect(server.url) as client:
        page = Page(runtime, last_event_id=given)
        await page.visit(stream_events(client, "s"))
        assert page.status == 400
        assert b"\r" not in page.body
        assert page.body.count(b"\n") == 1
        assert len(page.body) < 200
