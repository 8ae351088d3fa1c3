"""What tests of commands ask again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import pytest

from streamcore import ReplyError
from streamcore.commands import Command
from transports.blocking import Client

T = TypeVar("T")
Both: TypeAlias = Callable[[Command[T]], T]
"""The fixture ``both``."""


def is_refused(client: Client, command: Command[Any], needs: str) -> None:
    """The server does not know the command, and the error says so: which command, and what server it takes."""
    with pytest.raises(ReplyError) as caught:
        client.execute(command)
    assert caught.value.code == "ERR"
    assert caught.value.command == command.name
    assert needs in str(caught.value)
