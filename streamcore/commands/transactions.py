"""The words of a transaction. A client has ``transaction()``, which uses them where they cannot do harm.

MULTI, EXEC and DISCARD change the meaning of the commands in between, so no client takes them singly. WATCH and
UNWATCH belong to a connection as well: only a lease, which is a single caller's, takes them.
"""

from __future__ import annotations

from typing import Any, Final

from ..arguments import Name
from .command import ALL_KEYS, NO_KEYS, Command, LinkUse, Traits
from .keys import key_names

_FORBIDDEN: Final = Traits(NO_KEYS, use=LinkUse.FORBIDDEN)


def multi() -> Command[bytes]:
    """From here on commands are queued, each answered by ``QUEUED`` (``MULTI``)."""
    return Command(("MULTI",), traits=_FORBIDDEN)


def exec_() -> Command[list[Any] | None]:
    """Execute the queued commands; answers all replies, unparsed, or None where a watched key was changed (``EXEC``).

    Raises ``ExecAbortError`` where a command had been refused; none is executed then.
    """
    return Command(("EXEC",), traits=_FORBIDDEN)


def discard() -> Command[bytes]:
    """Discard the queued commands, and the watched keys (``DISCARD``)."""
    return Command(("DISCARD",), traits=_FORBIDDEN)


def watch(*keys: Name) -> Command[bytes]:
    """Have the next EXEC of this connection execute nothing if a key is changed before (``WATCH``)."""
    return Command(("WATCH", *key_names(keys)), traits=Traits(ALL_KEYS, repeatable=True, use=LinkUse.FORBIDDEN))


def unwatch() -> Command[bytes]:
    """Forget the watched keys (``UNWATCH``)."""
    return Command(("UNWATCH",), traits=_FORBIDDEN)
