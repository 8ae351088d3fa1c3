"""What goes wrong where a user may not do everything."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

RIGHTS: Final = (
    Mutant(
        "degraded-never-told",
        "streamcore.engine.degradation",
        "            self._emit(event)\n",
        "            pass\n",
        "a client that does without what it may not do, and says nothing",
    ),
    Mutant(
        "degraded-told-each-time",
        "streamcore.engine.degradation",
        "            self._told.add(event)\n",
        "",
        "a warning at each refusal: a log that nobody reads any more",
    ),
    Mutant(
        "refused-in-a-script-ends-the-member",
        "streamcore.errors",
        "    elif kind is ReplyError and is_refusal_in_script(message):\n        kind = NoPermissionError\n",
        "",
        "0.1: `ERR ACL failure in script` is no NOPERM, so the natural rule +@stream +@scripting ends a member at its start",
    ),
)
