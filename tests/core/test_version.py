from __future__ import annotations

import re

import streamcore
from streamcore.version import VERSION


def test_the_version_is_numbers_and_the_package_shows_it() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert streamcore.__version__ == VERSION
