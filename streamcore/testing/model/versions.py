"""The flavours of servers that are modelled: measured differences that an engine, or its user, could notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Flavour:
    """A product and version of servers.

    * ``recent``: Redis 8.2 to 8.6 have added IDMP, XCFGSET, XDELEX, XACKDEL, references, XREADGROUP CLAIM.
    * ``counts``: the lag of a group is known in more cases, and ENTRIESREAD is at most the number of entries ever added.
    * ``modern``: Redis 7.2 and Valkey, unlike Redis 7.0. A blocked reader's command is run again as a whole when any of its keys
      is written (7.0 serves that key only), XREADGROUP and claims create their consumer even where they find no entry, consumers
      have an active time, and XREAD knows ``+``.
    """

    name: bytes
    version: bytes
    modern: bool = True
    recent: bool = False
    counts: bool = False


VALKEY9: Final = Flavour(b"valkey", b"9.1.2")
REDIS7: Final = Flavour(b"redis", b"7.0.15", modern=False)
REDIS8: Final = Flavour(b"redis", b"8.6.3", recent=True, counts=True)
