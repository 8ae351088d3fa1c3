"""A client of a cluster: how it becomes one, commands by their keys, dedicated links, certain nodes, all keys."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import (
    ClosedError,
    ConnectFailed,
    ConnectionLost,
    CrossSlotError,
    InvalidArgument,
    InvalidURL,
    MovedError,
    ReplyError,
    ServerNode,
)
from streamcore.commands import blpop, dbsize, get, incr, key_slot, ping, rpush, set_, wait, xadd
from streamcore.events import Connected, Event
from streamcore.topology_events import KeysMoved
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime
from transports._facade.settings import Settings
from transports.anyio import Client, NodeClient
from transports.asyncio import connect
from transports.embedded import EmbeddedCluster, EmbeddedNode, EmbeddedServer

KEY = "{orders}1"
SLOT = key_slot(KEY)
MANY = [f"key{number}" for number in range(60)]
"""Keys of many slots, at all nodes."""


def stranger(cluster: EmbeddedCluster) -> EmbeddedNode:
    """A primary that does not own the key."""
    return next(node for node in map(cluster.owner, (0, 8000, 16000)) if node is not cluster.owner(KEY))


# -- how it becomes a client of a cluster --------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_each_way_to_name_a_cluster(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    one = cluster.nodes[1].url
    ways: list[tuple[Any, dict[str, Any]]] = [
        (one, {}),
        (one, {"cluster": True}),
        (cluster.url, {}),
        ([node.url for node in cluster.nodes], {"prefer": "ip", "refresh_interval": 60}),
        (cluster.nodes[-1].url, {}),  # a replica
    ]
    for url, options in ways:
        async with runtime.connect(url, **options) as client:
            assert len(client.nodes()) == 6
            assert await client.pipeline([set_(key, 1) for key in MANY]) == [b"OK"] * 60
            assert await client.get(KEY) is None


async def test_a_plain_client_of_a_node(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(stranger(cluster).url, cluster=False) as client:
        with pytest.raises(MovedError):
            await client.get(KEY)


async def test_events_of_all_engines_are_told(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    events: list[Event] = []
    async with runtime.connect(cluster.nodes[0].url, on_event=events.append) as client:
        await client.get(KEY)
        await runtime.until(lambda: len([event for event in events if isinstance(event, Connected)]) >= 3)
        assert {event.owner for event in events if isinstance(event, Connected)} == {"Client"}


async def test_an_error_of_the_listener_closes_a_client_that_is_being_opened(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    def refuse(_: Event) -> None:
        raise ZeroDivisionError

    client = runtime.connect(cluster.nodes[0].url, on_event=refuse)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # told while it opens, or at its first use
        async with client:
            for _ in range(100):
                await client.ping()
                await runtime.sleep(0.01)
    with pytest.raises(ClosedError):
        await client.ping()


async def test_what_was_made_before_entering_says_what_to_do(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    client = runtime.connect(cluster.nodes[0].url)
    early = client.consumer("s")
    async with client:
        with pytest.raises(InvalidArgument, match=r"made before its client was entered.*cluster=True"):
            async with early:
                pass
        assert await client.ping() == b"PONG"


async def test_a_client_is_entered_once(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    client = runtime.connect(cluster.nodes[0].url)
    with pytest.raises(ClosedError, match="is not open"):
        client.nodes()
    async with client:
        assert client.nodes()
    with pytest.raises(ClosedError):
        await client.ping()
    with pytest.raises(ClosedError):
        async with client:
            pass


# -- bad input -----------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no node": ("redis://a,,b", {}, "names no host"),
    "no URL": ([], {}, "the list of server URLs is empty"),
    "no list": (5, {}, "a server URL must be a str such as .*, or a list of them, not int"),
    "a list of something else": (["redis://a", 5], {}, "or a list of them, not int"),
    "a login twice": ("redis://u:p@a,u:p@b", {}, "names a user or password with each host"),
    "two logins": (["redis://u:p@a", "redis://u:q@b"], {}, "differs from another URL in more than its host"),
    "two schemes": (["redis://a", "rediss://b"], {}, "differs from another URL in more than its host"),
    "a socket among hosts": (["unix:///s", "unix:///t"], {}, "give a unix or memory address alone"),
    "a socket": ("unix:///s", {"cluster": True}, "unix:/s leads to a single server"),
    "a server in memory": ("memory://m", {"cluster": True}, "memory://m leads to a single server"),
    "several hosts of none": ("redis://a,b", {"cluster": False}, "several hosts are those of a cluster"),
    "options of none": ("redis://a", {"cluster": False, "prefer": "ip"}, "prefer is an option for clusters"),
    "neither true nor false": ("redis://a", {"cluster": "yes"}, "cluster must be True, False or None, not 'yes'"),
    "no such name": ("redis://a", {"prefer": "name"}, "prefer must be 'hostname' or 'ip'"),
    "no such rule": ("redis://a", {"follow": "all"}, "follow must be 'topology', 'seeds' or a function"),
    "no such map": ("redis://a", {"address_map": {"a": "b"}}, "address_map must map"),
    "no interval": ("redis://a", {"refresh_interval": 0}, "refresh_interval must be more than 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_meant(what: str) -> None:
    url, options, why = BAD[what]
    with pytest.raises((InvalidArgument, InvalidURL), match=why) as refused:
        connect(url, **options)
    assert "u:p" not in str(refused.value)


def test_all_engines_of_a_client_share_what_they_know() -> None:
    settings = Settings.of("redis://a,b", {})
    engines = [settings.client(), settings.client()]
    assert settings.engine().get("router") == settings.engine().get("router")
    assert [engine.nodes() for engine in engines] == [[], []]
    assert "router" not in Settings.of("redis://a", {}).engine()


@pytest.mark.parametrize("several", [True, False])
async def test_a_standalone_server_is_no_cluster(runtime: Runtime, server: EmbeddedServer, several: bool) -> None:
    urls = [server.url, f"redis://localhost:{server.port}"] if several else server.url
    with pytest.raises(InvalidArgument, match="is a standalone server, and no node of a cluster"):
        async with runtime.connect(urls, **({} if several else {"cluster": True})):
            pass


async def test_where_no_node_can_be_reached_all_are_named(runtime: Runtime) -> None:
    with pytest.raises(
        ConnectFailed, match=r"no node of the cluster .* at localhost:1, 127.0.0.1:2; the last: .*refused"
    ):
        async with runtime.connect("redis://localhost:1,127.0.0.1:2", request_timeout=0.5):
            pass


@pytest.mark.every_server
async def test_databases(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    for url in (cluster.nodes[0].url, cluster.url):
        with pytest.raises((ConnectFailed, ReplyError), match=r"database|SELECT"):
            async with runtime.connect(url, database=3):
                pass


# -- commands ------------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_commands_go_to_the_nodes_of_their_keys(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        for number, key in enumerate(MANY):
            assert await client.set(key, number)
        asked = [get(key).text() for key in MANY]
        assert await client.pipeline(asked) == [str(number) for number in range(60)]
        assert await client.transaction([incr("{t}a"), incr("{t}b"), incr("{t}a")]) == [1, 1, 2]
        script = client.script("return redis.call('INCR', KEYS[1])")
        assert await script(["n1"]) == await script(["n2"]) == 1
        assert (await client.time()).year > 2000
        before = await client.pipeline([ping(), get(MANY[0]), ping()])
        assert before == [b"PONG", b"0", b"PONG"]


async def test_keys_of_several_slots_are_refused_with_the_remedy(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        with pytest.raises(CrossSlotError, match=r"MGET has keys of 2 slots: 'a' \(15495\) and 'b' \(3300\).*\{1\}a"):
            await client.mget("a", "b")
        with pytest.raises(CrossSlotError, match="or use pipeline"):
            await client.transaction([incr("a"), incr("b")])
        with pytest.raises(CrossSlotError, match="a pipeline with a command that blocks within one slot"):
            await client.pipeline([set_("a", 1), set_("b", 1), wait(0, timeout=0.1)])
        with pytest.raises(CrossSlotError, match="WATCH has keys of 2 slots"):
            async with client.transaction(watch=["a", "b"]):
                pass
        async with client.transaction(watch=["a"]) as tx:
            with pytest.raises(CrossSlotError, match="the transaction has keys of 2 slots"):
                await tx.get("b")
        assert await client.exists("a") == 0


@pytest.mark.every_server
async def test_slots_move_beneath_the_commands(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        assert await client.incr(KEY) == 1
        cluster.move_slot(SLOT, stranger(cluster))
        assert await client.incr(KEY) == 2
        assert await client.transaction([incr(KEY), incr(KEY)]) == [3, 4]


async def test_a_failover_beneath_the_commands(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.nodes[0].url) as client:
        await client.set(KEY, "v")
        cluster.failover(cluster.owner(KEY))
        assert await client.get(KEY) == b"v"


# -- dedicated links -----------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_commands_that_block(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client, runtime.tasks() as tasks:
        waiting = [tasks.start(client.execute, blpop(key, timeout=5)) for key in ("l1", "l2", "l3", "l4")]
        await runtime.sleep(0.1)
        await client.pipeline([rpush(key, key) for key in ("l1", "l2", "l3", "l4")])
        for task, key in zip(waiting, ("l1", "l2", "l3", "l4"), strict=True):
            popped: Any = await task.result()
            assert popped is not None
            assert popped.value == key.encode()
        [_, replicas] = await client.pipeline([set_(KEY, 1), wait(1, timeout=2)])
        assert replicas == 1
        await client.xadd(KEY + "s", {"n": 1})
        assert await client.xread({KEY + "s": "0"}, block=1)


@pytest.mark.every_server
async def test_watched_keys(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        cluster.move_slot(SLOT, stranger(cluster))  # the first try is refused
        async with client.transaction(watch=[KEY]) as tx:
            assert await tx.get(KEY) is None
            tx.queue(set_(KEY, 1), xadd("{orders}s", {"n": 1}))
        assert tx.answers[0] == b"OK"
        with pytest.raises(ConnectionLost, match="the slot of the watched keys has left") as lost:  # noqa: PT012
            async with client.transaction(watch=[KEY]) as tx:
                cluster.move_slot(SLOT, stranger(cluster))
                tx.queue(set_(KEY, 2))
        assert not lost.value.sent
        assert await client.get(KEY) == b"1"

        async def double(tx: Any) -> None:
            tx.queue(set_(KEY, 2 * int(await tx.get(KEY))))

        await client.transact(double, watch=[KEY])
        assert await client.get(KEY) == b"2"


@pytest.mark.every_server
async def test_watched_keys_on_their_way(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        await client.get(KEY)
        move = cluster.slot_move(SLOT, stranger(cluster))
        move.begin()
        async with client.transaction(watch=[KEY]) as tx:
            assert await tx.get(KEY) is None
            tx.queue(incr(KEY), incr(KEY))
        assert tx.answers == [1, 2]


# -- certain nodes -------------------------------------------------------------------------------------------------------


async def asked_everywhere(client: Client) -> list[Any]:
    """The same calls on a standalone server and in a cluster."""
    [first, *_] = client.nodes()
    at = client.on(first)
    return [
        first.role,
        await at.ping(),
        await at.pipeline([ping(), ping()]),
        await at.pipeline([]),
        await at.transaction([ping()]),
        await at.transaction([]),
        type(await at.wait(0, timeout=0.1)),
        set((await client.each("primaries", ping())).values()),
        sorted([key async for key in client.scan_keys(match="key*", count=7)]),
    ]


@pytest.mark.every_server
async def test_the_same_program_on_a_server_and_in_a_cluster(
    runtime: Runtime, server: EmbeddedServer, cluster: EmbeddedCluster
) -> None:
    found = []
    for url in (server.url, cluster.url):
        async with runtime.connect(url) as client:
            await client.pipeline([set_(key, 1) for key in (*MANY, "other")])
            found.append(await asked_everywhere(client))
    assert found[0] == found[1]
    assert found[0][:4] == ["primary", b"PONG", [b"PONG", b"PONG"], []]
    assert found[0][-1] == sorted(key.encode() for key in MANY)


async def test_a_standalone_server_is_a_node(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        [node] = client.nodes()
        assert (node.id, str(node.address), node.role) == ("", f"127.0.0.1:{server.port}", "primary")
        assert await client.each("replicas", ping()) == {}
        at = client.on(node)
        async with at.transaction(watch=[KEY]) as tx:
            tx.queue(incr(KEY))
        assert tx.answers == [1]


@pytest.mark.every_server
async def test_a_node_answers_for_itself(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        nodes = client.nodes()
        assert [node.role for node in nodes] == ["primary", "replica"] * 3
        here, there = (
            next(node for node in nodes if str(node.address).endswith(f":{one.port}"))
            for one in (cluster.owner(KEY), stranger(cluster))
        )
        assert (here.id, there.id) == (cluster.owner(KEY).id, stranger(cluster).id)
        at: NodeClient = client.on(here)
        assert await at.set(KEY, 1)
        assert await at.transaction([incr(KEY)]) == [2]
        assert await at.pipeline([incr(KEY), wait(0, timeout=0.1)])
        for asked in (get(KEY), blpop(KEY, timeout=1)):
            with pytest.raises(MovedError):
                await client.on(there).execute(asked)
        with pytest.raises(InvalidArgument, match="give transaction"):
            await at.transaction()  # type: ignore[call-overload]
        with pytest.raises(InvalidArgument, match=r"on\(\) takes one of the nodes"):
            client.on("127.0.0.1:6379")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="choose 'primaries'"):
            await client.each("masters", ping())  # type: ignore[arg-type]


@pytest.mark.every_server
async def test_each_node_answers_or_tells_why_not(
    runtime: Runtime, cluster: EmbeddedCluster, server_kind: ServerKind
) -> None:
    async with runtime.connect(cluster.url, request_timeout=1) as client:
        await client.pipeline([set_(key, 1) for key in MANY])
        counts = await client.each("primaries", dbsize())
        assert sum(count for count in counts.values() if isinstance(count, int)) == 60
        assert len(counts) == 3
        cluster.nodes[3].kill()
        pongs: dict[ServerNode, Any] = await client.each("all", ping())
        assert len(pongs) == 6
        [lost] = [answer for answer in pongs.values() if answer != b"PONG"]
        assert isinstance(lost, ConnectionLost)


async def test_a_cursor_belongs_to_a_node(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        with pytest.raises(InvalidArgument, match=r"the cursor of SCAN belongs to a node.*client.scan_keys\(\)"):
            await client.scan(0)
        assert (await client.on(client.nodes()[0]).scan(0)).cursor == 0


async def test_keys_that_move_during_a_scan_are_told(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    events: list[Event] = []
    async with runtime.connect(cluster.url, on_event=events.append, refresh_interval=0.2) as client:
        await client.pipeline([set_(key, 1) for key in (*MANY, KEY)])
        found: list[bytes] = []
        async for key in client.scan_keys(count=5):
            if not found:
                cluster.move_slot(SLOT, stranger(cluster))
                await client.get(KEY)
                await runtime.sleep(1.0)
            found.append(key)
        await runtime.until(lambda: any(isinstance(event, KeysMoved) for event in events))
    assert {key.encode() for key in MANY} <= set(found)
    assert [event.slots for event in events if isinstance(event, KeysMoved)] == [((SLOT, SLOT),)]


async def test_a_scan_goes_on_where_a_primary_has_died(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url, request_timeout=2) as client:
        await client.pipeline([set_(key, 1) for key in MANY])
        found: set[bytes] = set()
        async for key in client.scan_keys(count=5):
            if not found:
                cluster.crash(cluster.owner(0))
            found.add(key)
    assert found == {key.encode() for key in MANY}
