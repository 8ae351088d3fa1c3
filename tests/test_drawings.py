"""The diagrams of docs/architecture.md are those of the code."""

from __future__ import annotations

from tests.drawings import BLOCK, DRAWINGS, PAGE, drawn


def test_the_diagrams_are_fresh() -> None:
    page = PAGE.read_text("utf-8")
    assert drawn(page) == page, "make format draws the diagrams anew"


def test_every_drawing_has_its_place() -> None:
    assert [name for _, name, _ in BLOCK.findall(PAGE.read_text("utf-8"))] == list(DRAWINGS)


def test_a_stale_diagram_is_noticed() -> None:
    page = "<!-- drawn: states of a link -->\nRESTING\n<!-- end -->\n"
    assert "DIALLING --connection_made-->" in drawn(page)
    assert drawn(drawn(page)) == drawn(page)
