"""An entry whose id does not come in time is in the same doubt as one whose connection broke."""

from __future__ import annotations

import pytest

from streamcore.errors import ConnectionLost, DeliveryUnknown
from streamcore.producer.producer import Producer
from streamcore.requests import Request
from streamcore.testing.pair import Pair


def ended(request: Request) -> None:
    """The test looks at ``request.finished``."""


def test_sent_and_not_answered() -> None:
    producer = Producer("s")
    pair = Pair(producer)
    request = producer.send({"n": 0}, ended)
    pair.settle()
    pair.server.expect("XADD", "s")
    pair.advance(producer.options.request_timeout)
    with pytest.raises(DeliveryUnknown, match="may be in the stream: localhost:6379 did not answer within 5 s"):
        request.answer()


def test_not_sent() -> None:
    producer = Producer("s")
    pair = Pair(producer, dials=False)
    request = producer.send({"n": 0}, ended)
    pair.advance(producer.options.request_timeout)
    with pytest.raises(ConnectionLost) as caught:
        request.answer()
    assert not caught.value.sent
    assert not isinstance(caught.value, DeliveryUnknown)
