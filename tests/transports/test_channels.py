"""Channels on every runtime: publishing, joining with and without history, slow subscribers, both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamcore import (
    ChannelMessage,
    ClosedError,
    ConcurrentUseError,
    InvalidArgument,
    ReplyError,
    StreamId,
    WrongTypeError,
)
from streamcore.channels import PUBLISH, Subscriber, UnreadableMessage
from streamcore.commands import xadd, xinfo_stream, xlen
from streamcore.events import Connected, Event, Gap, MessagesDropped
from tests.support.raw import Raw
from tests.transports.runtimes import PATIENCE, Runtime
from tests.transports.steps import blocked, clients
from transports.embedded import EmbeddedServer
from transports.memory import MemoryServer


@pytest.fixture
def memory() -> Iterator[MemoryServer]:
    with MemoryServer() as server:
        yield server


async def take(channels: Any, count: int) -> list[tuple[Any, Any]]:
    """The next messages, as pairs of channel and data; fails where one does not come."""
    found: list[tuple[Any, Any]] = []
    for _ in range(count):
        message = await channels.get(timeout=PATIENCE)
        assert message is not None, f"only {found} came"
        found.append((message.channel, message.data))
    return found


async def data(channels: Any, count: int) -> list[Any]:
    """Their data alone."""
    return [content for _, content in await take(channels, count)]


async def nothing(channels: Any) -> None:
    assert await channels.get(timeout=0.05) is None


# -- entering -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["streams", "pubsub"])
async def test_no_connection_is_dialled_for_the_first_to_join(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, kind: Any
) -> None:
    """Else all would be missed that is published meanwhile (case 53)."""
    async with runtime.connect(server.url) as client, client.channels(kind=kind) as channels:
        before = {one["id"] for one in clients(raw)}
        await channels.subscribe("foo")
        assert {one["id"] for one in clients(raw)} == before


# -- publishing and looking back -------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_publishing_needs_nothing_but_the_client(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        channels = client.channels(ttl=60, history=2, retention=3, decode="utf-8")
        ids = [await channels.publish(str(n), ["foo", "FOO", "foo"]) for n in range(4)]
        assert all(len(one) == 2 for one in ids)
        assert raw("XLEN", "channels_foo") == raw("XLEN", "channels_FOO") == 3
        assert 0 < raw("PTTL", "channels_foo") <= 60_000
        assert [str(message.id) for message in await channels.get_history("foo", 3)] == [str(one[0]) for one in ids[1:]]
        assert await channels.get_history("FOO") == [
            ChannelMessage("FOO", "2", ids[2][1]),
            ChannelMessage("FOO", "3", ids[3][1]),
        ]
        assert await channels.get_history("foo", 0) == await channels.get_history("nobody") == []
        assert await channels.publish("x", []) == []
        assert channels.key("foo") == b"channels_foo"


@pytest.mark.every_server
async def test_all_channels_of_a_publication_get_it_or_none(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "channels_b", "no stream")
    async with runtime.connect(server.url) as client:
        with pytest.raises(WrongTypeError):
            await client.channels().publish("x", ["a", "b"])
    assert raw("EXISTS", "channels_a") == 0


@pytest.mark.every_server
async def test_a_question_about_the_key_of_a_channel(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        channels = client.channels()
        await channels.publish("x", "a")
        asked = [xlen(channels.key("a")), xinfo_stream(channels.key("b")), xlen(channels.key("b"))]
        one, refused, none = await channels.pipeline(iter(asked))
        assert (one, type(refused), none) == (1, ReplyError, 0)
        assert await channels.pipeline([]) == []


@pytest.mark.every_server
async def test_flush_all_deletes_the_streams_of_its_prefix_and_no_others(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client:
        strange, other = client.channels(prefix="a[b]*?\\"), client.channels(prefix="ab*?\\")
        for channels in (strange, other):
            for n in range(30):
                await channels.publish("x", f"c{n}")
        raw("SET", "a[b]*?\\_text", "kept")
        assert await strange.flush_all() == 30
        assert await strange.flush_all() == 0
        assert raw("DBSIZE") == 31
        with pytest.raises(InvalidArgument, match="prefix"):
            await client.channels(prefix="").flush_all()


PUBLICATION = ("n-1", "=", 3, 60_000, "data", "x", 1000, 0)


@pytest.mark.every_server
async def test_a_repetition_appends_only_what_is_not_there(
    runtime: Runtime, server: EmbeddedServer, memory: MemoryServer
) -> None:
    """On real servers, and on the one in memory, which runs no Lua: what is asked of both is answered alike."""
    for url in (server.url, memory.url):
        async with runtime.connect(url) as client:
            [id_] = await client.execute(PUBLISH.eval(["a"], ["0", *PUBLICATION]))
            for n in range(2):
                await client.xadd("a", {"data": str(n), "nonce": f"other-{n}"})
            [again, other] = await client.execute(PUBLISH.evalsha(["a", "b"], ["1", *PUBLICATION]))
            assert (again, await client.xlen("a"), await client.xlen("b")) == (id_, 3, 1)
            await client.xadd("a", {"data": "2"}, maxlen=3, approximate=False)
            [late, same] = await client.execute(PUBLISH.evalsha(["a", "b"], ["1", *PUBLICATION]))
            assert (late > id_, same, await client.xlen("a")) == (True, other, 3)  # it had been trimmed away
            assert 0 < (await client.ttl("a") or 0) <= 60


async def test_a_repetition_looks_back_for_so_far_and_no_further(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        plain = ("n-1", "=", 10_000, 0, "data", "x")
        [id_] = await client.execute(PUBLISH.eval(["a"], ["0", *plain, 300, 0]))
        await client.pipeline([xadd("a", {"data": "y"}) for _ in range(299)])
        assert await client.execute(PUBLISH.evalsha(["a"], ["1", *plain, 300, 0])) == [id_]
        await client.xadd("a", {"data": "y"})
        assert await client.execute(PUBLISH.evalsha(["a"], ["1", *plain, 300, 0])) != [id_]


# -- joining ---------------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_history_then_live_without_a_hole_or_a_duplicate(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels(decode="utf-8") as channels:
        for n in range(5):
            await channels.publish(str(n), "room")
        await channels.subscribe("room", history=2)
        await channels.subscribe(["room", b"empty"], history=5)  # the one that it is in already stays as it is
        assert channels.subscriptions == {"room", "empty"}
        await channels.publish("5", ["room", "empty"])
        assert await take(channels, 3) == [("room", "3"), ("room", "4"), ("room", "5")]
        message = await anext(channels)
        assert (message.channel, message.data) == ("empty", "5")
        assert isinstance(message.id, StreamId)
        await nothing(channels)


async def test_joining_while_others_publish(runtime: Runtime, server: EmbeddedServer) -> None:
    """Whatever the moment: the history ends where live begins."""
    stop: list[bool] = []

    async def publish() -> None:
        async with runtime.connect(server.url) as other:
            channels, n = other.channels(), 0
            while not stop:
                await channels.publish(str(n), "room")
                n += 1

    async with runtime.connect(server.url) as client, client.channels() as channels, runtime.tasks() as tasks:
        tasks.start(publish)
        for _ in range(20):
            async with channels.subscriber("room", history=3) as subscriber:
                found = [int(content) for content in await data(subscriber, 20)]
                assert found == list(range(found[0], found[0] + 20))
        stop.append(True)


async def test_no_old_message_comes_to_who_asks_for_none(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        await channels.publish("old", "room")
        await channels.subscribe("room")
        await channels.publish("1", "room")
        async with channels.subscriber("room") as late:
            await nothing(late)
            async with channels.subscriber("room", history=5) as curious:
                assert await data(curious, 2) == [b"old", b"1"]
            await channels.publish("2", "room")
            assert await data(late, 1) == [b"2"]
        assert await data(channels, 2) == [b"1", b"2"]
        await nothing(channels)


@pytest.mark.every_server
async def test_resuming_after_an_id(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.channels(history=1, retention=10) as channels:
        ids = [(await channels.publish(str(n), "room"))[0] for n in range(20)]
        async with channels.subscriber("room", after=str(ids[15])) as here:
            assert await data(here, 4) == [b"16", b"17", b"18", b"19"]
            async with channels.subscriber("room", after=ids[4]) as far:
                items: Any = far.with_events()
                gap = await anext(items)
                assert isinstance(gap, Gap)
                assert (gap.stream, gap.after, gap.before) == (b"channels_room", ids[4], ids[10])
                assert [item.data for item in [await anext(items) for _ in range(10)]] == [
                    b"%d" % n for n in range(10, 20)
                ]
                await channels.publish("20", "room")
                assert await data(here, 1) == await data(far, 1) == [b"20"]
        with pytest.raises(InvalidArgument, match="after"):
            await channels.subscribe("room", after="tomorrow")
        with pytest.raises(InvalidArgument, match="not both"):
            await channels.subscribe("room", after="1-1", history=3)
        assert channels.subscriptions == set()


async def test_the_cursor_is_where_to_go_on(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels(decode="utf-8") as channels:
        ids = [(await channels.publish(str(n), "a"))[0] for n in range(3)]
        await channels.subscribe(["a", "empty"])
        assert channels.cursor() == {"a": ids[2], "empty": StreamId(0, 0)}
        ids += [(await channels.publish(str(n), "a"))[0] for n in range(3, 6)]
        assert await data(channels, 2) == ["3", "4"]
        assert channels.cursor() == {"a": ids[4], "empty": StreamId(0, 0)}
        async with channels.subscriber("a", after=channels.cursor()["a"]) as other:
            assert await data(other, 1) == ["5"]
            assert other.cursor() == {"a": ids[5]}
            await other.unsubscribe("a")
            assert other.cursor() == {}
        async with client.channels(kind="pubsub") as fleeting:
            await fleeting.subscribe("a")
            assert fleeting.cursor() == {}
            assert (channels.kind, fleeting.kind) == ("streams", "pubsub")


async def test_the_history_is_not_the_delivery_buffer(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels(history=1) as channels:
        await channels.subscribe("room")
        for n in range(5):
            await channels.publish(str(n), "room")
        assert await data(channels, 5) == [b"0", b"1", b"2", b"3", b"4"]


async def test_leaving(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        await channels.subscribe(["a", "b"])
        await channels.publish("1", ["a", "b"])
        assert await take(channels, 1) in ([(b"a", b"1")], [(b"b", b"1")])
        await channels.publish("2", ["a", "b"])
        await channels.unsubscribe(["a", "unknown"])
        await channels.publish("3", ["a", "b"])
        rest = await take(channels, 1)
        while rest[-1][1] != b"3":
            rest += await take(channels, 1)
        assert [channel for channel, _ in rest] == [b"b"] * len(rest)
        assert [content for _, content in rest][-2:] == [b"2", b"3"]
        await channels.unsubscribe()
        await channels.unsubscribe()
        assert channels.subscriptions == frozenset()
        await channels.subscribe("a")
        await channels.publish("4", "a")
        assert await take(channels, 1) == [(b"a", b"4")]


async def test_a_refused_channel_leaves_no_trace(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "channels_text", "no stream")
    async with runtime.connect(server.url) as client, client.channels() as channels:
        with pytest.raises(WrongTypeError):
            await channels.subscribe(["a", "text"], history=1)
        assert channels.subscriptions == frozenset()
        await channels.subscribe("a")
        await channels.publish("1", "a")
        assert await data(channels, 1) == [b"1"]


# -- several subscribers, slow ones ------------------------------------------------------------------------------------------


@pytest.mark.runtimes("async", "background")  # between calls, a pumped one reads nothing
async def test_many_subscribers_have_one_reader(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        subscribers = [channels.subscriber([f"c{n}", "all"]) for n in range(20)]
        for subscriber in subscribers:
            await subscriber.__aenter__()
        await blocked(runtime, raw)
        assert len(clients(raw)) <= 4  # commands, the reader, what is beside it, and who interrupts it
        await channels.publish("x", "all")
        for n, subscriber in enumerate(subscribers):
            await channels.publish(str(n), f"c{n}")
            assert await data(subscriber, 2) == [b"x", b"%d" % n]
        for subscriber in subscribers:
            await subscriber.aclose()
            await subscriber.aclose()
        with pytest.raises(ClosedError):
            await subscribers[0].get(timeout=1)


@pytest.mark.every_server
async def test_a_slow_subscriber_catches_up_and_holds_up_nobody(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels(queue_size=10, retention=2000) as channels:
        await channels.subscribe("room")
        async with channels.subscriber("room") as quick:
            for n in range(1000):
                await channels.publish(str(n), "room")
                assert await data(quick, 1) == [b"%d" % n]
        assert await data(channels, 1000) == [b"%d" % n for n in range(1000)]
        await channels.publish("last", "room")
        assert await data(channels, 1) == [b"last"]


@pytest.mark.every_server
async def test_what_is_trimmed_before_a_slow_subscriber_comes_to_it_is_a_counted_gap(
    runtime: Runtime, server: EmbeddedServer
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.channels(queue_size=10, history=1, retention=50) as channels,
    ):
        await channels.subscribe("room")
        for n in range(1000):
            await channels.publish(str(n), "room")
        numbers: list[int] = []
        missed = 0
        items = channels.with_events()
        while len(numbers) + missed < 1000:
            match await anext(items):
                case ChannelMessage(data=content):
                    numbers.append(int(content))
                case Gap(entries=count):
                    assert count
                    missed += count
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 999
        assert missed > 0
        await channels.publish("more", "room")
        assert await data(channels, 1) == [b"more"]
        assert missed == sum(event.entries or 0 for event in events if isinstance(event, Gap))


@pytest.mark.runtimes("asyncio", "trio", "background", "pumped")
@pytest.mark.parametrize(("each", "retention"), [(1000, 10_000), (500, 20)])
@pytest.mark.timeout(60)
async def test_eight_publishers(runtime: Runtime, server: EmbeddedServer, raw: Raw, each: int, retention: int) -> None:
    async with runtime.connect(server.url) as client, client.channels(history=10, retention=retention) as channels:
        await channels.subscribe("room")

        async def publish(publisher: int) -> None:
            async with runtime.connect(server.url) as other:
                theirs = other.channels(history=10, retention=retention)
                for n in range(each):
                    await theirs.publish(f"{publisher}:{n}", "room")

        found: dict[int, list[int]] = {publisher: [] for publisher in range(8)}
        missed = 0
        async with runtime.tasks() as tasks:
            for publisher in found:
                tasks.start(publish, publisher)
            items = channels.with_events()
            while sum(map(len, found.values())) + missed < 8 * each:
                match await anext(items):
                    case ChannelMessage(data=content):
                        publisher, n = map(int, content.split(b":"))
                        found[publisher].append(n)
                    case Gap(entries=count):
                        assert count
                        missed += count
        for numbers in found.values():
            assert numbers == sorted(set(numbers))
        if retention > 8 * each:
            assert missed == 0


@pytest.mark.runtimes("async")
async def test_a_message_wakes_those_who_get_it_and_nobody_else(
    runtime: Runtime, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    take = Subscriber.take

    def counted(subscriber: Subscriber, *args: Any, **named: Any) -> Any:
        nonlocal looks
        looks += 1
        return take(subscriber, *args, **named)

    monkeypatch.setattr(Subscriber, "take", counted)
    async with runtime.connect(server.url) as client, client.channels() as channels, runtime.tasks() as tasks:
        others = [channels.subscriber(f"room-{n}") for n in range(50)]

        async def listen(subscriber: Any) -> Any:
            async with subscriber:
                return (await anext(subscriber)).data

        waiting = [tasks.start(listen, other) for other in others]
        await runtime.until(lambda: looks >= 50)
        await channels.subscribe("mine")
        looks = 0
        for n in range(50):
            await channels.publish(str(n), "mine")
            assert await data(channels, 1) == [b"%d" % n]
        assert looks < 500  # and not 50 of them for each message
        await channels.publish("end", [f"room-{n}" for n in range(50)])
        for task in waiting:
            assert await task.result() == b"end"


# -- the rest of the face ------------------------------------------------------------------------------------------------------


async def test_pubsub(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.channels(kind="pubsub", decode="utf-8") as channels:
        await channels.subscribe(["a", "A"])
        async with channels.subscriber("a") as other:
            assert await channels.publish("ä", ["a", "A", "nobody"]) == [None, None, None]
            assert sorted(await take(channels, 2)) == [("A", "ä"), ("a", "ä")]
            assert await anext(other) == ChannelMessage("a", "ä", None)
            await channels.unsubscribe("a")
            await channels.publish("2", ["a", "A"])
            assert await take(other, 1) == [("a", "2")]
        assert await take(channels, 1) == [("A", "2")]
        await runtime.until(lambda: raw("PUBSUB", "NUMSUB", "channels_a")[1] == 0 or not raw("PING"))
        assert await channels.flush_all() == 0
        refusals: list[dict[str, Any]] = [{"history": 1}, {"after": "1-1"}]
        for refused in refusals:
            with pytest.raises(InvalidArgument, match="history"):
                await channels.subscribe("a", **refused)
        with pytest.raises(InvalidArgument, match="history"):
            await channels.get_history("a")


@pytest.mark.runtimes("async", "background")  # between calls, a pumped one reads nothing that it could drop
@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
async def test_a_slow_subscriber_of_pubsub_loses_what_is_counted(
    runtime: Runtime, server: EmbeddedServer, when_full: Any
) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.channels(kind="pubsub", queue_size=10, when_full=when_full) as channels,
    ):
        await channels.subscribe("a")
        async with channels.subscriber("a") as quick:
            for n in range(100):
                await channels.publish(str(n), "a")
                assert await data(quick, 1) == [b"%d" % n]
            assert quick.dropped == 0
        items = channels.with_events()
        found = [item for item in [await anext(items) for _ in range(12)] if not isinstance(item, Connected)]
        [drops] = [item for item in found if isinstance(item, MessagesDropped)]
        assert drops.messages == channels.dropped == 90
        numbers = [int(item.data) for item in found if isinstance(item, ChannelMessage)]
        assert numbers == ([*range(90, 100)] if when_full == "drop_oldest" else [*range(10)])


async def test_data_that_is_no_text_is_an_error_in_its_place(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels(decode="utf-8") as channels:
        await channels.subscribe("a")
        for content in (b"1", b"\xff", b"2"):
            await channels.publish(content, "a")
        assert await data(channels, 1) == ["1"]
        with pytest.raises(UnicodeDecodeError):
            await anext(channels)
        assert await data(channels, 1) == ["2"]
        first, bad, last = await channels.get_history("a")
        assert (first.data, last.data, bad.channel) == ("1", "2", "a")
        assert isinstance(bad, UnreadableMessage)
        assert bad.raw == b"\xff"
        with pytest.raises(UnicodeDecodeError):
            _ = bad.data


async def test_what_others_append_without_data_is_no_message(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.channels(prefix="") as channels:
        await channels.subscribe("a")
        raw("XADD", "a", "*", "else", "1")
        raw("XADD", "a", "*", "channel", "a", "data", "2")
        assert await take(channels, 1) == [(b"a", b"2")]
        assert await channels.get_history("a") == [ChannelMessage(b"a", b"2", (await channels.get_history("a"))[0].id)]


@pytest.mark.runtimes("async", "background")
async def test_a_cancelled_call_loses_nothing(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        await channels.subscribe("a")
        for n in range(50):
            assert await runtime.briefly(0.001, channels.get) is None
            await channels.publish(str(n), "a")
            patience = 0.0002
            while (message := await runtime.briefly(patience, channels.get)) is None:
                patience *= 1.5
            assert message.data == b"%d" % n


@pytest.mark.runtimes("async")
async def test_a_cancelled_subscription_leaves_no_trace_or_is_in_force(
    runtime: Runtime, server: EmbeddedServer
) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        for n in range(20):
            async with runtime.tasks() as tasks:
                task = tasks.start(channels.subscribe, "a")
                await runtime.sleep(0.0002 * n)
                task.cancel()
            if channels.subscriptions:
                await channels.publish(str(n), "a")
                assert await data(channels, 1) == [b"%d" % n]
                await channels.unsubscribe()
        await channels.subscribe("a")
        await channels.publish("x", "a")
        assert await data(channels, 1) == [b"x"]


@pytest.mark.runtimes("async", "background")  # between calls, a pumped one reads nothing
async def test_closing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        channels = client.channels()
        with pytest.raises(ClosedError, match="not open"):
            await channels.subscribe("a")
        with pytest.raises(ClosedError, match="not open"):
            channels.subscriber("a")
        async with channels, runtime.tasks() as tasks:
            other = channels.subscriber("a")
            await other.__aenter__()
            waiting = [tasks.start(one.get) for one in (channels, other)]
            await blocked(runtime, raw)
            await other.aclose()
            assert isinstance(await waiting[1].raised(), ClosedError)
            await channels.aclose()
            assert isinstance(await waiting[0].raised(), ClosedError)
            await channels.aclose()
            await other.unsubscribe()
        assert len(await channels.publish("x", "a")) == 1
        with pytest.raises(ClosedError):
            await channels.get()


@pytest.mark.runtimes("async", "background")  # between calls, a pumped one reads nothing
async def test_one_task_at_a_time(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.channels() as channels:
        await channels.subscribe("a")
        async with runtime.tasks() as tasks:
            waiting: Any = tasks.start(channels.get)
            await blocked(runtime, raw)
            with pytest.raises(ConcurrentUseError):
                await channels.get(timeout=0)
            async with channels.subscriber("a") as other:
                await channels.publish("1", "a")
                assert await data(other, 1) == [b"1"]
            assert (await waiting.result()).data == b"1"


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"kind": "queue"}, "kind"),
        ({"history": -1}, "history"),
        ({"retention": 0}, "retention"),
        ({"ttl": 0}, "ttl"),
        ({"queue_size": 0}, "queue_size"),
        ({"when_full": "drop_oldest"}, "when_full"),
        ({"kind": "pubsub", "when_full": "block"}, "when_full"),
        ({"decode": "klingon"}, "decode"),
        ({"prefix": 7}, "prefix"),
    ],
)
async def test_bad_options_are_named_before_anything_is_sent(
    runtime: Runtime, options: dict[str, Any], about: str
) -> None:
    client = runtime.connect("redis://localhost:1")
    with pytest.raises(InvalidArgument, match=about):
        client.channels(**options)
    with pytest.raises(TypeError, match="did you mean 'retention'"):
        client.channels(retentoin=3)  # type: ignore[call-overload]  # misspelt


# -- without a server ------------------------------------------------------------------------------------------------------------


async def test_in_memory(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client, client.channels(queue_size=5, ttl=60) as channels:
        await channels.publish("0", ["a", "b"])
        await channels.subscribe(["a", "b"], history=1)
        assert sorted(await take(channels, 2)) == [(b"a", b"0"), (b"b", b"0")]
        for n in range(100):
            await channels.publish(str(n), "a")
        assert await data(channels, 100) == [b"%d" % n for n in range(100)]
        assert await channels.flush_all() == 2
    async with runtime.connect(memory.url) as client, client.channels(kind="pubsub") as channels:
        await channels.subscribe("a")
        await channels.publish("1", ["a", "b"])
        assert await take(channels, 1) == [(b"a", b"1")]
