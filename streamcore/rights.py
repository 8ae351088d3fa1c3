"""Refusals for want of a right, and the missing right, read from the server's error texts.

A refused command has an error word of its own, ``NOPERM``; a command in a script is refused by ``ERR``, and a text of
each server. Redis 7.0 does not name the command of a script, only its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
IN_SCRIPT: Final = "a command of the script"
_GROUPED: Final = frozenset({"XINFO", "XGROUP"})
_IN_SCRIPT: Final = ("ACL failure in script: ", "The user executing the script can't ")
_COMMAND: Final = re.compile(r"run the '([^']+)' command")
_THING: Final = re.compile(r"\b(key|channel)s?\b")
_LINE: Final = re.compile(r"on @user_script:(\d+)")
_CALL: Final = re.compile(r"redis\.p?call\('(\w+)'(?:, '(\w+)')?")


def is_refusal_in_script(message: str) -> bool:
    """Tell whether an error of a script says that its user may not run a command in it, or use a key or a channel."""
    return message.startswith(_IN_SCRIPT)


def missing_right(message: str, command: str) -> str:
    """Find the right that a refusal of ``command`` names: ``+get``, ``a key of GET``, ``a channel of PUBLISH``."""
    if named := _COMMAND.search(message):
        return f"+{named[1]}"
    if thing := _THING.search(message):
        return f"a {thing[1]}" + (f" of {command}" if command else "")
    return IN_SCRIPT if is_refusal_in_script(message) else "+" + command.lower().replace(" ", "|")


def missing_in(message: str, command: Sequence[Any]) -> str:
    """Find the missing right of a command with its arguments: its keys by name, or a command of a script."""
    word = spoken(command)
    right = missing_right(message, word)
    if right.startswith("a key"):
        return " ".join(f"~{_text(key)}" for key in _keys(command)) or right
    at = _LINE.search(message)
    if right == IN_SCRIPT and word == "EVAL" and at is not None:
        line = str(command[1]).splitlines()[int(at[1]) - 1 :][:1]
        called = _CALL.findall("".join(line))
        if len(called) == 1:
            return "+" + "|".join(filter(None, called[0])).lower()
    return right


def spoken(command: Sequence[Any]) -> str:
    """Name a command, with the subcommand of a container such as XINFO."""
    return " ".join(map(str, command[:2])) if command[0] in {*_GROUPED, "CLIENT", "CONFIG"} else str(command[0])


def _keys(command: Sequence[Any]) -> Sequence[Any]:
    if command[0] in SCRIPTS:
        return command[3 : 3 + int(command[2])]
    at = 2 if command[0] in _GROUPED else 1
    return command[at : at + 1]


def _text(key: Any) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
