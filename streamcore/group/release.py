"""Give back on leaving: entries that were read ahead and never handed over, and the name.

Entries are pending for us, and other members would claim them only when they have been idle for long enough. So we tell the
server that they have been (``XCLAIM ... IDLE``), and that the delivery did not count: the next pass of any member takes them
over. A member that stays in the group keeps them under its own name, and with them their history: a delivery that the
application has perhaps not seen. An entry that another member has claimed meanwhile is its own, also where the release is
repeated after a lost reply: a script looks.
"""

from __future__ import annotations

from typing import Any, Final

from ..connection.exchange import Arguments
from ..engine.degradation import GIVING_BACK, GUARD, REMOVING
from ..engine.script import Steps
from ..entries import GroupBatch
from ..scripts.group import RELEASE, REMOVE
from ..scripts.lease import LET_GO
from .context import GroupContext
from .options import NACKED
from .pending import Pending
from .redelivery_queue import Waiting
from .settlements import NO_CLAIMS

MAX_IDS: Final = 1000
_WHAT: Final = {LET_GO: GUARD, REMOVE: REMOVING}
"""The function that is degraded where a script is refused."""


class Release:
    """The release of entries, and of the name; true while the server does not know of all of it yet."""

    def __init__(self, context: GroupContext, pending: Pending) -> None:
        self._context = context
        self._pending = pending
        self._ids: dict[tuple[bytes, int], list[bytes]] = {}  # by stream, and how often they were handed over
        self._parting: list[Arguments] = []
        self._telling = 0  # exchanges on their way; either link may have one

    def __bool__(self) -> bool:
        return bool(self.unsent or self._telling)

    @property
    def unsent(self) -> bool:
        """Whether an entry, or the name, is to be released that is not on its way."""
        return bool(self._ids or self._parting)

    def add(self, batch: GroupBatch[Any]) -> None:
        """Give back the entries of a batch that the application has not seen."""
        ours = [id_ for id_ in batch.ids if batch.unsettled is None or id_ in batch.unsettled]
        if ours:
            counted = self._counted(batch.deliveries - 1, is_unsure=batch.is_unsure)
            self._ids.setdefault((batch.key, counted), []).extend(ours)
            self._pending.forget(batch.key, set(ours))

    def add_waiting(self, waiting: Waiting) -> None:
        """Give back an entry that was not handed over again."""
        counted = self._counted(waiting.deliveries, is_unsure=waiting.is_unsure)
        self._ids.setdefault((waiting.stream, counted), []).append(waiting.id)

    def _counted(self, deliveries: int, *, is_unsure: bool) -> int:
        """Deliveries to tell of: under the name ``NACKED``, an unsure delivery would count as seen."""
        return deliveries - (is_unsure and self._context.member.remove_on_leaving)

    def part(self, commands: list[Arguments]) -> None:
        """Send the commands that give the name free with the next release."""
        self._parting = commands

    def run(self) -> Steps[None]:
        """Release the entries, if any (``XCLAIM``). Entries that the server refuses stay pending, and will be idle in time."""
        if not self.unsent:
            return
        ids, self._ids = self._ids, {}
        parting, self._parting = self._parting, []
        self._telling += 1
        commands = [*self._commands(ids), *parting]
        try:
            replies = yield from self._context.ask(*commands)
        except BaseException:  # the reply will never come
            for key, lost in ids.items():
                self._ids.setdefault(key, []).extend(lost)
            self._parting = self._parting or parting
            raise
        finally:
            self._telling -= 1
        for command, reply in zip(commands, replies, strict=True):
            self._context.degradation.is_forbidden(_WHAT.get(command[1], GIVING_BACK), command, reply)

    def _commands(self, ids_of: dict[tuple[bytes, int], list[bytes]]) -> list[Arguments]:
        member = self._context.member
        idle = int((member.claim_idle or NO_CLAIMS) * 1000)
        owner = NACKED if member.remove_on_leaving else member.name
        return [
            ("EVAL", RELEASE, 1, stream, member.group, member.name, owner, idle, deliveries, *ids[at : at + MAX_IDS])
            for (stream, deliveries), ids in ids_of.items()
            for at in range(0, len(ids), MAX_IDS)
        ]
