"""RESP as bytes: commands out, replies in. The only place that knows hiredis."""

from .decoder import Decoder, make_decoder
from .encoder import Argument, encode
from .values import Limits, Pairs, Push, Reply, Verbatim

__all__ = [
    "Argument",
    "Decoder",
    "Limits",
    "Pairs",
    "Push",
    "Reply",
    "Verbatim",
    "encode",
    "make_decoder",
]
