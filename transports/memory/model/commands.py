"""Every command of the model, by its word."""

from __future__ import annotations

from typing import Final

from . import (
    connections,
    containers,
    groups,
    inspection,
    pending,
    pubsub,
    references,
    replication,
    scripts,
    sorted_sets,
    streams,
    strings,
)
from .table import Command

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
