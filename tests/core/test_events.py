from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest

import streamcore.events
from streamcore.events import LOSS, Event, Tombstones

KINDS = get_args(Event)


def test_every_event_of_the_module_is_in_the_union() -> None:
    defined = {kind for kind in vars(streamcore.events).values() if isinstance(kind, type) and is_dataclass(kind)}
    assert defined == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_frozen_value_that_shows_what_it_is_about(kind: Any) -> None:
    names = [field.name for field in fields(kind)]
    event = kind(*names)
    assert event == kind(*names)
    assert repr(event).startswith(type(event).__name__)
    assert kind.__doc__
    assert not hasattr(event, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(event, names[0], None)


def test_what_the_application_will_not_see_counts_as_loss() -> None:
    assert Tombstones in LOSS
    assert set(LOSS) <= set(KINDS)
