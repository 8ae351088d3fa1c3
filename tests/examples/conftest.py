"""Fixtures for the examples of the documentation, which run as they are: over real HTTP, and in a real browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from tests.support.browser import Browser, find_browser

EXAMPLES: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"


def load(name: str) -> ModuleType:
    """An example as a module; ``__main__`` it is not."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Litestar looks there for the names in annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(request: pytest.FixtureRequest) -> ModuleType:
    """The example that the test's module names."""
    return load(request.module.EXAMPLE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for the session; tests open tabs. Skipped only where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip("there is no Chromium: install it, or name it by STREAMCORE_CHROMIUM")
    with Browser(program) as browser:
        yield browser
