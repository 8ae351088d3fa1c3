"""A model of a Redis or Valkey server: bytes in, bytes out, time in. No sockets, no clock, no threads.

``Server`` holds the data and the ``Session`` of each connection. Whoever runs it does four things: ``server.connect()``
for a connection, ``session.receive(data)`` for what comes in, ``session.data_to_send()`` and ``data_sent(n)`` for what goes
out, and ``server.handle_timeout(now)`` when ``server.next_timeout()`` has come. What one session does may give another one
something to send (a published message, an entry for a blocked reader); ``server.take_changed()`` tells which.

Equal inputs give equal outputs. The differential test compares the model with real servers, command by command.
"""

from .server import Server
from .session import Session
from .versions import REDIS7, REDIS8, VALKEY9, Flavour

__all__ = ["REDIS7", "REDIS8", "VALKEY9", "Flavour", "Server", "Session"]
