"""The words of a transaction. A client has ``transaction()``, which uses them where they cannot do harm.

MULTI, EXEC and DISCARD change what the commands in between mean, so no client takes them one by one. WATCH and UNWATCH
belong to a connection as well: only a lease, which is nobody else's, takes them.
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
    """Execute what was queued; answers all replies, unparsed, or None where a watched key was changed (``EXEC``).

    Raises ``ExecAbortError`` where one of the commands had been refused; none is executed then.
    """
    return Command(("EXEC",), traits=_FORBIDDEN)


def discard() -> Command[bytes]:
    """Forget what was queued, and what was watched (``DISCARD``)."""
    return Command(("DISCARD",), traits=_FORBIDDEN)


def watch(*keys: Name) -> Command[bytes]:
    """The next EXEC of this connection executes nothing if one of the keys is changed before (``WATCH``)."""
    return Command(("WATCH", *key_names(keys)), traits=Traits(ALL_KEYS, repeatable=True, use=LinkUse.FORBIDDEN))


def unwatch() -> Command[bytes]:
    """Forget what was watched (``UNWATCH``)."""
    return Command(("UNWATCH",), traits=_FORBIDDEN)
