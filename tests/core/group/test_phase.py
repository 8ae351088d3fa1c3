"""The phases of a member of a group, and what follows from them."""

from __future__ import annotations

import pytest

from streamcore.group.phase import Phase, Stage


def after(*steps: str, history_only: bool = False) -> Phase:
    """A phase after some transitions."""
    phase = Phase(history_only=history_only)
    for step in steps:
        getattr(phase, step)()
    return phase


@pytest.mark.parametrize(
    ("history_only", "steps", "stage"),
    [
        (False, (), Stage.READING),
        (False, ("recovered",), Stage.READING),
        (False, ("drain",), Stage.DRAINING),
        (False, ("drain", "recovered"), Stage.DRAINING),
        (False, ("leave",), Stage.LEAVING),
        (False, ("leave", "leave"), Stage.LEAVING),
        (False, ("leave", "drain"), Stage.LEAVING_AT_END),
        (False, ("drain", "leave"), Stage.LEAVING_AT_END),
        (False, ("drain", "leave", "leave"), Stage.LEAVING_AT_END),
        (True, (), Stage.HISTORY),
        (True, ("recovered",), Stage.THROUGH),
        (True, ("leave",), Stage.LEAVING),
        (True, ("recovered", "drain"), Stage.DRAINING),
        (True, ("recovered", "leave"), Stage.LEAVING_AT_END),
    ],
)
def test_each_transition_leads_to_a_stage(history_only: bool, steps: tuple[str, ...], stage: Stage) -> None:
    assert after(*steps, history_only=history_only).stage is stage


def test_a_stage_tells_what_is_done_in_it() -> None:
    assert {stage.name for stage in Stage if not stage.stops} == {"READING"}
    assert {stage.name for stage in Stage if stage.takes_nothing} == {"DRAINING", "LEAVING", "LEAVING_AT_END"}
    assert {stage.name for stage in Stage if stage.is_leaving} == {"LEAVING", "LEAVING_AT_END"}
    assert {stage.name for stage in Stage if stage.ends} == {"THROUGH", "DRAINING", "LEAVING_AT_END"}
