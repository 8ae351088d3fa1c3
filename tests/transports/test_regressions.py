"""What an adversary found in the face for threads, on a real server, so that it stays found."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from selectors import DefaultSelector
from typing import Any

import pytest

from streamcore.commands import blpop, get, set_
from streamcore.errors import ClosedError, WatchedKeyChanged
from streamcore.events import Event, Gap
from streamcore.requests import MAX_LEASES
from tests.support.raw import Raw
from transports.blocking import connect
from transports.blocking.driver import Driver
from transports.blocking.runtime import Runtime
from transports.embedded import EmbeddedServer


class StopHere(Exception):
    """What the application raises at a gap."""


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


def test_a_cursor_does_not_pass_what_a_raising_listener_kept_back(server: EmbeddedServer) -> None:
    def stop_at_gaps(event: Event) -> None:
        if isinstance(event, Gap):
            raise StopHere

    with Raw(server.address) as raw:
        for number in range(1, 11):
            raw("XADD", "s", f"{number}-0", "f", "v")
        taken: list[int] = []
        with (
            connect(server.url, on_event=stop_at_gaps) as client,
            client.consumer({"s": "3-0"}, count=2) as consumer,
        ):
            raw("XTRIM", "s", "MAXLEN", 5)
            with pytest.raises(StopHere):
                taken.extend(entry.id.ms for entry in consumer)
            cursor = consumer.cursor()[b"s"].ms
            assert consumer.remove_stream("s")
            left_over = consumer.get(0.1)
    assert cursor <= (taken or [3])[-1], "whoever goes on from there loses a batch"
    assert left_over is None, "an entry of a stream that is followed no more"


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
    call = Runtime.call

    def slowly(runtime: Runtime, function: Callable[[], Any]) -> Any:
        if getattr(function, "__name__", "") == "release":
            time.sleep(0.05)  # a thread that is held up between the reply and the release
        return call(runtime, function)

    with connect(server.url) as client, ExitStack() as taken:
        for number in range(MAX_LEASES - 1):
            taken.enter_context(client.transaction(watch=f"k{number}"))
        monkeypatch.setattr(Runtime, "call", slowly)
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


def test_a_thread_that_pumps_hears_what_another_one_has_pumped(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = DefaultSelector.select

    def slowly(selector: DefaultSelector, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.1)  # held up on its way to sleep; the other thread does all the work meanwhile
        return select(selector, timeout)

    with (
        Raw(server.address) as raw,
        connect(server.url) as client,
        client.consumer({"s": "0"}, background=False) as consumer,
    ):
        taking = threading.Thread(target=consumer.get)
        taking.start()
        time.sleep(0.1)
        monkeypatch.setattr(DefaultSelector, "select", slowly)
        began = time.monotonic()
        assert consumer.add_stream("t", "0")
        took = time.monotonic() - began
        monkeypatch.undo()
        raw("XADD", "t", "1-0", "f", "v")
        taking.join()
    assert took < 2, "it was done long before"
