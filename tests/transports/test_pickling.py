"""What a client opens belongs to its process: whoever pickles or copies it is told what to do instead."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import transports.anyio
import transports.asyncio
import transports.blocking
import transports.trio
from streamcore import Entry, StreamId
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedServer

every_module = pytest.mark.parametrize(
    "module", [transports.asyncio, transports.trio, transports.anyio, transports.blocking], ids=lambda one: one.__name__
)
ADVICE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Client": (lambda client: client, "call connect() where it is needed"),
    "Consumer": (
        lambda client: client.consumer("s"),
        "open another one where it is needed, at the cursor() of this one",
    ),
    "GroupConsumer": (
        lambda client: client.group_consumer("s", group="g"),
        "open another member of the group where it is needed",
    ),
    "Producer": (lambda client: client.producer("s"), "open another one where it is needed"),
    "PubSub": (lambda client: client.pubsub("c"), "open another one where it is needed"),
    "ShardedPubSub": (lambda client: client.sharded_pubsub("c"), "open another one where it is needed"),
    "KeyEvents": (lambda client: client.key_events("k"), "open another one where it is needed"),
    "Channels": (lambda client: client.channels(), "open another one where it is needed"),
    "Transaction": (lambda client: client.transaction(watch="k"), "begin another one where it is needed"),
    "Script": (lambda client: client.script("return 1", int), "call client.script() where it is needed"),
}


@every_module
@pytest.mark.parametrize("name", ADVICE)
def test_it_says_what_to_do_instead(module: ModuleType, name: str) -> None:
    make, advice = ADVICE[name]
    one = make(module.connect("redis://localhost"))
    for again in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            again(one)
        told = f"{name} cannot be pickled or copied: it belongs to the process that made it; {advice}"
        assert str(caught.value) == told


def work(entry: Entry[str]) -> tuple[Entry[str], str]:
    return entry, entry["n"]


async def test_entries_go_to_other_processes_and_handles_do_not(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("XADD", "s", "5-0", "n", "1")
    async with runtime.connect(server.url) as client:
        async with client.producer("t") as producer:
            sent = await producer.send_nowait({"n": 1})
            await producer.flush()
            with pytest.raises(TypeError, match=r"PendingSend cannot be pickled .*; pass on its id"):
                pickle.dumps(getattr(sent, "_blocking", sent))
            assert pickle.loads(pickle.dumps(sent.id)) == sent.id
        async with client.group_consumer("s", group="g", decode="utf-8") as group:
            held = await group.get(timeout=5)
            with pytest.raises(TypeError, match=r"GroupEntry cannot be pickled .* settle it here"):
                pickle.dumps(held)
        async with client.consumer({"s": "0"}, decode="utf-8") as consumer:
            entry = await consumer.get(timeout=5)
            assert entry is not None
            cursor = consumer.cursor()
    assert pickle.loads(pickle.dumps((entry, cursor))) == (entry, {b"s": StreamId(5)})


def test_an_entry_comes_back_from_another_process_equal(server: EmbeddedServer) -> None:
    with transports.blocking.connect(server.url) as client:
        client.xadd("s", {"n": "1"})
        with client.consumer({"s": "0"}, decode="utf-8") as consumer:
            entry = consumer.get(timeout=5)
    assert entry is not None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(work, (entry,)) == (entry, "1")


def test_a_server_says_so_too(server: EmbeddedServer) -> None:
    with pytest.raises(TypeError, match=r"EmbeddedServer cannot be pickled .*; pass on its url"):
        pickle.dumps(server)
