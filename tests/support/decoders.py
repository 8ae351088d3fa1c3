"""Both decoders, for tests of either; tests of hiredis are skipped where it is missing, as on PyPy."""

from __future__ import annotations

from typing import Any, Final

import pytest

from streamcore.resp3._hiredis import HIREDIS

needs_hiredis: Final = pytest.mark.skipif(HIREDIS.load() is None, reason="hiredis 3.5 or newer is not installed")
DECODERS: Final[list[Any]] = ["python", pytest.param("hiredis", marks=needs_hiredis)]
both: Final = pytest.mark.parametrize("kind", DECODERS)
