"""A server on loopback that gives every client the same answers, as may listen at a wrong port."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Stranger:
    """A context manager. ``answer`` turns each received piece into the bytes of its answer; None: it hangs up.

    With ``tls`` it shakes hands, and says why it does not agree; then it waits for the client to leave.
    """

    def __init__(
        self,
        answer: Callable[[bytes], bytes | None],
        *,
        first: bytes = b"",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._tls = tls
        self._first = first  # sent before anything was received
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with connection, suppress(OSError):
            if isinstance(connection, ssl.SSLSocket):
                try:
                    connection.do_handshake()
                except ssl.SSLError:
                    while socket.socket.recv(connection, 65536):
                        pass
                    return
            connection.sendall(self._first)
            while (data := connection.recv(65536)) and (answer := self._answer(data)) is not None:
                connection.sendall(answer)
