"""python -m tests.rights.page: write the tables of docs/guides/permissions.md anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from .interfaces import CONNECTION, INTERFACES, Interface

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "guides" / "permissions.md"
_MARKED: Final = re.compile(r"(<!-- made by tests/rights: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """The page with its tables as they should be."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{_MADE[found[2]]()}\n{found[3]}", text)


def table() -> str:
    """What each interface needs, and what it does without."""
    head = "| interface | needs | does without, and tells what is off | keys and channels |\n|---|---|---|---|\n"
    rows = (f"| {one.title} | {_needs(one)} | {_spares(one)} | {_places(one)} |\n" for one in (CONNECTION, *INTERFACES))
    return head + "".join(rows)


def whole_rules() -> str:
    """A rule for each interface that leaves nothing off."""
    lines = []
    for one in INTERFACES:
        lines += [f"# {one.title.replace('`', '')}", " ".join(one.rules)]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _needs(one: Interface) -> str:
    groups: dict[str, list[str]] = {}
    for command, when in one.needs.items():
        groups.setdefault(when, []).append(f"`+{command}`")
    return "; ".join(" ".join(names) + (f" {when}" if when else "") for when, names in groups.items()).replace(
        "|", "\\|"
    )


def _spares(one: Interface) -> str:
    groups: dict[tuple[str, ...], list[str]] = {}
    for command, what in one.spares.items():
        groups.setdefault(what, []).append(f"`+{command}`")
    told = {what: ", ".join(what) if any(what) else "nothing is off, or told" for what in groups}
    return "; ".join(f"{' '.join(names)}: {told[what]}" for what, names in groups.items()).replace("|", "\\|")


def _places(one: Interface) -> str:
    own = [f"`{rule}`: {', '.join(what)}" for rule, what in one.own.items()]
    needed = " ".join(f"`{rule}`" for rule in (*one.keys, *one.channels))
    return "; ".join(filter(None, (needed, *own)))


_MADE: Final = {"table": table, "rules": whole_rules}

if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
