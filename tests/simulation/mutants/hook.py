"""Applies edits while their modules are compiled: a finder in front of all others, and a loader that keeps no bytecode."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from .mutant import Edit

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class MutatingFinder(MetaPathFinder):
    """Finds the modules of the edits. ``applied`` are those that were imported."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.applied: list[Edit] = []
        self._edits = {edit.module: edit for edit in edits}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edit = self._edits.get(fullname)
        spec = None if edit is None else PathFinder.find_spec(fullname, path, target)
        if edit is not None and spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, edit, self.applied)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, edit: Edit, applied: list[Edit]) -> None:
        super().__init__(fullname, path)
        self._edit = edit
        self._applied = applied

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: bytecode on disk is that of the source, and must stay so."""
        source: ReadableBuffer | str = self._edit.apply(self.get_data(self.path).decode())
        self._applied.append(self._edit)
        return self.source_to_code(source, self.path)
