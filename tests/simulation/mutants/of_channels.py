"""What goes wrong in channels, and in programs that are written with the async face."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

STREAMS: Final = "streamcore.channels.stream_hub"
READER: Final = "streamcore.channels.stream_reader"
FACE: Final = "transports._facade._async"

CHANNELS: Final = (
    Mutant(
        "joins-before-the-end",
        STREAMS,
        "position.live = topic.reached is not None and position.cursor >= topic.reached",
        "position.live = True",
        "whoever joins is live at once: what came between its history and the reader is lost",
        scenario="channels",
    ),
    Mutant(
        "one-bad-channel-ends-the-hub",
        READER,
        "self._hub.expel(cursor.stream, error)",
        "self.reader.fail(error)",
        "issue 13: a visitor's channel whose key is no stream ended the hub for everybody",
        scenario="channels",
    ),
    Mutant(
        "history-comes-twice",
        READER,
        "[message for message in messages if message.id is not None and message.id > position.cursor]",
        "list(messages)",
        "what was in the history comes once more with the live messages",
        scenario="channels",
    ),
    Mutant(
        "slow-subscriber-goes-on-where-others-are",
        READER,
        "elif subscriber.is_full:",
        'elif subscriber.is_full and not setattr(position, "cursor", topic.reached):',
        "a burst that is longer than the queue of a subscriber is lost to it",
        scenario="channels",
    ),
    Mutant(
        "resumes-from-the-beginning",
        STREAMS,
        'cursor = ZERO if after is None else parsed("after", after)',
        "cursor = ZERO",
        "old messages come again to whoever comes back (Litestar: to every new subscriber)",
        scenario="channels",
    ),
    Mutant(
        "published-again",
        "streamcore.channels.publisher",
        "call(keys, (again, *args, marked))",
        "call(keys, (self.asked[0].args[_AGAIN], *args, marked))",
        "a message is published once more when its reply was lost",
        scenario="channels",
    ),
    Mutant(
        "late-attempt-finds-no-mark",
        "streamcore.channels.publisher",
        "(*keys, publication_mark(keys[0], nonce)), (*args, _MARKED)",
        "keys, (*args, _UNMARKED)",
        "a first attempt that arrives behind its repetition is appended, too",
        scenario="channels",
    ),
    Mutant(
        "gap-of-a-channel-untold",
        STREAMS,
        "found = continuity.judge(history)",
        "found = None",
        "what was trimmed away under a slow subscriber is passed over in silence",
        scenario="channels",
    ),
    Mutant(
        "channel-that-began-anew-has-no-counters",
        STREAMS,
        "            cursor.continuity.begin(history)\n",
        "",
        "seed 2022505: a page has found that a channel began anew, and what the reader loses of it from then on is passed over in silence",
        scenario="channels",
    ),
    Mutant(
        "left-channel-goes-on",
        "streamcore.channels.subscribers",
        "subscriber.drop_channel(self.naming.channel(key), key)",
        "pass",
        "messages of a channel come after it was left",
        scenario="channels",
    ),
    Mutant(
        "cancelled-publish-or-get-loses",
        "transports._facade.subscribing",
        "self._items = chain(self._items, found)",
        "self._items = chain(self._items, found if len(found) <= 3 else found[1:])",
        "a chunk of messages loses its first one on the way through the face",
        scenario="channels",
    ),
    Mutant(
        "iterator-acknowledges-what-it-hands-over",
        f"{FACE}.groups",
        "item = self._last = await self._items.__anext__()",
        "item = await self._items.__anext__(); acknowledge(item)",
        "ack='auto' that acknowledges on delivery: a crash in the handler loses the entry",
        scenario="applications",
    ),
    Mutant(
        "cancelled-handler-counts-as-done",
        "transports._facade.handler_tasks",
        "if not self._driver.is_stray(error):\n                raise",
        "if not self._driver.is_stray(error):\n                acknowledge(entry)\n                raise",
        "an entry is acknowledged though its handler was cancelled",
        scenario="applications",
    ),
    Mutant(
        "cancelled-wait-loses-a-batch",
        f"{FACE}.consumers",
        "await running.wait(partial(self._take, ask), within)",
        "await running.wait(partial(self._take, ask), within); self._taken, kept = None, self._taken; "
        "await driver.checkpoint(); await driver.checkpoint(); self._taken = kept",
        "a wait that is cancelled while the batch is in its hands loses it",
        scenario="applications",
    ),
)
