"""What whoever leaves gives back: entries that were read ahead and never handed over, and the name.

Entries are pending for us, and would be claimed by others only when they have been idle for long enough. So we tell the server
that they have been (``XCLAIM ... IDLE``), and that the delivery did not count: the next pass of any member takes them over.
What our name tells of an entry goes where the name does: that it was delivered once, to a process that died, and perhaps not seen.
What another member has claimed meanwhile is its own, also where we say this once more after a lost reply: a script looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..connection.exchange import Arguments
from ..engine.degradation import GIVING_BACK, GUARD, REMOVING
from ..engine.script import Steps
from ..entries import GroupBatch
from ..scripts.group import RELEASE, REMOVE
from ..scripts.lease import LET_GO
from .options import NACKED
from .settlements import NO_CLAIMS

if TYPE_CHECKING:
    from .read_loop import GroupReading
    from .redelivery import Waiting

MAX_IDS: Final = 1000
_WHAT: Final = {LET_GO: GUARD, REMOVE: REMOVING}
"""What is done without where one of these scripts is refused."""


class Returns:
    """What one consumer gives back; true while there is something that the server does not know yet."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._ids: dict[tuple[bytes, int], list[bytes]] = {}  # by stream, and how often they were handed over
        self._parting: list[Arguments] = []
        self._telling = 0  # exchanges on their way; either link may have one

    def __bool__(self) -> bool:
        return bool(self.unsent or self._telling)

    @property
    def unsent(self) -> bool:
        """Whether there is something to tell that is not on its way."""
        return bool(self._ids or self._parting)

    def add(self, batch: GroupBatch[Any]) -> None:
        """Nobody has seen these entries; those that others have claimed meanwhile are theirs."""
        ours = [id_ for id_ in batch.ids if batch.unsettled is None or id_ in batch.unsettled]
        if ours:
            counted = self._counted(batch.deliveries - 1, is_unsure=batch.is_unsure)
            self._ids.setdefault((batch.key, counted), []).extend(ours)
            self._consumer.pending.forget(batch.key, set(ours))

    def add_waiting(self, one: Waiting) -> None:
        """Nobody has seen this one again."""
        counted = self._counted(one.deliveries, is_unsure=one.is_unsure)
        self._ids.setdefault((one.stream, counted), []).append(one.id)

    def _counted(self, deliveries: int, *, is_unsure: bool) -> int:
        """Of how many deliveries to tell: under a name that nobody reads as, an unsure one would count as seen."""
        return deliveries - (is_unsure and self._consumer.member.remove_on_leaving)

    def part(self, commands: list[Arguments]) -> None:
        """Say this as well."""
        self._parting = commands

    def run(self) -> Steps[None]:
        """Tell the server, if there is something to tell. What it refuses stays pending, and will be idle in time."""
        if not self.unsent:
            return
        ids, self._ids = self._ids, {}
        parting, self._parting = self._parting, []
        self._telling += 1
        commands = [*self._commands(ids), *parting]
        try:
            replies = yield from self._consumer.ask(*commands)
        except BaseException:  # the reply will never come
            for key, lost in ids.items():
                self._ids.setdefault(key, []).extend(lost)
            self._parting = self._parting or parting
            self._consumer.settling.flush_soon()
            raise
        finally:
            self._telling -= 1
        for command, reply in zip(commands, replies, strict=True):
            self._consumer.degradation.is_forbidden(_WHAT.get(command[1], GIVING_BACK), command, reply)

    def _commands(self, ids_of: dict[tuple[bytes, int], list[bytes]]) -> list[Arguments]:
        member = self._consumer.member
        idle = int((member.claim_idle or NO_CLAIMS) * 1000)
        owner = NACKED if member.remove_on_leaving else member.name
        return [
            ("EVAL", RELEASE, 1, stream, member.group, member.name, owner, idle, deliveries, *ids[at : at + MAX_IDS])
            for (stream, deliveries), ids in ids_of.items()
            for at in range(0, len(ids), MAX_IDS)
        ]
