"""Transactions, scripts and blocking commands: what needs more than one command in one write."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from streamcore import (
    ClosedError,
    CommandErrors,
    ConnectionLost,
    ExecAbortError,
    InvalidArgument,
    ReplyError,
    WatchedKeyChanged,
    WrongTypeError,
)
from streamcore.commands import blpop, get, incr, rpush, set_, unwatch, wait, watch, xadd, xlen
from streamcore.commands import raw as command
from streamcore.requests import MAX_LEASES
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import clients
from transports.anyio import Transaction
from transports.blocking import connect
from transports.blocking.driver import Driver
from transports.blocking.runtime import Runtime as Blocking
from transports.embedded import EmbeddedServer

# -- transactions ------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_all_or_nothing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        answers = await client.transaction([xadd("s", {"n": 1}), incr("n"), get("n").text()])
        assert answers == [answers[0], 1, "1"]
        assert await client.xlen("s") == 1
        with pytest.raises(ExecAbortError, match="nothing was executed, because of: ERR wrong number of arguments"):
            await client.transaction([incr("n"), command("XLEN")])
        assert await client.transaction([]) == []
    assert raw("GET", "n") == b"1"


async def test_an_error_in_the_midst_is_an_answer_or_raised(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        asked = [set_("text", "a"), xlen("text"), incr("text"), incr("n")]
        for run in (client.transaction, client.pipeline):
            _, wrong, error, one = await run(asked)
            assert [type(answer) for answer in (wrong, error)] == [WrongTypeError, ReplyError]
            with pytest.raises(CommandErrors, match="2 of 4 commands failed") as raised:
                await run(asked, raise_errors=True)
            assert [type(error) for error in raised.value.exceptions] == [WrongTypeError, ReplyError]
            assert raised.value.answers[3] == one + 1
        assert await client.pipeline([incr("n")], raise_errors=True) == [5]


async def test_read_then_write_unless_somebody_else_did(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "stock", 5)
    async with runtime.connect(server.url) as client:
        async with client.transaction(watch="stock") as tx:
            left = int(await tx.get("stock") or 0)
            tx.queue(set_("stock", left - 1), rpush("sold", "one"))
            assert raw("GET", "stock") == b"5"
        assert tx.answers[1] == 1
        assert raw("GET", "stock") == b"4"
        with pytest.raises(WatchedKeyChanged):  # noqa: PT012  # it is the end of the block that raises
            async with client.transaction(watch=["stock", b"sold"]) as tx:
                tx.queue(set_("stock", 0))
                raw("RPUSH", "sold", "another")
        assert raw("GET", "stock") == b"4"
        assert len(clients(raw)) == 2, "one link for everybody, one for transactions"


async def test_after_an_exception_nothing_is_executed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):  # noqa: PT012  # it is the end of the block that raises
                async with client.transaction(watch=["k"]) as tx:
                    tx.queue(set_("k", 1))
                    raise ZeroDivisionError
        raw("INCR", "k")  # nobody watches it any more: the next transaction is not disturbed
        async with client.transaction(watch=["other"]) as tx:
            tx.queue(incr("k"))
        assert tx.answers == [2]


async def test_one_may_commit_early_and_only_once(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        async with client.transaction(watch=["k"], raise_errors=True) as tx:
            tx.queue(incr("k"))
            assert await tx.commit() == [1]
            for use in (tx.commit, lambda: tx.get("k")):
                with pytest.raises(ClosedError, match="has been committed"):
                    await use()
            with pytest.raises(ClosedError, match="has been committed"):
                tx.queue(incr("k"))
        async with client.transaction(watch=["k"]) as nothing:
            assert await nothing.exists("k") == 1
        assert nothing.answers == []
        assert await client.get("k") == b"1"


async def test_trying_again_until_nobody_interferes(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        attempts = []

        async def double(tx: Transaction) -> int:
            number = int(await tx.get("n") or 1)
            attempts.append(number)
            if len(attempts) < 3:
                raw("INCR", "n")
            tx.queue(set_("n", number * 2))
            return number

        assert await client.transact(double, watch="n") == 2
        assert attempts == [1, 1, 2]
        assert raw("GET", "n") == b"4"

        async def interfere(tx: Transaction) -> None:
            raw("INCR", "n")
            tx.queue(incr("never"))

        with pytest.raises(WatchedKeyChanged):
            await client.transact(interfere, watch=["n"], attempts=2)
        assert (raw("GET", "n"), raw("GET", "never")) == (b"6", None)
        with pytest.raises(InvalidArgument, match="attempts must be at least 1"):
            await client.transact(interfere, watch=["n"], attempts=0)


async def test_many_tasks_count_and_none_is_lost(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:

        async def add_one(tx: Transaction) -> None:
            tx.queue(set_("n", int(await tx.get("n") or 0) + 1))

        async def work() -> None:
            for _ in range(5):
                await client.transact(add_one, watch="n", attempts=1000)

        for _ in range(MAX_LEASES + 4):
            tasks.start(work)
    assert int(raw("GET", "n")) == 5 * (MAX_LEASES + 4)


async def test_with_its_connection_a_transaction_is_lost(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with runtime.connect(proxy.url) as client:
        with pytest.raises(ConnectionLost, match="what it had been told with it"):  # noqa: PT012  # it is the end of the block that raises
            async with client.transaction(watch=["k"]) as tx:
                tx.queue(set_("k", 1))
                proxy.cut()
                raw("SET", "k", "theirs")
                await runtime.sleep(0.2)
        assert raw("GET", "k") == b"theirs"
        assert await client.ping() == b"PONG"


async def test_what_cannot_be_in_a_transaction(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        with pytest.raises(InvalidArgument, match="BLPOP cannot be a part of a transaction"):
            await client.transaction([command("BLPOP", "list", 1)])
        for arguments in ({}, {"asked": [incr("n")], "watch": ["n"]}):
            with pytest.raises(InvalidArgument, match="either commands, or the keys to watch"):
                await client.transaction(**arguments)  # type: ignore[call-overload]
        with pytest.raises(InvalidArgument):
            client.transaction(watch=[])
        for lonely in (watch("k"), unwatch()):
            with pytest.raises(InvalidArgument, match="WATCH cannot run on a shared connection"):
                await client.execute(lonely)
            with pytest.raises(InvalidArgument, match="WATCH cannot run on a shared connection"):
                await client.transaction([lonely])


# -- what blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_what_blocks_holds_up_nobody(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        blpop = command("BLPOP", "list", 30)
        popping: list[Any] = [tasks.start(client.execute, blpop) for _ in range(3)]
        await runtime.until(lambda: len(clients(raw, "blpop")) == 3)
        began = time.monotonic()
        assert await client.ping() == b"PONG"
        assert time.monotonic() - began < 5
        raw("RPUSH", "list", "a", "b", "c")
        assert sorted([(await task.result())[1] for task in popping]) == [b"a", b"b", b"c"]
        assert await client.execute(command("BLPOP", "list", 0.01)) is None


async def test_a_write_and_the_wait_for_its_replicas(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        assert await client.pipeline([incr("n"), wait(1, timeout=0.01), incr("n")]) == [1, 0, 2]


@pytest.mark.runtimes("async")
async def test_a_blocking_command_that_is_cancelled_ends_on_the_server_too(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client:
        assert await runtime.briefly(0.1, client.execute, command("BLPOP", "list", 30)) is None
        await runtime.until(lambda: not clients(raw, "blpop"))
        raw("RPUSH", "list", "kept")
        assert await client.execute(command("BLPOP", "list", 30)) == [b"list", b"kept"]


# -- scripts -----------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_a_script_is_sent_once(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SCRIPT", "FLUSH")
    async with runtime.connect(server.url) as client:
        add = client.script("return redis.call('INCRBY', KEYS[1], ARGV[1])", int)
        for turn in range(3):
            assert await add(keys=["n"], args=[5]) == 5 * (turn + 1)
        assert raw("SCRIPT", "EXISTS", add.sha) == [1]
        raw("SCRIPT", "FLUSH")
        assert await add(["n"], [1]) == 16
        with pytest.raises(ReplyError, match="not an integer"):
            await add(["n"], ["x"])
        text: Any = await client.script("return {1, 'two'}")()
        assert text == [1, b"two"]


def test_a_forked_child_that_leaves_a_transaction_sends_nothing_over_the_parents_link(server: EmbeddedServer) -> None:
    with connect(server.url) as client:
        client.execute(set_("k", "0"))
        try:
            with client.transaction(watch="k") as tx:
                pid = os.fork()
                if pid == 0:
                    signal.alarm(5)
                    raise SystemExit
                answers = [tx.execute(get("k")) for _ in range(1000)]
                os.waitpid(pid, 0)
                answers += [tx.execute(get("k")) for _ in range(10)]
        except SystemExit:
            os._exit(0)
        assert set(answers) == {b"0"}, "UNWATCH of the child was answered to the parent"


def test_a_transaction_whose_commit_has_failed_is_over(server: EmbeddedServer) -> None:
    with connect(server.url) as client:
        client.execute(set_("k", "0"))
        with suppress(ClosedError), client.transaction(watch="k") as tx:
            client.execute(set_("k", "10"))
            tx.queue(set_("k", "1"))
            with pytest.raises(WatchedKeyChanged):
                tx.commit()
            client.execute(set_("k", "100"))  # nobody watches any more
            tx.queue(set_("k", "11"))
        assert client.execute(get("k")) == b"100"


def test_whoever_waits_for_a_link_is_woken_by_its_release(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Blocking.call

    def slowly(runtime: Blocking, function: Callable[[], Any]) -> Any:
        if getattr(function, "__name__", "") == "release":
            time.sleep(0.05)  # a thread that is held up between the reply and the release
        return call(runtime, function)

    with connect(server.url) as client, ExitStack() as taken:
        for number in range(MAX_LEASES - 1):
            taken.enter_context(client.transaction(watch=f"k{number}"))
        monkeypatch.setattr(Blocking, "call", slowly)
        holder = threading.Thread(target=client.execute, args=(blpop("q", timeout=0.3),))
        holder.start()
        time.sleep(0.1)
        began = time.monotonic()
        client.execute(blpop("q", timeout=0.1))
        holder.join()
        assert time.monotonic() - began < 2


def test_an_interrupted_call_gives_its_link_back(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Driver.flush
    with connect(server.url, request_timeout=15) as client:  # interrupted dials count for the back-off

        def interrupted(driver: Driver) -> None:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            flush(driver)

        for _ in range(MAX_LEASES):
            with monkeypatch.context() as patch:
                patch.setattr(Driver, "flush", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    client.execute(blpop("q", timeout=0.1))
        assert client.execute(blpop("q", timeout=0.1)) is None
