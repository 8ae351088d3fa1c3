"""What goes wrong between an acknowledgement and the server's word on it."""

from __future__ import annotations

from typing import Final

from .mutant import Edit, Mutant

SETTLING: Final = "streamcore.group.settling"
SETTLEMENTS_OF: Final = "streamcore.group.settlements"
PENDING: Final = "streamcore.group.pending"
SCRIPTS: Final = "streamcore.testing.model.commands.scripting"

SETTLEMENTS: Final = (
    Mutant(
        "acks-lost-on-reconnect",
        SETTLING,
        "pending.lose(acks.ride for acks in rides)",
        "[pending.confirm(acks.ride) for acks in rides]",
        "issue 6: acknowledgements that were under way are forgotten, and their entries come again",
    ),
    Mutant(
        "letters-of-another-type-end-the-member",
        SETTLING,
        "if error.code in UNAVAILABLE or not isinstance(one, (Burial, Nack)):",
        "if error.code:",
        "issue 13: a dead-letter key of another type, or forbidden, ended the member",
    ),
    Mutant(
        "a-letter-that-waits-is-forgotten",
        SETTLING,
        "late.append(one)",
        "assert one",
        "issue 13: a dead letter that could not be written is never written, and its entry pending for ever",
    ),
    Mutant(
        "who-waits-for-a-letter-does-not-renew",
        "streamcore.group.pending_pages",
        "held = holdings.queue.ids(piece.stream) | holdings.pending.unburied(piece.stream)",
        "held = holdings.queue.ids(piece.stream)",
        "issue 13: an entry whose dead letter waits counts as idle, and another member is handed it",
    ),
    Mutant(
        "acks-never-flushed",
        SETTLING,
        "            self.at_once = True\n        return self.at_once",
        "            self.at_once = False\n        return True",
        "acknowledgements wait for the next read, which waits for entries",
    ),
    Mutant(
        "acks-not-fenced",
        PENDING,
        "Ack(stream, ids[at : at + MAX_IDS], repeated, member.fenced, member.report_acks)",
        "Ack(stream, ids[at : at + MAX_IDS], repeated, False, member.report_acks)",
        "XACK does not ask who owns an entry: a slow member settles what another one is at work with",
    ),
    Mutant(
        "partial-ack-settles-all",
        "streamcore.entries",
        "self.unsettled = set(everything)\n        fresh",
        "self.unsettled = set(ids)\n        fresh",
        "a batch whose first entry is acknowledged counts as done: the others are in nobody's account",
    ),
    Mutant(
        "missed-ack-untold",
        SETTLEMENTS_OF,
        "missed = len(self.ids) - answer",
        "missed = 0",
        "XACK that answers 0 is taken for success",
    ),
    Mutant(
        "lost-lease-untold",
        "streamcore.group.reconciliation",
        "context.emit(OwnershipLost(stream, tuple(sorted(gone, key=StreamId.parse))))",
        "pass",
        "the application works on, with an entry that another member has by now",
    ),
    Mutant(
        "unfenced-dead-letter",
        "streamcore.scripts.group",
        "if not owned(ARGV[3]) then\n",
        "if false then\n",
        "issue 6: the repetition after a lost reply writes the dead letter a second time",
        mirror=Edit(
            SCRIPTS,
            "if not _owned(s, keys[0], group, owner, id_):\n        return 0",
            "if False:\n        return 0",
        ),
    ),
    Mutant(
        "dead-letter-without-its-data",
        "streamcore.scripts.group",
        "for at = 4, #ARGV do table.insert(fields, ARGV[at]) end",
        "fields = {unpack(ARGV, 4)}",
        "a dead letter that says why and not what",
        mirror=Edit(SCRIPTS, 'b"*", *fields, *about)', 'b"*", *about)'),
    ),
    Mutant(
        "dead-letter-not-settled",
        "streamcore.scripts.group",
        "redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])\nreturn letter",
        "return letter",
        "a dead letter that stays pending: buried again by the next member",
        mirror=Edit(SCRIPTS, 's.server.call(s, b"XACK", keys[0], group, id_)', "pass"),
    ),
    Mutant(
        "nack-keeps-its-owner",
        SETTLEMENTS_OF,
        "member.group, member.name, NACKED, idle, wait, counted, *self.ids)",
        "member.group, member.name, member.name, idle, wait, counted, *self.ids)",
        "a refused entry that stays with its owner: nobody claims from himself",
    ),
    Mutant(
        "deleted-entry-settled-for-good",
        SETTLEMENTS_OF,
        'return ("XCLAIM", self.stream, member.group, member.name, FOREVER, *self.ids, "JUSTID")',
        'return ("XACK", self.stream, member.group, *self.ids)',
        "0.1: the acknowledgement of a deleted entry settles it when a failover has brought it back",
    ),
    Mutant(
        "repeated-fence-says-nothing",
        SETTLEMENTS_OF,
        "lost.update(theirs, () if self.repeated else settled)",
        "lost.update(() if self.repeated else theirs + settled)",
        "0.1: a fenced acknowledgement that is repeated, of what another member has, is lost in silence",
    ),
    Mutant(
        "repeated-burial-untold",
        "streamcore.scripts.group",
        "if about then return one[1] end",
        "",
        "0.1: a dead letter whose answer was lost is told by no event",
        mirror=Edit(SCRIPTS, "if origin <= set(_pairs(fields))), 1)", "if False), 1)"),
    ),
    Mutant(
        "said-of-another-entry",
        "streamcore.group.lineage",
        "return self._pending.streams() if self.may_be_turned_back(origin) else []",
        "return []",
        "all clients: after a failover, what was said of an entry is taken for another one that has its id",
    ),
    Mutant(
        "unsure-delivery-counts-when-given-back",
        "streamcore.group.release",
        "return deliveries - (is_unsure and self._context.member.remove_on_leaving)",
        "return deliveries",
        "seed 2012262: what a dead process was given, and nobody saw, is given back as seen, and buried at the first refusal",
        scenario="applications",
    ),
    Mutant(
        "void-ids-ride-again",
        PENDING,
        "riding.void.setdefault(stream, set()).update(ids)",
        "pass",
        "seed 2015810: an acknowledgement on its way when its id came to mean another entry is repeated, and settles that",
    ),
)
