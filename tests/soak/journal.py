"""What a process writes down that may be killed at any moment.

A line is one write to a file of its own, so that SIGKILL loses none that was written before; the page cache belongs to the
system. The clock is the machine's monotonic one, the same in every process.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from streamcore import Event


class Line(NamedTuple):
    at: float
    kind: str
    words: list[str]


class Journal:
    """Of a worker: ``H`` handed over, ``A`` acknowledged, ``N`` given back, ``E`` event. Of the producer: see there."""

    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, *words: object) -> None:
        line = "\t".join([f"{time.monotonic():.6f}", kind, *map(str, words)])
        os.write(self._file, line.encode() + b"\n")

    def event(self, event: Event) -> None:
        facts = {name: _plain(value) for name, value in asdict(event).items()}
        self.write("E", type(event).__name__, json.dumps(facts))


def read(path: Path) -> Iterator[Line]:
    for line in path.read_text().splitlines():
        at, kind, *words = line.split("\t")
        yield Line(float(at), kind, words)


def end_with_our_parent() -> None:
    """When standard input ends, so do we."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (int, float, str, type(None))) else str(value)
