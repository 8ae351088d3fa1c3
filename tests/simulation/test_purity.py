"""The model server and the simulator are pure, as the core is: no I/O, no clock, no threads, no randomness of their own.

And the model server knows all scripts of the core.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import streamcore
from streamcore.commands import Script
from streamcore.testing.model.commands.scripting import EFFECTS
from tests.test_architecture import FORBIDDEN, FORBIDDEN_CALLS, ROOT, imported

MODEL = ROOT / "streamcore" / "testing" / "model"
SIMULATION = ROOT / "transports" / "simulation"
# Lots are drawn from streams that a seed begins, never from the module's own; and the face under test stands on top of it.
ALLOWED = (
    "random.Random",
    "transports.simulation",
    "streamcore.testing.model",
    "transports._facade",
    "transports.address",
)


def test_the_model_is_pure() -> None:
    problems = [
        f"{path.name}:{getattr(node, 'lineno', 0)}"
        for path in sorted(MODEL.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if any(is_forbidden(name, path) for name in imported(node, ".".join(path.relative_to(ROOT).parent.parts)))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS)
    ]
    assert sorted(MODEL.rglob("*.py"))
    assert problems == []


def is_forbidden(name: str, path: Path) -> bool:
    top = name.partition(".")[0]
    return (top in FORBIDDEN or top == "hiredis") and not name.startswith("streamcore.testing.model")


def test_the_simulator_is_pure() -> None:
    problems = []
    for path in sorted(SIMULATION.rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = imported(node, package)
            if isinstance(node, ast.ImportFrom) and node.module == "random":
                named = iter([f"random.{alias.name}" for alias in node.names])
            problems += [
                f"{path.name}:{getattr(node, 'lineno', 0)} imports {name}"
                for name in named
                if name.partition(".")[0] in FORBIDDEN and not name.startswith(ALLOWED)
            ]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                problems.append(f"{path.name}:{node.lineno} calls {node.func.id}()")
    assert sorted(SIMULATION.rglob("*.py"))
    assert problems == []


def test_every_script_of_the_core_has_an_effect() -> None:
    names = [one.name for one in pkgutil.walk_packages(streamcore.__path__, "streamcore.")]
    sources = {source for name in names for source in scripts_of(importlib.import_module(name))}
    assert len(sources) >= 7
    assert sources <= set(EFFECTS)


def scripts_of(module: ModuleType) -> list[bytes]:
    """Constants that are Lua; the names of mere parts begin with an underscore."""
    public = [value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")]
    lua = [value.encode() for value in public if isinstance(value, str) and "redis.call(" in value]
    return lua + [value.source for value in public if isinstance(value, Script)]
