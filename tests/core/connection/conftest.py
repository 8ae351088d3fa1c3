"""A link that is up."""

from __future__ import annotations

import pytest

from streamcore.connection.link_state import State
from tests.core.support.link_rig import Rig


@pytest.fixture
def up() -> Rig:
    return Rig().to(State.UP)
