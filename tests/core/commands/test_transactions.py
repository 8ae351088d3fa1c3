from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command, discard, exec_, multi, unwatch, watch
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (multi(), ("MULTI",), False),
        (exec_(), ("EXEC",), False),
        (discard(), ("DISCARD",), False),
        (watch("a", "b"), ("WATCH", b"a", b"b"), True),
        (unwatch(), ("UNWATCH",), False),
    ],
)
def test_none_of_them_runs_on_a_shared_link(command: Command[Any], sent: tuple[Any, ...], repeatable: bool) -> None:
    assert command.args == sent
    assert command.traits.use is LinkUse.FORBIDDEN
    assert command.repeatable is repeatable


def test_what_is_watched_are_keys() -> None:
    assert watch("a", "b").keys == (b"a", b"b")
    assert unwatch().keys == ()


def test_something_must_be_watched() -> None:
    with pytest.raises(InvalidArgument, match="name at least one key"):
        watch()
