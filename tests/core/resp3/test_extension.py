"""hiredis comes when a decoder asks for it, and everything works where it does not come."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamcore.errors import MissingExtra
from streamcore.resp3 import Push, make_decoder
from streamcore.resp3._hiredis import HIREDIS, Extension, is_recent
from streamcore.resp3.python_decoder import ReferenceDecoder
from tests.support.decoders import needs_hiredis


@pytest.mark.parametrize(
    ("version", "recent"),
    [
        ("3.5.0", True),
        ("3.10.1", True),
        ("4.0", True),
        ("3.4.9", False),
        ("2.9.9", False),
        ("3.5.0rc1", True),
        ("?", False),
    ],
)
def test_hiredis_is_used_from_3_5_on(version: str, recent: bool) -> None:
    assert is_recent(version) is recent


def test_what_is_used_of_it() -> None:
    hiredis = SimpleNamespace(__version__="3.5.0", PushNotification=list, Reader=object(), pack_command=object())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hiredis", cast("Any", hiredis))
        extension = Extension()
        assert (extension.push, extension.pack_command) == (Push, None)
        assert extension.load() is hiredis.Reader
    assert extension.load() is hiredis.Reader, "it is imported once"
    assert (extension.push, extension.pack_command) == (list, hiredis.pack_command)


@pytest.mark.parametrize("hiredis", [None, SimpleNamespace(__version__="3.4.0")], ids=["none", "old"])
def test_without_a_usable_hiredis_there_is_a_push_all_the_same(monkeypatch: pytest.MonkeyPatch, hiredis: Any) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", hiredis)
    extension = Extension()
    assert (extension.load(), extension.pack_command, extension.push) == (None, None, Push)


def test_where_hiredis_is_not_usable_the_reference_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HIREDIS, "load", lambda: None)
    assert isinstance(make_decoder("auto"), ReferenceDecoder)
    with pytest.raises(MissingExtra, match=r"'hiredis' needs hiredis 3\.5 or newer: install it, or choose 'python'"):
        make_decoder("hiredis")


PROGRAM = """
import sys
{before}
from streamcore import Command, Multiplexer, Options
from streamcore.testing.pair import Pair
requests = Multiplexer(random=lambda: 0.5, options=Options(decoder="{decoder}"))
pair = Pair(requests)
request = requests.submit([Command.raw("ECHO", "caf\u00e9", 1, 2.5)], lambda done: None)
pair.settle()
pair.server.expect("ECHO", "caf\u00e9".encode(), "1", "2.5")
pair.server.answer({{"a": [1, None, 2.5, True]}})
print(request.replies, sys.modules.get("hiredis") is not None)
"""


def run(decoder: str, before: str = "") -> str:
    program = PROGRAM.format(decoder=decoder, before=before)
    done = subprocess.run([sys.executable, "-bb", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_streamcore_works_without_hiredis() -> None:
    assert run("auto", 'sys.modules["hiredis"] = None') == "[{b'a': [1, None, 2.5, True]}] False\n"


def test_the_reference_decoder_does_not_import_hiredis() -> None:
    assert run("python") == "[{b'a': [1, None, 2.5, True]}] False\n"


@needs_hiredis
def test_where_nothing_is_chosen_hiredis_is_imported() -> None:
    assert run("auto") == "[{b'a': [1, None, 2.5, True]}] True\n"
