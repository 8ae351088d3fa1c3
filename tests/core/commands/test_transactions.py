from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command, discard, exec_, multi, unwatch, watch
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "use"),
    [
        (multi(), ("MULTI",), LinkUse.FORBIDDEN),
        (exec_(), ("EXEC",), LinkUse.FORBIDDEN),
        (discard(), ("DISCARD",), LinkUse.FORBIDDEN),
        (watch("a", "b"), ("WATCH", b"a", b"b"), LinkUse.DEDICATED),
        (unwatch(), ("UNWATCH",), LinkUse.DEDICATED),
    ],
)
def test_none_of_them_runs_on_a_shared_link(command: Command[Any], sent: tuple[Any, ...], use: LinkUse) -> None:
    assert (command.args, command.traits.use, command.repeatable) == (sent, use, False)


def test_what_is_watched_are_keys() -> None:
    assert watch("a", "b").keys == (b"a", b"b")
    assert unwatch().keys == ()


def test_something_must_be_watched() -> None:
    with pytest.raises(InvalidArgument, match="name at least one key"):
        watch()
