"""What goes wrong in a member of a consumer group: what is pending and unseen, other members' entries, the group itself."""

from __future__ import annotations

from typing import Final

from .mutant import Edit, Mutant

READ_LOOP: Final = "streamcore.group.read_loop"
CLAIMING: Final = "streamcore.group.claiming"
AUDIT: Final = "streamcore.group.audit"
RECOVERY: Final = "streamcore.group.recovery"
PORTIONS: Final = "streamcore.reading.portions"
SETUP: Final = "streamcore.group.setup"
GROUP_CREATION: Final = "streamcore.group.group_creation"
GROUP_LOOKS: Final = "streamcore.group.group_looks"
LOW_WATER: Final = "streamcore.group.low_water"
NAME_LEASE: Final = "streamcore.group.name_lease"
ABSENT_STREAMS: Final = "streamcore.group.absent_streams"
IN_FLIGHT: Final = "streamcore.group.in_flight"
REDELIVERY: Final = "streamcore.group.redelivery"
IDLE_CONSUMERS: Final = "streamcore.group.idle_consumers"
SETTLEMENTS: Final = "streamcore.group.settlements"
SCRIPTS: Final = "streamcore.testing.model.commands.scripting"

GROUPS: Final = (
    Mutant(
        "own-pending-not-read-again",
        RECOVERY,
        "rows = yield from self._own_page(stream, start, size)",
        "rows = []",
        "issue 6: after a lost reply its entries stay pending for us and are never handed over",
    ),
    Mutant(
        "no-audit",
        AUDIT,
        "return inf if self._phase.stage.is_leaving else self._rounds.at",
        "return inf",
        "no periodic look at the own pending entries: what a ghost took is never found",
    ),
    Mutant(
        "absent-streams-not-looked-for-without-room",
        READ_LOOP,
        """            elif self._clock.now >= self._arrivals.at and not self.phase.stage.stops:
                yield from self._arrivals.look()
""",
        "",
        "seed 2000263: their time has come, nothing looks for them while what was left is recovered, and the timer is due for ever",
        scenario="applications",
    ),
    Mutant(
        "ghost-not-killed",
        "streamcore.group.stale_connections",
        "[killed] = yield from ask(kill)",
        "killed = 0",
        "issue 6: the old connection is still blocked in XREADGROUP, and the server serves it first",
    ),
    Mutant(
        "kill-by-id-unchecked",
        "streamcore.group.stale_connections",
        "if ghost is None or not ghost.is_proof or ghost.run_id != present.run_id:",
        'if ghost is None or (yield from ask(("CLIENT", "KILL", "ID", ghost.client_id))) is not None:',
        "issue 6: a kill by id alone; ids begin anew with the server, and that of our former connection is somebody else's",
    ),
    Mutant(
        "group-recreated-at-the-end",
        GROUP_CREATION,
        'create = ("XGROUP", "CREATE", stream, member.group, start, ',
        'create = ("XGROUP", "CREATE", stream, member.group, "$" if is_lost else start, ',
        "issue 6: a group that vanished is created again at `$`, and what was not delivered is skipped",
    ),
    Mutant(
        "group-recreated-below-own-mark",
        GROUP_LOOKS,
        "self.low_water.note(stream, delivered, StreamId.parse(lowest) if total else None)",
        "own = pending_for(self._context.member.name, summary)\n"
        "        self.low_water.note(stream, delivered, StreamId.parse(lowest) if own else None)",
        "issue 6: created again below our own mark; what was pending for other members is lost",
    ),
    Mutant(
        "recreation-untold",
        GROUP_CREATION,
        "context.emit(event)",
        "pass",
        "a group that is created again in silence: duplicates nobody can explain",
    ),
    Mutant(
        "group-recreated-above-another-stream",
        LOW_WATER,
        "if mark is None or mark.breaks != gaps.breaks(stream) or gaps.sameness(stream, told) is not Sameness.SAME:",
        "if mark is None or not told or not isinstance(told[0], dict):",
        "a group is created again above unread entries of a new stream that has passed the low-water mark",
    ),
    Mutant(
        "claim-cursor-never-wraps",
        CLAIMING,
        "self._claim_from.pop(stream, None)\n            return True",
        'self._claim_from[stream] = b"(" + rows[-1][0] if rows else b"+"\n            return True',
        "issue 6: a cursor of claims that stays at the end; what becomes idle below it is never claimed",
    ),
    Mutant(
        "claims-nothing",
        CLAIMING,
        "yield from self._take_over(stream, [row for row in free if row[3]])",
        "pass",
        "most clients leave claiming to the application; what a dead consumer had is never processed",
    ),
    Mutant(
        "claim-steals",
        CLAIMING,
        'claim = ("XCLAIM", stream, member.group, member.name, min(row[2] for row in rows), *ids)',
        'claim = ("XCLAIM", stream, member.group, member.name, 0, *ids)',
        "a claim without its idle time: two members take the same entry",
    ),
    Mutant(
        "claim-too-early",
        CLAIMING,
        "finished = yield from self._look(stream, max(1, int(patience * 1000)))",
        "finished = yield from self._look(stream, max(1, int(patience * 250)))",
        "issue 6: a timer that fires early; entries are taken from members that are at work",
    ),
    Mutant(
        "nacked-delay-ignored",
        CLAIMING,
        "return {id_ for id_, due in listed.items() if due > now}",
        "return set()",
        "an entry that shall wait comes again at once",
    ),
    Mutant(
        "no-renewal",
        "streamcore.group.renewal",
        "ours = [row[0] for row in rows if row[2] >= idle and row[0] in held]",
        "ours = [row[0] for row in rows if row[2] >= idle and not held]",
        "most clients: a handler slower than the idle time loses its entry to another member",
    ),
    Mutant(
        "renewal-takes-back",
        "streamcore.group.renewal",
        '("XCLAIM", piece.stream, member.group, member.name, idle, *ours, "JUSTID")',
        '("XCLAIM", piece.stream, member.group, member.name, 0, *held, "JUSTID")',
        "a lease that is renewed although another member has it by now",
    ),
    Mutant(
        "reconnect-counts-as-attempt",
        REDELIVERY,
        "if not self._in_doubt:",
        "if not self._in_doubt or self._in_doubt:",
        "issue 6: a flapping link condemns healthy entries to the dead letters",
    ),
    Mutant(
        "recovery-counts-as-attempt",
        RECOVERY,
        'yield from context.ask((*claim, "RETRYCOUNT", 1))',
        "yield from context.ask((*claim,))",
        "issue 6: XCLAIM raises the counter of what nobody has seen",
    ),
    Mutant(
        "attempt-not-recorded",
        REDELIVERY,
        "deliveries = first.deliveries + 1",
        "deliveries = first.deliveries",
        "an entry that never reaches its last attempt",
    ),
    Mutant(
        "entering-leaves-a-backlog",
        "streamcore.group.reconciliation",
        "                self._recovery.recovered(stream)",
        "                pass",
        "0.1: nothing was pending when a member entered, and each later reconnect counts as an attempt",
    ),
    Mutant(
        "own-past-condemned",
        RECOVERY,
        "self.queue(stream, ours, EntriesRecovered, grace=inf)",
        "self.queue(stream, ours, EntriesRecovered, grace=0)",
        "0.1: what a failover brings back, acknowledged, is buried by the very process that has done it",
        mirror=Edit(RECOVERY, "return bound is not None and StreamId.parse(id_) <= bound", "return False"),
    ),
    Mutant(
        "own-past-claimed-and-condemned",
        RECOVERY,
        "if is_over and not self._backlog.may_be_settled(stream, id_):",
        "if is_over:",
        "seed 2010420: what a failover brings back to another member is buried by the process that has settled it",
    ),
    Mutant(
        "taken-over-and-condemned",
        SETUP,
        "            self._backlog.spare(stream)",
        "            pass",
        "0.1: a twin buries what the older one has in hand",
    ),
    Mutant(
        "former-holder-forgotten",
        NAME_LEASE,
        "return self._lease(stream).former",
        "return [self._lease(stream).former, self.done_with(stream)][0]",
        "0.1: the same, where its connection broke before it had looked whether the older one is there",
    ),
    Mutant(
        "unsure-delivery-counts",
        "streamcore.group.pending",
        "attempts = batch.deliveries - batch.is_unsure",
        "attempts = batch.deliveries",
        "0.1: what a dead process had read ahead, and its ghost had got, is buried when it is refused for the first time",
    ),
    Mutant(
        "max-deliveries-off-by-one",
        "streamcore.group.options",
        "return self.max_deliveries is not None and deliveries >= self.max_deliveries",
        "return self.max_deliveries is not None and deliveries >= self.max_deliveries - 1",
        "a dead letter one attempt too early",
    ),
    Mutant(
        "tombstone-crashes",
        REDELIVERY,
        "there = [entry for entry in entries if entry[1] is not None]",
        "there = entries",
        "issue 6: an entry that was deleted while it was pending has no fields, and nobody thought of it",
    ),
    Mutant(
        "in-flight-unbounded",
        IN_FLIGHT,
        "wanted, most = self._wanted, member.max_in_flight - self.expected",
        "wanted, most = self._wanted, 1 << 40",
        "issue 6: an unbounded queue, of entries that are not acknowledged",
    ),
    Mutant(
        "expired-stream-put-back",
        ABSENT_STREAMS,
        'member.create == "group" or (is_lost and member.on_stream_lost == "wait")',
        'member.create == "group"',
        "issue 13: a stream that has expired is created anew by whoever follows it, and stays for ever, empty",
    ),
    Mutant(
        "expired-stream-forgotten",
        "streamcore.group.stream_changes",
        "return self._absent.at",
        "return inf",
        "a stream that is gone is waited for, and nobody looks whether there is one again",
    ),
    Mutant(
        "streams-of-a-round-skipped",
        "streamcore.group.rounds",
        "taken = [self._due.popitem(last=False)[0] for _ in range(min(self._size, len(self._due)))]",
        "taken = [self._due.popitem(last=False)[0] for _ in range(min(self._size, len(self._due)))][1:]",
        "what should have been looked after piece by piece is left out where a piece begins",
    ),
    Mutant(
        "read-deadline-is-block-in-groups",
        READ_LOOP,
        "return Exchange([read], self.context.block + timeout)",
        "return Exchange([read], self.context.block)",
        "issue 6: a socket timeout equal to BLOCK; each idle read costs the connection",
    ),
    Mutant(
        "ack-before-the-handler",
        "streamcore.group.intake",
        "self._prefetch.add(batch)",
        "self._prefetch.add(batch)\n            batch.ack()",
        "issue 6: what is acknowledged on receipt is lost with the process",
    ),
    Mutant(
        "polls-instead-of-blocking",
        READ_LOOP,
        "block: Arguments = self._waiting() if blocked and is_alone else ()",
        "block: Arguments = ()",
        "clients that poll: an idle consumer sends as many commands as the network takes",
    ),
    Mutant(
        "left-without-giving-back",
        "streamcore.group.member",
        "while (batch := prefetch.pop()) is not None:\n                loop.release.add(batch)",
        "while (batch := prefetch.pop()) is not None:\n                pass",
        "a graceful stop that leaves what was read ahead to the idle time",
    ),
    Mutant(
        "theft-on-leaving",
        "streamcore.scripts.group",
        "local claim, given = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0}, 0\n"
        "for at = 6, #ARGV do\n    if owned(ARGV[at]) then",
        "local claim, given = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0}, 0\nfor at = 6, #ARGV do\n    if true then",
        "a member that leaves gives back what another one has claimed meanwhile",
        mirror=Edit(
            SCRIPTS,
            "group, owner, successor, idle, deliveries, *ids = args\n"
            "    given = [id_ for id_ in ids if _owned(s, keys[0], group, owner, id_)]",
            "group, owner, successor, idle, deliveries, *ids = args\n    given = ids",
        ),
    ),
    Mutant(
        "busy-consumer-removed",
        "streamcore.scripts.group",
        "if not is_held and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[at]) == 0 then",
        "if not is_held then",
        "XGROUP DELCONSUMER of a member with pending entries: the server forgets them",
        mirror=Edit(
            SCRIPTS,
            'if not (is_held or s.server.call(s, b"XPENDING", keys[0], group, b"-", b"+", b"1", name)):',
            "if not is_held:",
        ),
    ),
    Mutant(
        "claims-walk-the-list",
        CLAIMING,
        '("XPENDING", stream, member.group, start, "+", size, *whose)',
        '("XPENDING", stream, member.group, "IDLE", 1, start, "+", size, *whose)',
        "0.1: XPENDING with IDLE walks all that is pending, and blocks the server meanwhile",
    ),
    Mutant(
        "renewal-walks-the-list",
        "streamcore.group.pending_pages",
        '("XPENDING", piece.stream, member.group, piece.ids[0], piece.ids[-1], PAGE, member.name)',
        '("XPENDING", piece.stream, member.group, "IDLE", 1, "-", "+", PAGE, member.name)',
        "0.1: the same, of all that is pending for one consumer, at each renewal",
    ),
    Mutant(
        "names-without-a-budget",
        IDLE_CONSUMERS,
        "self._names[0][0] == stream and len(names) < MOST:",
        "self._names[0][0] == stream:",
        "thousands of dead consumers are removed in one go, and nobody else is served meanwhile",
    ),
    Mutant(
        "names-are-left",
        IDLE_CONSUMERS,
        "yield from self._remove()",
        "self._names.clear()",
        "whoever dies under a name of its own leaves it in the group for ever",
    ),
    Mutant(
        "stream-that-is-gone-has-more",
        PORTIONS,
        "self._busy = [stream for stream in self._busy if stream in known]",
        "pass",
        "seed 2013937: a stream that had more is read no more, and the reads of the others go round and round without waiting",
        scenario="applications",
        mirror=Edit(
            PORTIONS,
            "if split and self._busy and not self._apart:\n            self._apart, busy = True, self._busy[:limit]",
            "if split and not self._apart and (busy := [one for one in self._busy if one in known][:limit]):\n"
            "            self._apart = True",
        ),
    ),
    Mutant(
        "upkeep-before-the-work",
        "streamcore.group.tasks",
        "if self._has_read and not (self._phase.stage.stops or self._idling):",
        "if not (self._phase.stage.stops or self._idling):",
        "0.1: the first entry waits until thousands of dead consumers are removed",
    ),
    Mutant(
        "redelivered-one-by-one",
        REDELIVERY,
        "if first.deliveries > 1 or self._context.member.max_deliveries is not None:",
        "if first.deliveries:",
        "0.1: a round trip for each of a million entries that an earlier run has left",
    ),
)
