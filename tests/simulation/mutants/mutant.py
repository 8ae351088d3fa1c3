"""A mutant: a text of one module that stands there exactly once, and what stands in its place."""

from __future__ import annotations

from dataclasses import dataclass


class Stale(Exception):  # what is wrong with a mutant, as a word
    """The text of a mutant is not in its module, or more than once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One text in the place of another."""

    module: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The source with the edit. Raises ``Stale``."""
        count = source.count(self.old)
        if count != 1:
            raise Stale(f"{self.module}: found {count} times, not once: {self.old!r}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """``models`` tells whose failure it is; ``scenario``: that of the simulator which meets it.

    ``mirror``: the same in the model server, which knows our scripts as functions; or a second line of defence.
    """

    name: str
    module: str
    old: str
    new: str
    models: str
    scenario: str = "group"
    mirror: Edit | None = None

    @property
    def edits(self) -> list[Edit]:
        """What is changed, and where."""
        own = Edit(self.module, self.old, self.new)
        return [own] if self.mirror is None else [own, self.mirror]
