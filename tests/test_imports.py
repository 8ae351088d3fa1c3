"""What importing the library costs, counted and not timed: modules of others, and functions that are compiled anew."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SEPARATE = (
    "email http.client pytest trio anyio streamcore.testing transports.cli transports.embedded transports.simulation"
)
SPARED = {
    "streamcore": "asyncio concurrent.futures difflib ipaddress json logging pathlib random selectors socket ssl subprocess "
    "threading urllib.parse transports",
    "transports.blocking": "asyncio json ssl subprocess transports.asyncio",
    "transports.asyncio": "json uvloop transports.blocking",
}
"""Modules that an import does without: I/O and other runtimes, and what is large and seldom of use."""

COUNTED = r"""
import dataclasses, inspect, json, re, sys
known, compiled, ours = set(sys.modules), [], ("streamcore", "transports")

def counting(source, *scopes):
    if scopes[0]["__name__"].startswith(ours):
        compiled.extend(re.findall("\n *def (\w+)", source))
    exec(source, *scopes)

dataclasses.exec = counting
import {module}
generated = [
    f"{{name}}.{{kind.__qualname__}}"
    for name, module in list(sys.modules.items()) if name.startswith(ours)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == name and "__dataclass_fields__" in vars(kind)
    and inspect.isfunction(vars(kind)["__init__"]) and inspect.unwrap(vars(kind)["__init__"]).__code__.co_filename == "<string>"
]
print(json.dumps([sorted(set(sys.modules) - known), compiled.count("__init__"), generated]))
"""


def imported(module: str) -> Any:
    """The modules that come with a module, the constructors compiled for dataclasses meanwhile, and which classes have one."""
    program = COUNTED.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("module", "spared"), SPARED.items())
def test_what_is_not_needed_is_not_imported(module: str, spared: str) -> None:
    modules, _, _ = imported(module)
    assert module in modules
    assert not {*f"{SEPARATE} {spared}".split()}.intersection(modules)


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
    assert compiled == len(generated)
