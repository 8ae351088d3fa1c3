"""Applies edits while their modules are compiled: a finder in front of all others, and a loader that keeps no bytecode."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from .mutant import Edit


class MutatingFinder(MetaPathFinder):
    """Finds the modules of the edits. ``applied`` are those that were imported."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.applied: list[Edit] = []
        self._edits: dict[str, list[Edit]] = {}
        for edit in edits:
            self._edits.setdefault(edit.module, []).append(edit)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edits = self._edits.get(fullname, [])
        spec = PathFinder.find_spec(fullname, path, target) if edits else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, edits, self.applied)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, edits: list[Edit], applied: list[Edit]) -> None:
        super().__init__(fullname, path)
        self._edits = edits
        self._applied = applied

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: bytecode on disk is that of the source, and must stay so."""
        source = self.get_data(self.path).decode()
        for edit in self._edits:
            source = edit.apply(source)
        self._applied += self._edits
        return self.source_to_code(source, self.path)
