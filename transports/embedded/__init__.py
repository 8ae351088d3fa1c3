"""Real servers in processes of their own, which end with the program."""

from .server import EmbeddedServer, EmbeddedServerError, free_port

__all__ = ["EmbeddedServer", "EmbeddedServerError", "free_port"]
