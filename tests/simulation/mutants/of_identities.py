"""What goes wrong when a process is taken for another one."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant

IDENTITIES: Final = (
    Mutant(
        "identities-from-the-jitter",
        "streamcore.engine.engine",
        "drawn = self._entropy(TOKEN_BYTES)",
        'drawn = int(self._random() * (1 << 64)).to_bytes(8, "big")',
        "names that shall be nobody else's are drawn from a generator that the application has seeded (ours, in 0.1)",
    ),
    Mutant(
        "run-of-a-producer-repeated",
        "streamcore.producer.deduplication",
        "self._run = token()",
        'self._run = b"run"',
        "clients whose messages are numbered from 1 in each process: what a former one has sent answers for them",
    ),
    Mutant(
        "run-of-a-publisher-repeated",
        "streamcore.channels.publisher",
        'requests.token("publishing with a history") if settings.is_streams else b""',
        'b"run"',
        "messages that are numbered from 1 in each process: one that was lost is confirmed by another's",
        scenario="channels",
    ),
    Mutant(
        "nonce-of-a-member-repeated",
        "streamcore.group.consumer",
        "self.token('a member of a group').decode()",
        "'me'",
        "two processes under one name take each other for themselves",
    ),
)
