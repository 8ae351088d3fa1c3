"""Producers that note their ended requests, for tests, and the questions of an idempotent producer."""

from __future__ import annotations

from typing import Any

from streamcore.errors import reply_error
from streamcore.producer.producer import Producer
from streamcore.requests import Request
from streamcore.scripts.producer import APPEND_ONCE
from streamcore.testing.pair import Pair
from tests.core.support.entropy import entropy

SHA = APPEND_ONCE.sha
NO_SCRIPT = reply_error("NOSCRIPT No matching script. Please use EVAL.")
LOST = OSError("reset")


class Sender(Producer):
    """A producer that notes each request as it ends."""

    def __init__(self, **options: Any) -> None:
        super().__init__("orders", **options)
        self.ended: list[Request] = []

    def post(self, **fields: Any) -> Request:
        return self.send(fields, self.ended.append)


def sender(**options: Any) -> Sender:
    return Sender(**{"producer_id": "p", "entropy": entropy, **options})


def asked(pair: Pair, window: int = 100, duration: int = 100) -> None:
    """Answer the question how many messages Redis 8.6 remembers, and for how many seconds."""
    pair.server.expect("CONFIG", "GET", "stream-idmp-*")
    pair.server.expect("XINFO", "STREAM", "orders")
    told = {"stream-idmp-maxsize": str(window), "stream-idmp-duration": str(duration)}
    pair.server.answer(told, reply_error("ERR no such key"))


def ready(producer: Sender) -> bool:
    return producer.is_ready


def message(command: list[bytes]) -> bytes:
    return command[5]
