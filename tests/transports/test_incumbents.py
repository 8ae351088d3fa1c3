"""What the streams consumers that we replace get wrong, as the rows of their documents or as their users have reported it.

``A7`` and the like are rows of the table of features: A is coredis' consumers, C is pystreamredis. An issue is named by its
repository and number. What other files of this folder show already is not shown again: changes of what is followed (A3,
A9), starts (A2), idleness (A5, C5), order (C2), lost connections (C6, aioredis-py 1174, redis-py 2937), a group or a stream
that goes while a read waits (redis 6887), handlers that take longer than entries may be idle (taskiq-redis 101), names that
nobody uses any more (redis 8635).
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from streamcore import NoGroupError, WrongTypeError
from streamcore.errors import NoPermissionError
from streamcore.events import Disconnected, EntriesClaimed, Event, OwnershipLost, PendingEntriesDeleted
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, drain, pending, take, take_and_ack
from transports.anyio import GroupConsumer
from transports.embedded import EmbeddedServer

ODD_NAMES = ["timeout", "group", "consumer", "count", "block", "self", "streams", "a b\r\n", "überall", b"\xff\x00"]
"""The first ones are keywords of one interface or the other."""


def commands_processed(raw: Raw) -> int:
    info: bytes = raw("INFO", "stats")
    return int(info.split(b"total_commands_processed:")[1].split(b"\r")[0])


def deliver(raw: Raw, name: str, count: int, stream: str = "s") -> list[bytes]:
    """Let a member that will never come back take entries; their ids."""
    reply = raw("XREADGROUP", "GROUP", "g", name, "COUNT", count, "STREAMS", stream, ">")
    return [id_ for id_, _ in reply[0][1]]


# -- coredis: Consumer -------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_a_wrong_type_or_a_missing_right_is_no_missing_stream(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A1: theirs begins at 0-0 for whatever XINFO STREAM refuses, and so replays, or spins on, what it must not."""
    raw("SET", "text", "x")
    raw("ACL", "SETUSER", "reader", "on", ">secret", "~allowed", "+@all")
    try:
        async with runtime.connect(server.url, username="reader", password="secret") as client:
            with pytest.raises(NoPermissionError):
                async with client.consumer("forbidden") as consumer:
                    await consumer.get(timeout=1)
            with pytest.raises(NoPermissionError):
                async with client.group_consumer("forbidden", group="g") as member:
                    await member.get(timeout=1)
        async with runtime.connect(server.url) as client:
            for start in ("$", "0", "+"):
                with pytest.raises(WrongTypeError):
                    async with client.consumer({"text": start}) as consumer:
                        await consumer.get(timeout=1)
    finally:
        raw("ACL", "DELUSER", "reader")


async def test_a_stream_may_have_any_name(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A1, C1: theirs takes streams as keywords beside its options, so that a stream called ``timeout`` is an option."""
    names: list[Any] = ODD_NAMES
    for number, name in enumerate(names):
        raw("XADD", name, "*", "n", number)
    async with runtime.connect(server.url) as client:
        async with client.consumer(dict.fromkeys(names, "0")) as consumer:
            assert sorted(await take(consumer, len(names))) == list(range(len(names)))
        async with client.group_consumer(names, group="timeout", consumer="group") as member:
            assert sorted(await take_and_ack(member, len(names))) == list(range(len(names)))


async def test_a_misspelt_option_is_an_error_and_no_stream(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """C1: theirs follows a stream called ``cuont`` for ever."""
    options: dict[str, Any] = {"cuont": 10}
    async with runtime.connect(server.url) as client:
        with pytest.raises(TypeError, match="cuont"):
            await enter(client.consumer("s", **options))
        with pytest.raises(TypeError, match="cuont"):
            await enter(client.group_consumer("s", group="g", **options))


async def enter(reader: Any) -> None:
    async with reader:
        pass


async def test_waiting_for_ever_is_possible_and_idle_reads_miss_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A4: theirs ends at the first empty read. redis-py 1429, laravel-streamer 54: ``$`` asked again skips what came between."""
    async with (
        runtime.connect(server.url) as client,
        client.consumer("s", block=0.01) as consumer,
        client.group_consumer("s", group="g", start="$", block=0.01) as member,
        runtime.tasks() as tasks,
    ):
        following, consuming = tasks.start(take, consumer, 20), tasks.start(take_and_ack, member, 20)
        for n in range(20):
            await runtime.sleep(0.017)  # most come between two reads
            add(raw, [n])
        assert await following.result() == await consuming.result() == list(range(20))


@pytest.mark.every_server
async def test_a_stream_that_was_emptied_has_an_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """redis-py 1135: the information about a stream without entries cannot be parsed."""
    add(raw, range(3))
    raw("XTRIM", "s", "MAXLEN", 0)
    async with runtime.connect(server.url) as client:
        for start in ("$", "+", "0"):
            async with client.consumer({"s": start}) as consumer, client.group_consumer("s", group="g") as member:
                assert await consumer.get(timeout=0.02) is await member.get(timeout=0.02) is None
                add(raw, [3])
                assert await take(consumer, 1) == await take_and_ack(member, 1) == [3]
            raw("XTRIM", "s", "MAXLEN", 0)


async def test_a_long_stream_does_not_keep_the_others_waiting(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A6, A11: theirs hands over the whole buffer of one stream, or waits for one stream after the other."""
    add(raw, range(5000), "long")
    add(raw, range(5000, 5010), "short")
    async with runtime.connect(server.url) as client:
        async with client.consumer({"long": "0", "short": "0"}, count=50) as consumer:
            assert set(range(5000, 5010)) <= set(await take(consumer, 200))
        async with client.group_consumer(["long", "short"], group="g", count=50) as member:
            assert set(range(5000, 5010)) <= set(await take_and_ack(member, 200))


# -- coredis: GroupConsumer --------------------------------------------------------------------------------------------


async def test_what_was_there_before_the_group_is_handed_over(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A7, FastStream 2694: a new group begins at the end, or a start other than that reads nothing but the own history."""
    ids = add(raw, range(5))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="all") as consumer:
            assert await take_and_ack(consumer, 5) == [0, 1, 2, 3, 4]
        async with client.group_consumer("s", group="some", start=ids[2].decode()) as consumer:
            assert await take_and_ack(consumer, 2) == [3, 4]
            add(raw, [5])
            assert await take_and_ack(consumer, 1) == [5]


@pytest.mark.every_server
async def test_one_streams_backlog_beside_anothers_new_entries(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A7: where one reply has the end of a backlog and another stream's new entry, theirs drops that one."""
    for name in ("old", "new"):
        raw("XGROUP", "CREATE", name, "g", "0", "MKSTREAM")
    add(raw, range(7), "old")
    deliver(raw, "me", 7, "old")
    add(raw, range(10, 13), "new")
    add(raw, range(7, 10), "old")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["new", "old"], group="g", consumer="me", count=3) as consumer,
    ):
        assert sorted(await drain(consumer, 13)) == list(range(13))
    assert pending(raw, "old") == pending(raw, "new") == 0


@pytest.mark.every_server
@pytest.mark.parametrize("how", ["backlog", "claim"])
async def test_pending_entries_that_were_deleted_hide_nothing_and_break_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, how: str
) -> None:
    """A8; redis-py 1116 and 1191, aioredis-py 639, redis 6199 and 6930: nil where fields should be."""
    ids = add(raw, range(10))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "me" if how == "backlog" else "dead", 8)
    raw("XDEL", "s", *ids[3:6])
    raw("XTRIM", "s", "MINID", ids[1])
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", group="g", consumer="me", claim_idle=0.1, block=0.05, count=3) as consumer,
    ):
        assert sorted(await take_and_ack(consumer, 6)) == [1, 2, 6, 7, 8, 9]
        assert await consumer.get(timeout=0.05) is None
        assert await consumer.flush()
        await runtime.until(lambda: pending(raw) == 0)
    buried = [id_ for event in seen if isinstance(event, PendingEntriesDeleted) for id_ in event.ids]
    assert sorted(buried) == [ids[0], *ids[3:6]], "each of them is told, once"


@pytest.mark.every_server
async def test_the_own_history_alone_goes_over_what_was_deleted(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A8: theirs reads it by any identifier but ``>``, and ends at the first entry without data."""
    ids = add(raw, range(8))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "me", 5)
    raw("XDEL", "s", ids[0], ids[2])
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", history_only=True) as consumer,
    ):
        numbers = []
        async for entry in consumer:
            numbers.append(int(entry["n"]))
            entry.ack()
        assert numbers == [1, 3, 4], "and it ends there, although three new entries wait for the group"
    assert pending(raw) == 0


async def test_without_acknowledgements_nothing_stays_pending(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """A7: what theirs calls ``auto_acknowledge`` acknowledges nothing: it is NOACK, and here it has that name."""
    add(raw, range(5))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me", ack="none") as consumer:
            assert await take(consumer, 5) == [0, 1, 2, 3, 4]
            assert pending(raw) == 0
        await runtime.until(lambda: len(clients(raw)) == 1)  # else the read that was left may still take the next entry
        add(raw, [5])
        async with client.group_consumer("s", group="g", consumer="me", ack="none") as consumer:
            assert await take(consumer, 1) == [5]


async def test_a_pending_entry_that_is_deleted_in_our_hands(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """symfony 53406, cookie-cutter 206: acknowledging what was trimmed meanwhile ends the worker."""
    add(raw, range(10))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entries = [await anext(consumer) for _ in range(5)]
        raw("XTRIM", "s", "MAXLEN", 2)
        for entry in entries:
            entry.ack()
        assert await consumer.flush()
        add(raw, [10])
        numbers = await drain(consumer)
        assert numbers[-1] == 10
        assert numbers == sorted(set(numbers))
    assert pending(raw) == 0


@pytest.mark.parametrize("kind", [str, str.encode])
async def test_names_may_be_bytes_or_text(runtime: Runtime, server: EmbeddedServer, raw: Raw, kind: Any) -> None:
    """A10: a group's name as bytes skips the backlog in theirs."""
    add(raw, range(5))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "me", 3)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(kind("s"), group=kind("g"), consumer=kind("me")) as consumer,
    ):
        assert await take_and_ack(consumer, 5) == [0, 1, 2, 3, 4]
    assert pending(raw) == 0


@pytest.mark.every_server
async def test_streams_of_a_group_where_one_cannot_be_read(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A9: theirs poisons every later read after a stream that failed. Here it is the error of that stream, at once."""
    raw("SET", "text", "x")
    add(raw, range(3))
    async with runtime.connect(server.url) as client:
        with pytest.raises(WrongTypeError):
            async with client.group_consumer(["s", "text"], group="g", consumer="me") as consumer:
                await consumer.get(timeout=1)
        async with client.group_consumer("s", group="g", consumer="me") as consumer:
            assert await take_and_ack(consumer, 3) == [0, 1, 2]


# -- issue trackers: what was pending ----------------------------------------------------------------------------------


async def test_a_long_backlog_is_drained_to_its_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """cookie-cutter 164: only the first page of what a crash has left is read."""
    add(raw, range(730))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "me", 710)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", claim_idle=None) as consumer,
    ):
        assert await take_and_ack(consumer, 730) == list(range(730))
    assert pending(raw) == 0


async def test_a_stream_that_is_missing_does_not_hide_the_backlog_of_the_next(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """ragflow 15805: the replay ends at the first stream that cannot be asked."""
    add(raw, range(5), "z")
    raw("XGROUP", "CREATE", "z", "g", "0")
    deliver(raw, "me", 5, "z")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["a", "z"], group="g", consumer="me", claim_idle=None) as consumer,
    ):
        assert await take_and_ack(consumer, 5) == [0, 1, 2, 3, 4]


@pytest.mark.every_server
async def test_everything_of_a_dead_member_is_claimed_page_by_page(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """redis-py 2226: without the cursor of a claim, entries behind the first page are never reached."""
    add(raw, range(350))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "dead", 350)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=0.1, block=0.02) as consumer,
    ):
        assert await take_and_ack(consumer, 350) == list(range(350))
    assert pending(raw) == 0


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_two_that_claim_at_once_take_nothing_twice(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """redis 13956, taskiq-redis 82: concurrent claims hand the same entry to both."""
    ids = add(raw, range(300))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "dead", 300)
    raw("XCLAIM", "s", "g", "dead", 0, *ids, "IDLE", 60_000, "JUSTID")
    taken: list[int] = []

    async def take_all(member: GroupConsumer[Any]) -> None:
        while len(taken) < 300:
            taken.extend(await drain(member))

    options: dict[str, Any] = {"group": "g", "claim_idle": 10, "block": 0.02, "count": 20}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", consumer="left", **options) as left,
        client.group_consumer("s", consumer="right", **options) as right,
        runtime.tasks() as tasks,
    ):
        for task in [tasks.start(take_all, member) for member in (left, right)]:
            await task.result()
    assert sorted(taken) == list(range(300))
    assert pending(raw) == 0


CLAIMS_AND_HOLDS = """
import sys
from transports.blocking import connect
with connect(sys.argv[1]) as client, client.group_consumer(
    "s", group="g", consumer="claimer", claim_idle=0.2, block=0.02) as consumer:
    consumer.get()
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_a_member_that_is_killed_with_what_it_has_claimed_blocks_nobody(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """taskiq-redis 131: a lock around the claim outlives a SIGKILL, and nothing is ever claimed again."""
    add(raw, range(50))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "dead", 50)
    command = [sys.executable, "-c", CLAIMS_AND_HOLDS, server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as claimer:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == b"claimed\n"
        claimer.send_signal(signal.SIGKILL)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=0.3, block=0.02) as consumer,
    ):
        assert sorted(await take_and_ack(consumer, 50)) == list(range(50))
    assert pending(raw) == 0


@pytest.mark.every_server
async def test_leaving_deletes_no_member_that_has_something_pending(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """watermill-redisstream 24, redis 9745: XGROUP DELCONSUMER deletes its pending entries as well, and they are lost."""
    add(raw, range(10))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g") as consumer:
            assert await take(consumer, 4) == [0, 1, 2, 3]
        assert pending(raw) == 10, "read ahead or handed over, all of them are pending still"
        async with client.group_consumer("s", group="g", claim_idle=0.1, block=0.02) as consumer:
            assert sorted(await take_and_ack(consumer, 10)) == list(range(10))
    assert pending(raw) == 0


# -- issue trackers: hot loops and false alarms ------------------------------------------------------------------------


@pytest.mark.every_server
async def test_a_group_that_somebody_destroys_again_and_again_is_no_hot_loop(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """FastStream 2611, 2945 and 3106, jac 7452: thousands of NOGROUP errors per second."""
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take_and_ack, consumer, 1)
        await blocked(runtime, raw)
        began, rounds = commands_processed(raw), 40
        for _ in range(rounds):
            raw("XGROUP", "DESTROY", "s", "g")
            await runtime.sleep(0.01)
        assert commands_processed(raw) - began < rounds * 25
        add(raw, [7])
        assert await waiting.result() == [7]


@pytest.mark.runtimes("async", "background")
async def test_an_error_that_ends_a_member_ends_its_commands(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """FastStream 3106: what says that it stops is started again without a pause."""
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", create=True) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        raw("SET", "s", "text")
        assert isinstance(await waiting.raised(), WrongTypeError)
        began = commands_processed(raw)
        await runtime.sleep(0.3)
        assert commands_processed(raw) - began <= 2
        with pytest.raises(WrongTypeError):
            await consumer.get(timeout=1)


@pytest.mark.every_server
@pytest.mark.runtimes("asyncio", "background")
async def test_looking_for_idle_entries_of_others_costs_little(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """FastStream 2628: claiming in a loop without a pause, and new entries never."""
    add(raw, range(300))
    raw("XGROUP", "CREATE", "s", "g", "0")
    deliver(raw, "alive", 300)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=20, block=1) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take_and_ack, consumer, 1)
        await blocked(runtime, raw)
        began = commands_processed(raw)
        await runtime.sleep(1.5)
        assert commands_processed(raw) - began < 20
        add(raw, [300])
        assert await waiting.result() == [300]


@pytest.mark.every_server
@pytest.mark.runtimes("asyncio")
async def test_a_member_that_gets_nothing_while_others_do_is_not_taken_for_dead(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """redis 12998, go-redis 2963: each entry that another member gets may begin our BLOCK anew on the server."""
    raw("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    seen: list[Event] = []
    others = [Raw(server.address) for _ in range(12)]
    try:
        for number, other in enumerate(others):
            other.send("XREADGROUP", "GROUP", "g", f"other-{number}", "BLOCK", 0, "STREAMS", "s", ">")
        await blocked(runtime, raw, len(others))
        async with (
            runtime.connect(server.url, on_event=seen.append, request_timeout=1.0) as client,
            client.group_consumer("s", group="g", consumer="me", block=0.3, claim_idle=None) as consumer,
            runtime.tasks() as tasks,
        ):
            waiting = tasks.start(take_and_ack, consumer, 1)
            await blocked(runtime, raw, len(others) + 1)
            for n in range(len(others)):
                add(raw, [n])
                await runtime.sleep(0.15)
            assert not waiting.finished
            add(raw, [100])
            assert await waiting.result() == [100]
        assert not [event for event in seen if isinstance(event, Disconnected)]
    finally:
        for other in others:
            other.close()


async def test_a_group_may_be_read_by_two_members_of_one_client(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """aredis 113, node-redis 2021: blocking reads that share a connection, or never give it back, stop each other."""
    add(raw, range(40))
    before = len(clients(raw))
    async with runtime.connect(server.url) as client:
        for _ in range(5):
            async with (
                client.group_consumer("s", group="g", consumer="left", count=1, block=0.02) as left,
                client.group_consumer("s", group="g", consumer="right", count=1, block=0.02) as right,
            ):
                await take_and_ack(left, 2)
                await take_and_ack(right, 2)
                assert await client.ping() == b"PONG"
    await runtime.until(lambda: len(clients(raw)) == before)


async def test_a_group_that_must_exist_is_asked_for_once(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """FastStream 2945: the error is raised to whoever iterates, where he can do something about it."""
    add(raw, range(3))
    async with runtime.connect(server.url) as client:
        with pytest.raises(NoGroupError, match="create it, or pass create=True"):
            await enter(client.group_consumer("s", group="none", create=False))
        began = commands_processed(raw)
        await runtime.sleep(0.2)
        assert commands_processed(raw) - began <= 2
        raw("XGROUP", "CREATE", "s", "g", "0")
        async with client.group_consumer("s", group="g", create=False) as consumer:
            assert await take_and_ack(consumer, 3) == [0, 1, 2]


async def test_what_was_claimed_from_us_is_told_before_it_is_handled_twice_in_silence(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """taskiq-redis 101: a second worker begins, and the first never learns of it."""
    ids = add(raw, range(3))
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", group="g", consumer="me", audit_interval=0.1, block=0.05) as consumer,
    ):
        assert await take(consumer, 3) == [0, 1, 2]
        raw("XCLAIM", "s", "g", "thief", 0, ids[1])
        lost: list[Event] = []
        while not lost:
            assert await consumer.get(timeout=0.05) is None
            lost = [event for event in seen if isinstance(event, OwnershipLost)]
        assert lost == [OwnershipLost(b"s", (ids[1],))]
        assert not [event for event in seen if isinstance(event, EntriesClaimed)]


DIES_OF_FIVE = """
import os, signal, sys
from transports.blocking import connect
with connect(sys.argv[1]) as client, client.group_consumer(
    "s", group="g", consumer="worker", max_deliveries=3) as consumer:
    waits = 0
    while waits < 5:  # a machine that stalls ends but one of them
        waits += 1
        if (entry := consumer.get(timeout=0.1)) is not None:
            waits = 0
            if entry["n"] == b"5":
                os.kill(os.getpid(), signal.SIGKILL)
            entry.ack()
"""


@pytest.mark.every_server
def test_a_crash_loop_condemns_the_culprit_and_not_what_was_done_just_before(server: EmbeddedServer, raw: Raw) -> None:
    """Found by the soak: acknowledgements that have not left yet are lost with the process, and their entries come again.

    The neighbours of an entry that kills its worker must not reach the limit of deliveries with it.
    """
    add(raw, range(10))
    command = [sys.executable, "-c", DIES_OF_FIVE, server.url]
    deaths = 0
    while (status := subprocess.run(command, check=False, timeout=20).returncode) == -signal.SIGKILL:
        deaths += 1
    assert (status, deaths) == (0, 3)
    letters = raw("XRANGE", "{s}:dead", "-", "+")
    assert [dict(zip(flat[::2], flat[1::2], strict=True))[b"n"] for _, flat in letters] == [b"5"]
    assert pending(raw) == 0
