"""What must be true of both decoders, whatever they are fed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from streamcore.errors import RemoteProtocolError, ReplyError
from streamcore.options import DecoderKind
from streamcore.resp3 import Limits, Pairs, Verbatim, make_decoder

PUSHES: Final = {make_decoder("python").push, make_decoder("hiredis").push}
LIMITS: Final = Limits(bulk=1 << 20, elements=10_000, reply=1 << 20)


def comparable(reply: Any) -> Any:
    """A reply with the types of everything in it, so that 1, True and 1.0 differ, and not-a-number equals itself."""
    kind = type(reply)
    if kind is bytes or kind is int or reply is None:
        return reply
    if kind is list:
        return [comparable(item) for item in reply]
    if kind is float:
        return ("double", repr(reply))
    if kind is dict:
        return ("map", [(comparable(key), comparable(value)) for key, value in reply.items()])
    if kind is Pairs:
        return ("pairs", [(comparable(key), comparable(value)) for key, value in reply])
    if kind in PUSHES:
        return ("push", [comparable(item) for item in reply])
    if kind is Verbatim:
        return ("verbatim", reply.format, bytes(reply))
    if isinstance(reply, ReplyError):
        return (kind, reply.code, reply.message)
    assert kind is bool, f"{kind} is no type of reply"
    return ("boolean", reply)


class Verdict:
    """What a decoder made of some bytes."""

    def __init__(self, kind: DecoderKind, chunks: Iterable[bytes]) -> None:
        decoder = make_decoder(kind, LIMITS)
        self.replies: list[Any] = []
        self.attributes: dict[int, Any] = {}
        for chunk in chunks:
            found = decoder.feed(chunk)
            for index, attributes in decoder.attributes.items():
                assert index < len(found)
                self.attributes[len(self.replies) + index] = comparable(attributes)
            self.replies += map(comparable, found)
        self.error = decoder.error
        assert self.error is None or isinstance(self.error, RemoteProtocolError)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Verdict)
        return (self.replies, self.attributes, repr(self.error)) == (other.replies, other.attributes, repr(other.error))

    __hash__ = None  # type: ignore[assignment]  # it is not for sets

    def __repr__(self) -> str:
        return f"{self.replies} {self.attributes} {self.error!r}"


def judge_valid(wire: bytes, chunks: list[bytes]) -> None:
    """Bytes that are RESP: both decoders read the same, however they are cut."""
    whole = Verdict("python", [wire])
    assert whole.error is None, f"{wire!r}: {whole}"
    for kind in ("python", "hiredis"):
        found = Verdict(kind, chunks)
        assert found == whole, f"{kind}: {chunks!r}: {found} instead of {whole}"


def judge_any(wire: bytes, chunks: list[bytes]) -> None:
    """Any bytes: an error, or replies. Up to the first error the decoders agree; behind it, see DIFFERENCES in tests/core."""
    whole, cut = Verdict("python", [wire]), Verdict("python", chunks)
    assert cut == whole, f"python: {chunks!r}: {cut} instead of {whole}"
    found = Verdict("hiredis", chunks)
    if found.error is not None and "ouble value" in str(found.error):
        return  # hiredis refuses doubles that are too long, or too near to zero
    agreed = found.replies[: len(whole.replies)] == whole.replies and all(
        found.attributes.get(index) == attributes for index, attributes in whole.attributes.items()
    )
    assert agreed, f"hiredis: {chunks!r}: {found} instead of {whole}"
    assert whole.error is not None or found == whole, f"hiredis: {chunks!r}: {found} instead of {whole}"
