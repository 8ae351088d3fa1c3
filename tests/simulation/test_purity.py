"""The model is pure, as the core is: no I/O, no clock, no threads, no randomness of its own."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.test_architecture import FORBIDDEN, FORBIDDEN_CALLS, ROOT, imported

MODEL = ROOT / "transports" / "memory" / "model"


def test_the_model_is_pure() -> None:
    problems = [
        f"{path.name}:{getattr(node, 'lineno', 0)}"
        for path in sorted(MODEL.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if any(is_forbidden(name, path) for name in imported(node, "transports.memory.model"))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS)
    ]
    assert sorted(MODEL.glob("*.py"))
    assert problems == []


def is_forbidden(name: str, path: Path) -> bool:
    top = name.partition(".")[0]
    return (top in FORBIDDEN or top == "hiredis") and not name.startswith("transports.memory.model")
