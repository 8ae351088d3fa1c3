"""Ctrl-C while a client is opened or closed leaves neither a thread nor a connection behind."""

from __future__ import annotations

import gc
import sys
import threading
import time
import warnings
from typing import Any

import pytest

import transports.blocking
from tests.support.alarms import interrupted_at
from tests.support.raw import Raw
from tests.transports.steps import clients
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("kind", ["client", "member"])
@pytest.mark.parametrize("when", ["opening", "closing"])
def test_wherever_it_is_interrupted(
    server: EmbeddedServer, raw: Raw, when: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # an interrupt in a finalizer is Python's to ignore
    before = set(threading.enumerate())
    number, is_interrupted = 0, True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # interrupted before it began to close: a finalizer does it
        while is_interrupted:
            number += 1
            client = transports.blocking.connect(server.url)
            used: Any = client
            if kind == "member":
                client.__enter__()
                used = client.group_consumer("s", group="g", consumer="me", exclusive=False)
            if when == "closing":
                used.__enter__()
            _, is_interrupted = interrupted_at(number, used.__enter__ if when == "opening" else used.close)
            if when == "opening" and not is_interrupted:
                used.close()
            if kind == "member":
                client.close()
            del used, client
        gc.collect()
        end = time.monotonic() + 20
        while (left := threads(before)) or clients(raw):
            assert time.monotonic() < end, (left, clients(raw))
            time.sleep(0.01)
    assert number > 20


def threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("streamcore")]
