from __future__ import annotations

import pytest

from streamcore.errors import InvalidArgument, MissingExtra
from streamcore.resp3 import extension
from transports._facade.settings import Settings


@pytest.mark.parametrize("kind", ["auto", "hiredis", "python"])
def test_the_environment_chooses_the_decoder(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", kind)
    assert Settings.of("redis://localhost", {}).options.decoder == kind


def test_without_a_choice_it_is_hiredis_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMCORE_DECODER", raising=False)
    assert Settings.of("redis://localhost", {}).options.decoder == "auto"


def test_a_wrong_choice_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", "java")
    with pytest.raises(InvalidArgument, match="STREAMCORE_DECODER is 'java'; choose one of auto, hiredis, python"):
        Settings.of("redis://localhost", {})


def test_hiredis_cannot_be_chosen_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCORE_DECODER", "hiredis")
    monkeypatch.setattr(extension, "make_reader", None)
    with pytest.raises(MissingExtra, match="needs hiredis"):
        Settings.of("redis://localhost", {})
