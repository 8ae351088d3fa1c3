"""What a run is like, for every process of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

GROUP: Final = "soak"
STREAMS: Final = ("orders", "clicks", "ledger")
UNTOUCHED: Final = "ledger"  # nothing is ever trimmed or deleted there, and its producer is idempotent
KINDS: Final = ("asyncio", "trio", "pumped", "background")
BLOCK: Final = 1.0
POISON: Final = b"poison"  # a field whose presence kills the worker


@dataclass(frozen=True)
class Settings:
    """``seconds`` of chaos; ``rate`` entries per second; a fault about every ``pause`` seconds."""

    directory: str
    seconds: float = 600.0
    seed: int = 0
    rate: float = 250.0
    pause: float = 2.5
    claim_idle: float = 4.0
    max_in_flight: int = 300
    max_deliveries: int = 5
    poison_every: int = 15_000  # entries
    nack_share: float = 0.002

    @property
    def path(self) -> Path:
        return Path(self.directory)

    def group(self) -> dict[str, Any]:
        """The keywords of each worker's consumer."""
        return {
            "group": GROUP,
            "count": 20,
            "block": BLOCK,
            "claim_idle": self.claim_idle,
            "max_in_flight": self.max_in_flight,
            "max_deliveries": self.max_deliveries,
            "detect_gaps": "always",
            "audit_interval": 1.0,
        }

    def to_words(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_words(cls, words: str) -> Settings:
        return cls(**json.loads(words))
