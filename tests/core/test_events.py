from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest

import streamcore.events
import streamcore.topology_events
from streamcore.events import (
    LOSS,
    AckMissed,
    ConsumerRemoved,
    Event,
    EventsDropped,
    GroupCreated,
    PendingEntriesDeleted,
)
from streamcore.of_member import OfMember, named

KINDS = get_args(Event)


def test_every_event_of_the_modules_is_in_the_union() -> None:
    told = [*vars(streamcore.events).values(), *vars(streamcore.topology_events).values()]
    found = [kind for kind in told if isinstance(kind, type) and is_dataclass(kind)]
    assert {kind for kind in found if kind is not OfMember} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_frozen_value_that_shows_what_it_is_about(kind: Any) -> None:
    names = [field.name for field in fields(kind)]
    event = kind(**{name: name for name in names})
    assert event == kind(**{name: name for name in names})
    assert repr(event).startswith(type(event).__name__)
    assert kind.__doc__
    assert not hasattr(event, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(event, (*names, "any")[0], None)


def test_what_the_application_will_not_see_counts_as_loss() -> None:
    assert PendingEntriesDeleted in LOSS
    assert set(LOSS) <= set(KINDS)


def test_an_event_tells_to_whom_it_happened_and_is_the_same_all_the_same() -> None:
    event = named(AckMissed(b"s", 2), b"g", b"me")
    assert (event.group, event.consumer) == (b"g", b"me")
    assert event == AckMissed(b"s", 2)
    assert named(event, b"other", b"one") is event


def test_where_it_has_room_for_that_and_does_not_say_so_itself() -> None:
    assert named(GroupCreated(b"s", b"g", "0"), b"g", b"me").consumer == b"me"
    removed = named(ConsumerRemoved(b"s", b"gone"), b"g", b"me")
    assert (removed.consumer, removed.group) == (b"gone", b"g")
    dropped = EventsDropped(3)
    assert named(dropped, b"g", b"me") is dropped
