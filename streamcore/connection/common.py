"""The values that an engine has in common with its links: the time, and a record of changes."""

from __future__ import annotations

from typing import Any


class Clock:
    """The time that the driver told last; an engine and its links share it."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class Changes:
    """A record of the changes in the links and parts of an engine, so that nothing need ask all of them.

    ``outputs``: the links that may want a connection, or none, may have data to send, or may want data or not, otherwise than
    before; a set in the order of the changes. ``deadlines``: when the ``handle_timeout`` of a link or part is due, in
    seconds, infinity for never; a link or part writes its own whenever it changes, and after each ``handle_timeout``.
    """

    __slots__ = ("deadlines", "outputs")

    def __init__(self) -> None:
        self.outputs: dict[Any, None] = {}
        self.deadlines: dict[Any, float] = {}
