"""What importing the library costs, counted and not timed: modules of others, and functions that are compiled anew."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

# What the core does without, in any of its modules: I/O, other runtimes, and what is large and seldom of use.
CORE = {
    "asyncio",
    "concurrent.futures",
    "difflib",
    "email",
    "ipaddress",
    "json",
    "logging",
    "pathlib",
    "random",
    "selectors",
}
CORE |= {
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "transports",
    "trio",
    "anyio",
    "streamcore.testing",
    "urllib.parse",
}
THREADS = {"asyncio", "email", "http.client", "json", "pytest", "ssl", "subprocess", "trio", "anyio"}
THREADS |= {
    "streamcore.testing",
    "transports.asyncio",
    "transports.cli",
    "transports.embedded",
    "transports.simulation",
}
TASKS = {"email", "http.client", "json", "pytest", "trio", "anyio", "uvloop", "transports.blocking"}
TASKS |= {"streamcore.testing", "transports.cli", "transports.embedded", "transports.simulation"}

COUNTED = r"""
import dataclasses, inspect, json, re, sys
known, compiled = set(sys.modules), []

def counting(source, *scopes):
    compiled.extend(re.findall("\n *def (\w+)", source))
    exec(source, *scopes)

dataclasses.exec = counting
import {module}
generated = [
    f"{{name}}.{{kind.__qualname__}}"
    for name, module in list(sys.modules.items()) if name.startswith(("streamcore", "transports"))
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == name and "__dataclass_fields__" in vars(kind)
    and inspect.isfunction(vars(kind)["__init__"])
]
print(json.dumps([sorted(set(sys.modules) - known), len(compiled), generated]))
"""


def imported(module: str) -> Any:
    """The modules that come with a module, and the functions and classes that ``dataclasses`` generates meanwhile."""
    program = COUNTED.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("module", "spared"), [("streamcore", CORE), ("transports.blocking", THREADS), ("transports.asyncio", TASKS)]
)
def test_what_is_not_needed_is_not_imported(module: str, spared: set[str]) -> None:
    modules, _, _ = imported(module)
    assert module in modules
    assert not spared.intersection(modules)


BASES = {"streamcore.commands.stream_info.StreamCounters", "streamcore.of_member.OfMember"}
"""From Python 3.14 on, ``dataclass`` looks at the constructor of a base class."""

# Values of these are made at import, or change, or keep their arguments out of tracebacks.
AT_IMPORT = [
    "streamcore.engine.router.Anywhere",
    "streamcore.options.Address",
    "streamcore.options.Login",
    "streamcore.options.Options",
    "streamcore.reading.continuity.Anchor",
    "streamcore.resp3.values.Limits",
]


@pytest.mark.parametrize(
    ("module", "own"), [("streamcore", AT_IMPORT), ("transports.blocking", [*AT_IMPORT, "transports.address.TLS"])]
)
def test_only_values_that_are_made_at_import_have_methods_compiled_there(module: str, own: list[str]) -> None:
    _, compiled, generated = imported(module)
    assert sorted({*generated} - BASES) == own
    assert 0 < compiled <= 10 * len(generated), "``dataclass`` compiles at most ten functions for a class"
