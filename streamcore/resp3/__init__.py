"""RESP3 as bytes: commands out, replies in. The only place that knows hiredis."""

from .decoder import MORE, UNDECODABLE, Decoder, Push, Reply
from .encoder import Argument, encode

__all__ = ["MORE", "UNDECODABLE", "Argument", "Decoder", "Push", "Reply", "encode"]
