"""A model of a Redis or Valkey server: bytes in, bytes out, time in. No sockets, no clock, no threads.

``Server`` holds the data, and a ``Session`` for each connection. Its owner, a test or the simulator, does four things: open a
session (``server.connect()``) for a connection; pass the client's bytes to ``session.receive(data)``; write
``session.data_to_send()`` and tell ``data_sent(n)``; call ``server.handle_timeout(now)`` when ``server.next_timeout()`` has
come. A command of a session may give other sessions bytes to send (a published message, an entry for a blocked reader);
``server.take_changed()`` returns them.

Equal inputs give equal outputs. The differential test compares the model with real servers, command by command.
"""

from .server import Server
from .session import Session
from .versions import REDIS7, REDIS8, VALKEY9, Flavour

__all__ = ["REDIS7", "REDIS8", "VALKEY9", "Flavour", "Server", "Session"]
