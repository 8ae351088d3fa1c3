"""A whole driver on one page: any engine, blocking sockets, one thread. Run it with the URL parts of a server:
``python driver.py HOST PORT``; it appends ten entries to a stream, consumes them through a group, and acknowledges them."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time

from streamcore import Address, Engine, GroupConsumer, Link, Producer


class Driver:
    """Keeps a socket for each link of one engine, moves the bytes, and tells the time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sockets: dict[Link, socket.socket] = {}
        self.selector = selectors.DefaultSelector()

    def step(self, patience: float = 0.1) -> None:
        """One round: do what the engine wants, then wait for something to happen and tell it."""
        for link in self.engine.changed_links():
            if link.wants_connection and link not in self.sockets:
                self.dial(link)
            elif not link.wants_connection and link in self.sockets:
                self.hang_up(link, None)
            if link in self.sockets:
                self.watch(link)
        at = self.engine.next_timeout()
        wait = patience if at is None else min(patience, max(at - time.monotonic(), 0.0))
        for key, ready in self.selector.select(wait):
            try:
                self.move(key.data, ready)
            except BlockingIOError:
                pass  # not ready after all
            except OSError as error:
                self.hang_up(key.data, error)
        self.engine.handle_timeout(time.monotonic())

    def dial(self, link: Link) -> None:
        assert isinstance(link.address, Address)
        try:
            sock = socket.create_connection((link.address.host, link.address.port), timeout=5.0)
        except OSError as error:
            link.connection_lost(error, time.monotonic())
            return
        sock.setblocking(False)
        self.sockets[link] = sock
        self.selector.register(sock, selectors.EVENT_READ, link)
        link.connection_made(time.monotonic())

    def watch(self, link: Link) -> None:
        events = selectors.EVENT_READ if link.wants_data else 0
        events |= selectors.EVENT_WRITE if link.data_to_send() else 0
        self.selector.modify(self.sockets[link], events or selectors.EVENT_READ, link)

    def move(self, link: Link, ready: int) -> None:
        sock = self.sockets[link]
        if ready & selectors.EVENT_WRITE:
            link.data_sent(sock.send(link.data_to_send()))
            self.watch(link)
        if ready & selectors.EVENT_READ and link.wants_data:
            if data := sock.recv(65536):
                link.receive_data(data, time.monotonic())
            else:
                self.hang_up(link, None)

    def hang_up(self, link: Link, error: Exception | None) -> None:
        sock = self.sockets.pop(link)
        self.selector.unregister(sock)
        sock.close()
        link.connection_lost(error, time.monotonic())


def main(host: str, port: int) -> None:
    address = Address(host, port)
    producer = Producer("orders", address=address)
    driver, sent = Driver(producer), []
    for number in range(10):
        producer.send({"number": number}, lambda request: sent.append(request.answer()))
    while len(sent) < 10:
        driver.step()

    consumer = GroupConsumer("orders", group="billing", consumer="me", address=address, entropy=os.urandom)
    driver, seen = Driver(consumer), 0
    while seen < 10:
        driver.step()
        while batch := consumer.take():
            seen += len(batch)
            batch.ack()
    consumer.leave()
    while not consumer.settled:
        driver.step()
    print(f"sent {len(sent)}, consumed and acknowledged {seen}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
