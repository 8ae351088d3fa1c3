"""What goes wrong when streams are followed without a group: cursors, starting points, gaps, bounds."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

CONSUMER: Final = "streamcore.consumer.consumer"
STREAMS_READER: Final = "streamcore.consumer.streams_reader"
CONTINUITY: Final = "streamcore.reading.continuity"
PREFETCH: Final = "streamcore.reading.reader"

CONSUMERS: Final = (
    Mutant(
        "end-resolved-again",
        "streamcore.consumer.gap_detection",
        "if cursor.continuity is None:\n            cursor.resolve(history)",
        'if cursor.continuity is None or str(cursor.start) == "Lookup.END":\n            cursor.resolve(history)',
        "issue 6: `$` is sent again with the read after a reconnect, and what came in between is skipped",
        scenario="consumer",
    ),
    Mutant(
        "read-deadline-is-block",
        STREAMS_READER,
        "yield Exchange([read], reader.block + reader.request_timeout)",
        "yield Exchange([read], reader.block)",
        "issue 6: a socket timeout equal to BLOCK; each idle read costs the connection",
        scenario="consumer",
    ),
    Mutant(
        "fetched-cursor-saved",
        CONSUMER,
        "ids = {stream: cursor.handed_over for",
        "ids = {stream: cursor.continuity.cursor for",
        "issue 6: the cursor that is saved is that of the last fetch, so a crash skips what was read ahead",
        scenario="consumer",
    ),
    Mutant(
        "kept-batch-counts-as-handed-over",
        CONSUMER,
        "ids[kept.key] = self._streams[kept.key].before",
        "pass",
        "a cursor that is one batch too far while the batch is still being worked at",
        scenario="consumer",
    ),
    Mutant(
        "reply-after-seek-taken",
        STREAMS_READER,
        "if is_other or continuity is None or continuity.cursor != place:",
        "if continuity is None:",
        "a reply that was under way during seek() or remove_stream() is handed over all the same",
        scenario="consumer",
    ),
    Mutant(
        "cursor-at-the-first-of-a-batch",
        CONTINUITY,
        "self.cursor = StreamId.parse(id_)",
        "self.cursor = StreamId.parse(entries[0][0])",
        "off by a batch: the entries behind the first one come again",
        scenario="consumer",
    ),
    Mutant(
        "rewind-unnoticed",
        CONTINUITY,
        "if history.last < self.cursor:",
        "if False:",
        "all clients: after a failover that lost data a consumer waits in silence for ids that never come",
        scenario="consumer",
    ),
    Mutant(
        "gap-untold",
        CONTINUITY,
        "missed = history.removed - self._place - (len(self._ids) - len(left))",
        "missed = 0",
        "all clients: entries that were trimmed before they were read are missed in silence",
        scenario="consumer",
    ),
    Mutant(
        "gap-looked-for-on-connecting-only",
        "streamcore.consumer.gap_detection",
        "elif not cursor.is_proven(reply):",
        "elif False:",
        "a gap check once per connection: what is trimmed during a busy one is missed in silence",
        scenario="consumer",
    ),
    Mutant(
        "another-stream-untold",
        CONTINUITY,
        "gap = self._missed(history, left) if self._is_same(history, left) else self._replaced(history, left)",
        "gap = self._missed(history, left)",
        "case 27c: a stream is deleted, and another one goes on above our cursor; what was lost with it is missed in silence",
        scenario="consumer",
    ),
    Mutant(
        "saved-cursor-believed",
        CONTINUITY,
        "return None if nothing else self._gap(history, None, certain=self._has_lost(history))",
        "return None",
        "all clients: who goes on from a saved cursor hears nothing of what was trimmed behind it meanwhile",
        scenario="consumer",
    ),
    Mutant(
        "gap-after-its-entries",
        STREAMS_READER,
        "if suspects := self._gaps.suspects:",
        "self.hand_on()\n        if suspects := self._gaps.suspects:",
        "the gap is told, but behind the entries that came after it",
        scenario="consumer",
    ),
    Mutant(
        "prefetch-unbounded",
        "streamcore.reading.prefetch",
        "return self._whole + in_flight < self._reads and self._size < self._limit",
        "return in_flight < 2",
        "issue 6: an unbounded queue; a stalled handler fills the memory",
        scenario="consumer",
    ),
    Mutant(
        "batches-out-of-order",
        "streamcore.reading.prefetch",
        "self._ready.append((batch, whole, self.added))",
        "self._ready.appendleft((batch, whole, self.added))",
        "concurrent reads whose replies overtake each other",
        scenario="consumer",
    ),
    Mutant(
        "put-back-at-the-end",
        "streamcore.reading.prefetch",
        "self._ready.appendleft((batch, True, self.reached))",
        "self._ready.append((batch, True, self.added))",
        "what a cancelled wait puts back comes behind what arrived later",
        scenario="consumer",
    ),
    Mutant(
        "put-back-forgets",
        PREFETCH,
        "self.prefetch.put_back(batch)",
        "pass",
        "a cancelled wait loses the entry that it was about to return",
        scenario="consumer",
    ),
    Mutant(
        "demand-not-told",
        PREFETCH,
        "self._owner.want_more()\n            return None\n        try:\n            prefetch.pop()\n"
        "            if self._hand_over is not None:\n                self._hand_over(batch)\n            self.runner.wake()",
        "return None\n        try:\n            prefetch.pop()\n"
        "            if self._hand_over is not None:\n                self._hand_over(batch)",
        "issue 6: a lost wake-up; the reader sleeps although the application has made room",
        scenario="consumer",
    ),
    Mutant(
        "merge-lets-go-too-early",
        "streamcore.consumer.merge",
        "horizon = min([*ends, *unread], default=None)",
        "horizon = None",
        "streams merged by arrival: a full reply of one stream overtakes lower ids of another",
        scenario="consumer",
    ),
    Mutant(
        "empty-stream-read-to-its-end",
        CONTINUITY,
        "at_the_end = goes_on and history.last == behind.id",
        "at_the_end = history.last == behind.id",
        "seed 2001286: at the beginning of a stream an empty one passes for read, and what was seen ahead is gone without a word",
        scenario="consumer",
    ),
    Mutant(
        "counters-never-refuted",
        CONTINUITY,
        "elif self._explained is not None and self._place + len(self._ids) - since > told.added:",
        "elif False:",
        "what the counters of another stream explain is believed, though more of its entries come than they leave room for",
        scenario="restored",
    ),
    Mutant(
        "deletion-behind-counts-as-one-before",
        "streamcore.reading.stream_history",
        "return int(self.passed is None)",
        "return 0",
        "seed 2013436: another stream has as many removed as were read, one of them behind its first, and passes for the former one",
        scenario="consumer",
    ),
)
