"""Servers in this process, behind ``memory://``: for tests of programs, without a server."""

from .server import MemoryServer, MemoryServerError, dial, shared_server

__all__ = ["MemoryServer", "MemoryServerError", "dial", "shared_server"]
