"""All mutants, by name."""

from __future__ import annotations

from typing import Final

from .mutant import Mutant
from .of_channels import CHANNELS
from .of_consumers import CONSUMERS
from .of_gaps import GROUP_GAPS
from .of_groups import GROUPS
from .of_identities import IDENTITIES
from .of_links import LINKS
from .of_logins import LOGINS
from .of_pubsub import PUBSUB
from .of_requests import REQUESTS
from .of_rights import RIGHTS
from .of_settlements import SETTLEMENTS

MUTANTS: Final[dict[str, Mutant]] = {
    one.name: one
    for one in (
        *LINKS,
        *LOGINS,
        *CONSUMERS,
        *GROUPS,
        *GROUP_GAPS,
        *SETTLEMENTS,
        *PUBSUB,
        *REQUESTS,
        *CHANNELS,
        *IDENTITIES,
        *RIGHTS,
    )
}
