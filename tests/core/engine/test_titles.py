"""What logs and events call an engine: what it is, and what it works at."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.arguments import listed
from streamcore.channels import Naming, Settings, StreamHub
from streamcore.consumer.consumer import Consumer
from streamcore.events import Connected, Disconnected, GroupCreated, Reconnected
from streamcore.group.consumer import GroupConsumer
from streamcore.producer.producer import Producer
from streamcore.pubsub import PubSub
from streamcore.requests import Multiplexer
from streamcore.testing.pair import Pair
from tests.core.support.members import consume
from tests.core.support.server import Server


@pytest.mark.parametrize(
    ("engine", "title"),
    [
        (Consumer({"s": "0", "t\xff": "0"}), "Consumer of s, t\xff"),
        (GroupConsumer("s", group="g", consumer="me"), "GroupConsumer me of g on s"),
        (GroupConsumer({"s": "g", "t": "h"}, consumer="me"), "GroupConsumer me of g on s; GroupConsumer me of h on t"),
        (Producer("s"), "Producer of s"),
        (Multiplexer(), "Client"),
        (PubSub(["a"]), "PubSub"),
        (StreamHub(Settings(), Naming("", None)), "Channels"),
    ],
)
def test_a_title_names_what_it_is_about(engine: Any, title: str) -> None:
    assert engine.title == title


def test_of_many_names_the_first_are_shown() -> None:
    assert listed([b"a"]) == "a"
    assert listed([b"a", b"b", b"c"]) == "a, b, c"
    assert listed([b"a", b"b", b"c", b"d", b"\xff"]) == "a, b, c and 2 more"


def test_a_member_that_reads_nothing_any_more_is_still_one_of_a_group() -> None:
    member = GroupConsumer("s", group="g", consumer="me")
    member.remove_stream("s")
    assert member.title == "GroupConsumer me of g"


def test_what_happens_to_a_link_says_whose_it_is() -> None:
    pair = Pair(Consumer({"s": "0"}, detect_gaps=False))
    pair.server.close(OSError("reset"))
    pair.advance(1)
    kinds = {type(event): event.owner for event in pair.events()}  # type: ignore[union-attr]  # all of them are about links
    assert kinds == dict.fromkeys((Connected, Disconnected, Reconnected), "Consumer of s")


def test_what_happens_to_a_member_says_to_which() -> None:
    _, net = consume(Server())
    [created] = [event for event in net.pair.events() if isinstance(event, GroupCreated)]
    assert (created.group, created.consumer) == (b"g", b"c")
