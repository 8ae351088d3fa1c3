"""A row of the command table: the function of a command, and its traits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from .protocol import Reply
from .session import Session

Function: TypeAlias = Callable[[Session, list[bytes]], Reply]


class Command(NamedTuple):
    """A row of the command table.

    ``arity`` counts words, the command's included; a negative arity is the least number. ``flags``: ``w`` it writes, ``m`` it
    may need memory, ``r`` it writes nothing and replicas repeat it all the same, ``l`` it works while the server loads its
    data, ``s`` it writes its replies itself and so has no place in MULTI.
    """

    function: Function
    arity: int
    flags: str = ""
    is_recent: bool = False
