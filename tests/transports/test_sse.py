"""Streams as server-sent events, on every async runtime: what a page gets, what it gets when it comes back, and how it leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamcore.entries import Entry, StreamId
from streamcore.errors import InvalidArgument
from tests.support.pages import Page
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime, Task
from tests.transports.steps import clients, entered
from transports._facade.logs import Limiter
from transports.embedded import EmbeddedServer
from transports.sse import BadLastEventId, EventStream, ServerSentEvent, last_event_id, stream_events

pytestmark = pytest.mark.runtimes("async")


def add(raw: Raw, *values: object) -> list[str]:
    """Append entries; their ids."""
    return [raw("XADD", "s", "*", "n", str(value)).decode() for value in values]


def numbers(page: Page) -> list[int]:
    return [int(one.json["n"]) for one in page.got if one.event == "message"]


async def begun(runtime: Runtime, page: Page) -> None:
    await runtime.until(lambda: page.pieces)


async def got(runtime: Runtime, page: Page, count: int) -> None:
    await runtime.until(lambda: len(page.got) == count)


async def shown(runtime: Runtime, page: Page, expected: list[int]) -> None:
    await runtime.until(lambda: numbers(page) == expected)


async def ended(runtime: Runtime, visits: list[Task[None]]) -> None:
    await runtime.until(lambda: all(visit.finished for visit in visits))


async def test_entries_reach_the_page_with_their_ids(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    old = add(raw, 0)
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", retry=0.25))
        await begun(runtime, page)
        assert page.status == 200
        assert page.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (page.headers["cache-control"], page.headers["x-accel-buffering"]) == ("no-store", "no")
        assert (page.retry, page.last_event_id) == (250, old[-1])
        ids = add(raw, 1, 2, 3)
        await runtime.until(lambda: len(page.got) == 3)
        assert [(one.json, one.event, one.id) for one in page.got] == [
            ({"n": str(n)}, "message", id_) for n, id_ in enumerate(ids, 1)
        ]
        page.leave()


@pytest.mark.every_server
async def test_a_page_that_comes_back_goes_on_behind_its_last_event(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        events = stream_events(client, "s")
        seen: list[int] = []
        last: str | None = None
        for visit in range(4):
            page = Page(runtime, last_event_id=last)
            tasks.start(page.visit, events)
            await begun(runtime, page)
            add(raw, 3 * visit + 1)
            await got(runtime, page, 3 if visit else 1)
            page.leave()
            await runtime.until(lambda: clients(raw, "xread") == [])
            seen += numbers(page)
            last = page.last_event_id
            add(raw, 3 * visit + 2, 3 * visit + 3)
        assert seen == list(range(1, 11))


async def test_a_page_that_has_had_nothing_yet_misses_nothing_either(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """Its first block has an id and no data: without that it would begin at the end again."""
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        events = stream_events(client, "s")
        first = Page(runtime)
        tasks.start(first.visit, events)
        await begun(runtime, first)
        first.leave()
        add(raw, 1, 2)
        second = Page(runtime, last_event_id=first.last_event_id)
        tasks.start(second.visit, events)
        await runtime.until(lambda: numbers(second) == [1, 2])
        second.leave()
        assert (first.got, first.last_event_id) == ([], "0-0")


async def test_the_header_wins_over_the_query_and_that_over_the_start(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, 0, 1, 2, 3)
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s", start="0")
        pages = [
            (Page(runtime), [0, 1, 2, 3]),
            (Page(runtime, query=f"x=1&lastEventId={ids[1]}"), [2, 3]),
            (Page(runtime, query=f"lastEventId={ids[1]}", last_event_id=ids[2]), [3]),
            (Page(runtime, query="lastEventId="), [0, 1, 2, 3]),
            (Page(runtime, last_event_id=""), [0, 1, 2, 3]),
        ]
        async with runtime.tasks() as tasks:
            for page, expected in pages:
                tasks.start(page.visit, events)
                await shown(runtime, page, expected)
                page.leave()


@pytest.mark.parametrize("given", ["nonsense", "1-2-3", "-", "1-x", "99999999999999999999-0", "$", "-1", "1_0"])
async def test_an_id_that_cannot_be_ours_is_a_bad_request(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, given: str
) -> None:
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s")
        for page in (Page(runtime, last_event_id=given), Page(runtime, query=f"lastEventId={given}")):
            await page.visit(events)
            assert (page.status, page.ended) == (400, True)
            assert given[:40] in page.body.decode()
            with pytest.raises(BadLastEventId):
                last_event_id(page.scope)
        unasked = Page(runtime, query=f"lastEventId={given}")
        assert last_event_id(unasked.scope, parameter=None) is None
        assert clients(raw, "xread") == []


async def test_data_of_any_form_arrives_whole(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    given = [
        "a\nb",
        "a\r\nb",
        "a\rb",
        "\n",
        "",
        " leading",
        "trailing ",
        "a\n\nb",
        "data: x\n\nid: 7",
        ":",
        "\u2028\x0b\x85x",
        "☃",
        "\ufeffx",
    ]
    shown = [text.replace("\r\n", "\n").replace("\r", "\n") for text in given]  # the format has one end of a line
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page, bare = Page(runtime), Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", encode=lambda entry: entry["n"].decode(), start="0"))
        tasks.start(bare.visit, stream_events(client, "s", encode=lambda entry: entry["n"], start="0"))
        ids = add(raw, *given)
        for one in (page, bare):
            await got(runtime, one, len(given))
            assert [one.data for one in one.got] == shown
            assert [one.id for one in one.got] == ids
            one.leave()


async def test_bytes_that_are_no_text_do_not_stop_the_stream(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("XADD", "s", "*", b"\xff", b"a\xfeb")
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", start="0"))
        await runtime.until(lambda: page.got)
        assert page.got[0].json == {"\ufffd": "a\ufffdb"}
        page.leave()


async def test_an_encoder_chooses_names_data_and_what_is_passed_over(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    def encode(entry: Entry[bytes]) -> ServerSentEvent | str | None:
        n = int(entry["n"])
        if n % 2:
            return None
        return str(n) if n else ServerSentEvent("zero", event="special", id="ignored")

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", encode=encode, event="number", start="0", keep_alive=0.05))
        await begun(runtime, page)
        ids = add(raw, 0, 1, 2, 3)
        await runtime.until(lambda: page.last_event_id == ids[3])  # told in a moment of silence
        assert [(one.event, one.data, one.id) for one in page.got] == [
            ("special", "zero", ids[0]),
            ("number", "2", ids[2]),
        ]
        page.leave()


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
async def test_a_name_that_would_break_the_format_is_refused(
    runtime: Runtime, server: EmbeddedServer, value: str
) -> None:
    with pytest.raises(InvalidArgument, match="event"):
        ServerSentEvent("x", event=value)
    with pytest.raises(InvalidArgument, match="id"):
        ServerSentEvent("x", id=value)
    async with runtime.connect(server.url) as client:
        with pytest.raises(InvalidArgument, match="event"):
            stream_events(client, "s", event=value)
        with pytest.raises(InvalidArgument, match="event"):
            stream_events(client, "s", gap_event=value)


async def test_silence_is_broken_by_comments_only(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", keep_alive=0.02))
        await runtime.until(lambda: page.comments >= 3)
        assert page.got == []
        page.leave()


@pytest.mark.every_server
async def test_what_was_trimmed_before_the_page_came_back_is_an_event(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, *range(10))
    raw("XTRIM", "s", "MAXLEN", 3)
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s")
        page, empty = Page(runtime, last_event_id=ids[2]), Page(runtime, last_event_id="0-0")
        async with runtime.tasks() as tasks:
            for one in (page, empty):
                tasks.start(one.visit, events)
                await shown(runtime, one, [7, 8, 9])
                one.leave()
        assert [one.event for one in page.got] == ["gap", "message", "message", "message"]
        assert page.got[0].json["after"] == ids[2]
        assert page.got[0].json["rewound"] is False
        assert empty.got[0].json == {"after": "0-0", "before": ids[7], "entries": 7, "rewound": False}
        assert page.got[0].id == ids[2], "a gap moves the page's place nowhere"


@pytest.mark.every_server
async def test_a_stream_that_begins_anew_under_a_page_is_told_and_read_from_its_beginning(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("XADD", "s", "5-0", "n", "0")
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page, silent = Page(runtime), Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", consumer={"block": 0.05}))
        tasks.start(silent.visit, stream_events(client, "s", gap_event=None, consumer={"block": 0.05}))
        await begun(runtime, page)
        await begun(runtime, silent)
        raw("DEL", "s")
        raw("XADD", "s", "3-0", "n", "1")
        await shown(runtime, page, [1])
        assert (page.got[0].event, page.got[0].json["rewound"], page.got[0].id) == ("gap", True, "0-0")
        await shown(runtime, silent, [1])
        assert [one.event for one in silent.got] == ["message"]
        page.leave()
        silent.leave()


async def test_leaving_closes_everything_at_once(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s")
        for _ in range(5):
            pages = [Page(runtime) for _ in range(4)]
            async with runtime.tasks() as tasks:
                visits = [tasks.start(page.visit, events) for page in pages]
                for page in pages:
                    await begun(runtime, page)
                await runtime.until(lambda: len(clients(raw, "xread")) == 4)
                for page in pages:
                    page.leave()
                await ended(runtime, visits)
            await runtime.until(lambda: clients(raw, "xread") == [])


async def test_a_cancelled_request_closes_everything(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        visit = tasks.start(page.visit, stream_events(client, "s"))
        await runtime.until(lambda: len(clients(raw, "xread")) == 1)
        visit.cancel()
        await runtime.until(lambda: visit.finished and clients(raw, "xread") == [])


async def test_a_server_that_raises_because_the_browser_has_left_ends_it(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    def broken() -> None:
        raise BrokenPipeError

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        visit = tasks.start(page.visit, stream_events(client, "s"))
        await begun(runtime, page)
        page.on_send = broken
        add(raw, 1)
        await visit.result()
        await runtime.until(lambda: clients(raw, "xread") == [])


async def test_a_slow_browser_is_read_for_no_further(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """40 MB are waiting; what is fetched for the page stays below a few."""
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        taken = 0

        def encode(entry: Entry[bytes]) -> bytes:
            nonlocal taken
            taken += 1
            return entry["n"]

        tasks.start(page.visit, stream_events(client, "s", encode=encode, start="0"))
        await begun(runtime, page)
        page.stall()
        for _ in range(4000):
            raw.send("XADD", "s", "*", "n", "x" * 10_000)
        for _ in range(4000):
            raw.read()
        await runtime.until(lambda: taken >= 7)  # 64 KiB, and one more that waits for room
        for _ in range(20):
            await runtime.sleep(0.005)
        assert taken < 20
        assert max(int(client["tot-net-out"]) for client in clients(raw)) < 8_000_000
        page.go_on()
        await runtime.until(lambda: len(page.got) == 4000)
        assert max(map(len, page.pieces)) < 100_000
        page.leave()


async def test_many_entries_leave_in_few_pieces(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        for n in range(3000):
            raw.send("XADD", "s", "*", "n", n)
        for _ in range(3000):
            raw.read()
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s", start="0"))
        await runtime.until(lambda: len(page.got) == 3000)
        assert numbers(page) == list(range(3000))
        page.leave()


async def test_a_lost_connection_to_the_server_is_not_noticed_by_the_page(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy, raw: Raw
) -> None:
    async with runtime.connect(proxy.url) as client, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, stream_events(client, "s"))
        await begun(runtime, page)
        for n in range(0, 20, 2):
            proxy.cut()
            add(raw, n, n + 1)
        await runtime.until(lambda: numbers(page) == list(range(20)))
        assert not page.ended
        page.leave()


async def test_without_a_server_the_browser_is_told_to_come_back(
    runtime: Runtime,
    server: EmbeddedServer,
    proxy: Proxy,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any status but 200 would end an EventSource for good."""
    monkeypatch.setattr("transports.sse.response._limiter", Limiter(lambda: 0.0, lines=2))
    async with entered(lambda: runtime.connect(proxy.url, request_timeout=0.2)) as client:
        events = stream_events(client, "s", retry=1)
        proxy.refuse()
        proxy.cut()
        page = Page(runtime)
        await page.visit(events)
        assert (page.status, page.ended, page.body) == (200, True, b"retry: 1000\n\n")
        await Page(runtime).visit(events)
        await Page(runtime).visit(events)
        assert log.text.count("no source") == 2
        monkeypatch.setattr("transports.sse.response._limiter._clock", lambda: 11.0)
        await Page(runtime).visit(events)
        assert "1 more times: no source" in log.text
    closed = Page(runtime)
    await closed.visit(events)
    assert (closed.status, closed.ended) == (200, True)


async def test_closing_the_client_ends_the_answers(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """So that a server which waits for open requests can be shut down; the browsers come back to the next one."""
    async with runtime.tasks() as tasks:
        client = runtime.connect(server.url)
        await client.__aenter__()
        page = Page(runtime)
        visit = tasks.start(page.visit, stream_events(client, "s"))
        await begun(runtime, page)
        await client.aclose()
        await visit.result()
        assert page.ended


async def test_an_error_of_the_encoder_is_raised_as_it_is(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    def encode(entry: Entry[bytes]) -> str:
        if entry["n"] == b"2":
            raise ZeroDivisionError
        return "fine"

    add(raw, 1, 2, 3)
    async with runtime.connect(server.url) as client:
        page = Page(runtime)
        with pytest.raises(ZeroDivisionError):
            await page.visit(stream_events(client, "s", encode=encode, start="0"))
        assert [one.data for one in page.got] == ["fine"]
        assert not page.ended, "an answer that is cut off is not ended in order"
        assert clients(raw, "xread") == []


async def test_a_wrong_key_is_an_error_before_the_answer_begins(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("SET", "text", "x")
    async with runtime.connect(server.url) as client:
        page = Page(runtime)
        with pytest.raises(Exception, match="WRONGTYPE"):
            await page.visit(stream_events(client, "text", start="$"))
        assert page.status is None


async def test_only_http_is_answered_and_head_has_no_body(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        events = stream_events(client, "s", headers={"Access-Control-Allow-Origin": "*"})
        head = Page(runtime, method="HEAD")
        await head.visit(events)
        assert (head.status, head.body, head.headers["access-control-allow-origin"]) == (200, b"", "*")
        other = Page(runtime)
        other.scope["type"] = "websocket"
        with pytest.raises(InvalidArgument, match="websocket"):
            await other.visit(events)


async def test_arguments_are_checked_where_they_are_given(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        wrong: list[dict[str, Any]] = [{"start": "nonsense"}, {"retry": -1}, {"keep_alive": 0}]
        for options in wrong:
            with pytest.raises(InvalidArgument):
                stream_events(client, "s", **options)
        with pytest.raises(InvalidArgument, match="stream"):
            stream_events(client, "")


async def test_any_source_may_be_told(runtime: Runtime) -> None:
    """One of the application's own needs no server at all."""

    class Count:
        @asynccontextmanager
        async def open(self, after: StreamId | None) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
            yield self.events(after)

        async def events(self, after: StreamId | None) -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(id="0-0")
            for n in range(0 if after is None else after.seq + 1, 5):
                yield ServerSentEvent(json.dumps(n), id=f"0-{n}")

    page = Page(runtime, last_event_id="0-1")
    await page.visit(EventStream(Count()))
    assert [one.json for one in page.got] == [2, 3, 4]
    assert page.ended
