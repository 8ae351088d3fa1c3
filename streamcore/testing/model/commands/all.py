"""Every command of the model, by its word."""

from __future__ import annotations

from typing import Final

from ..registry import Command
from . import (
    connection as connections,
)
from . import (
    containers,
    groups,
    pending,
    pubsub,
    replication,
    sorted_sets,
    streams,
    strings,
)
from . import (
    deletion as references,
)
from . import (
    scripting as scripts,
)
from . import (
    xinfo as inspection,
)

COMMANDS: Final[dict[bytes, Command]] = {
    **connections.COMMANDS,
    **strings.COMMANDS,
    **containers.COMMANDS,
    **sorted_sets.COMMANDS,
    **streams.COMMANDS,
    **groups.COMMANDS,
    **pending.COMMANDS,
    **inspection.COMMANDS,
    **pubsub.COMMANDS,
    **references.COMMANDS,
    **replication.COMMANDS,
    **scripts.COMMANDS,
}
