"""The slots of commands: a cluster runs a command, a transaction or a script within a single slot.

``slot_of`` finds the slot of a command by its keys, ``common_slot`` that of a transaction; ``split`` sorts the commands of a
pipeline by slot. Keys of several slots are refused before anything is sent, with the slots and the remedy: the server's own
``CROSSSLOT`` names neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..commands import Command
from ..commands.cluster import slot_of_bytes
from ..errors import CrossSlotError, InvalidArgument

_EACH = "or send a command per key, in one pipeline"
_APART = "or use pipeline(), which is not atomic"


def slot_of(command: Command[Any]) -> int | None:
    """Find the slot of a command's keys; None where it has no keys, and any primary may run it.

    Raises ``CrossSlotError`` where they are of several slots.
    """
    keys = command.keys
    if len(keys) == 1:
        return slot_of_bytes(keys[0])
    return _single(command.name, "a command", keys, _EACH) if keys else None


def common_slot(commands: Sequence[Command[Any]], watched: Iterable[bytes] = ()) -> int | None:
    """Find the slot of a transaction, and of the keys that it watches; None where it has no keys.

    Raises ``CrossSlotError`` where they are of several slots.
    """
    keys = [*watched, *(key for command in commands for key in command.keys)]
    return _single("the transaction", "a transaction", keys, _APART)


def link_slot(commands: Sequence[Command[Any]]) -> int | None:
    """Find the slot of commands that need a dedicated link; None where they have no keys.

    Raises ``CrossSlotError`` where they are of several slots.
    """
    if len(commands) == 1:
        return slot_of(commands[0])
    keys = [key for command in commands for key in command.keys]
    return _single("the pipeline", "a pipeline with a command that blocks", keys, "or send a pipeline for each slot")


def split(commands: Sequence[Command[Any]]) -> dict[int | None, list[int]]:
    """Sort the commands of a pipeline: the places of the commands of each slot, in their order; None: without keys.

    Raises ``CrossSlotError`` where a single command has keys of several slots.
    """
    places: dict[int | None, list[int]] = {}
    for place, command in enumerate(commands):
        places.setdefault(slot_of(command), []).append(place)
    return places


def refuse_cursors(commands: Sequence[Command[Any]]) -> None:
    """Refuse ``SCAN``: any primary would answer it, and its cursor is of use at a single node. Raises ``InvalidArgument``."""
    if any(command.name == "SCAN" for command in commands):
        raise InvalidArgument(
            "the cursor of SCAN belongs to a node of the cluster: iterate over all keys by client.scan_keys(), "
            "or scan a node by client.on(node)"
        )


def _single(what: str, kind: str, keys: Sequence[bytes], remedy: str) -> int | None:
    if not keys:
        return None
    slot = slot_of_bytes(keys[0])
    for key in keys[1:]:
        if slot_of_bytes(key) != slot:
            raise _cross_slot(what, kind, keys, remedy)
    return slot


def _cross_slot(what: str, kind: str, keys: Sequence[bytes], remedy: str) -> CrossSlotError:
    examples: dict[int, bytes] = {}  # the first key of each slot
    for key in keys:
        examples.setdefault(slot_of_bytes(key), key)
    (slot, key), (other_slot, other), *_ = examples.items()
    tagged, other_tagged = (b"{1}%b" % one.translate(None, b"{}") for one in (key, other))
    return CrossSlotError(
        "CROSSSLOT",
        f"{what} has keys of {len(examples)} slots: {_shown(key)} ({slot}) and {_shown(other)} ({other_slot}). A cluster runs "
        f"{kind} within one slot: give the keys a common tag, as in {_plain(tagged)} and {_plain(other_tagged)}, {remedy}.",
    )


def _shown(key: bytes) -> str:
    return repr(_plain(key))


def _plain(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
