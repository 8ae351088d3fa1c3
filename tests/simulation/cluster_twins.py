"""The same commands for a real cluster and for its model: three primaries, and a replica of each.

Both hear the same words over the same connections, and are changed by the same steps; each reply has to be the same, with the
texts of errors. Addresses and ids are translated to the model's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from streamcore.commands import key_slot
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.cluster.moves import hand_over
from streamcore.testing.model.commands.scripting import Effect
from tests.simulation.clusters import START, Client, plain
from tests.simulation.twins import FLAVOURS
from tests.support.raw import Raw
from transports.embedded import EmbeddedCluster, EmbeddedNode

KEY = "{a}1"
SLOT = key_slot(KEY)
BASE = 7000
WAITS = 3.0  # seconds, for what real servers do by their timers


class Pair:
    """A connection to a node of each. ``name`` tells it in failures."""

    def __init__(self, name: str, raw: Raw, client: Client) -> None:
        self.name = name
        self.raw = raw
        self.client = client
        raw("HELLO", 3)


class ClusterTwins:
    """A real cluster, which is empty, and a model of its kind. ``home``: the node of each that has ``KEY``, 2."""

    def __init__(self, real: EmbeddedCluster, kind: str) -> None:
        self.real = real
        self.kind = kind
        self.model = ModelCluster(flavour=FLAVOURS[kind], now=START, base_port=BASE)
        self.story: list[str] = []
        self.pairs: dict[str, Pair] = {}

    def connect(self, name: str, node: int) -> Pair:
        """Connect with a node, by its number; ``name`` is for scripts."""
        pair = Pair(name, Raw(self.real.nodes[node].port), Client(self.model, self.model.nodes[node]))
        self.pairs[name] = pair
        return pair

    def close(self) -> None:
        for pair in self.pairs.values():
            pair.raw.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    def play(self, script: str) -> None:
        """Send the commands of a script: in each line a connection's name and a command."""
        for line in script.strip().splitlines():
            name, *words = line.split()
            self.do(name, *words)

    def do(self, name: str, *words: str) -> None:
        """Send a command over a connection of each, and compare what comes."""
        pair = self.pairs[name]
        self.story.append(f"{name}: {' '.join(words)}")
        pair.raw.send(*words)
        self._compare(pair, pair.client.send(*words))

    def block(self, name: str, *words: str) -> None:
        """Send a command that blocks both."""
        pair = self.pairs[name]
        self.story.append(f"{name}: {' '.join(words)} (it blocks)")
        node = next(node for node in self.real.nodes if node.port == pair.raw.socket.getpeername()[1])
        with Raw(node.port) as eye:
            before = _blocked(eye)
            pair.raw.send(*words)
            wait_until(lambda: _blocked(eye) == before + 1)
        assert pair.client.send(*words) == [], self._told("the model does not wait")

    def same(self, *names: str, texts: bool = True) -> None:
        """Compare what has come by itself over connections, of all by default; the end of a connection as well.

        Without ``texts``, errors are the same by their words.
        """
        self.model.handle_timeout(self.model.now)
        for name in names or self.pairs:
            pair = self.pairs[name]
            self.story.append(f"{name}:")
            self._compare(pair, pair.client.read(), texts=texts)

    def silent(self) -> None:
        """Check that nothing has come over any connection that was not compared."""
        for pair in self.pairs.values():
            assert pair.client.read() == []
            assert pair.client.session.closed or pair.raw.is_silent(0.02), self._told(f"{pair.name} has more")

    def _compare(self, pair: Pair, ours: list[Any], *, texts: bool = True) -> None:
        if pair.client.session.closed:
            ours = [*ours, b"EOF"]
        pair.raw.socket.settimeout(WAITS)
        theirs: list[Any] = []
        with suppress(TimeoutError):
            while len(theirs) < len(ours):
                try:
                    theirs.append(self.translated(plain(pair.raw.read())))
                except EOFError:
                    theirs.append(b"EOF")
        self.story.append(f"    {theirs!r}")
        ours, theirs = ([_judge(one, texts=texts) for one in some] for some in (ours, theirs))
        assert repr(ours) == repr(theirs), self._told(f"the model says {ours!r}\n  and the server {theirs!r}")

    def translated(self, reply: Any) -> Any:
        """Addresses and ids of the real cluster, as those of the model."""
        if isinstance(reply, list):
            return [self.translated(one) for one in reply]
        if isinstance(reply, dict):
            return {key: self.translated(value) for key, value in reply.items()}
        ports = {real.port: node.view.myself.port for real, node in zip(self.real.nodes, self.model.nodes, strict=True)}
        if isinstance(reply, int):
            return ports.get(reply, reply)
        if isinstance(reply, bytes):
            for real, node in zip(self.real.nodes, self.model.nodes, strict=True):
                reply = reply.replace(real.id.encode(), node.id)
                reply = reply.replace(b":%d" % real.port, b":%d" % node.view.myself.port)
        return reply

    # -- steps --------------------------------------------------------------------------------------------------------

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self.story.append(f"-- {what}")
        yield

    def begin_move(self, to: int) -> None:
        """Begin a classic move of the slot."""
        with self.step("the slot is on its way"):
            self._moves = (
                self.real.slot_move(SLOT, self.real.nodes[to]),
                self.model.begin_move(SLOT, self.model.nodes[to]),
            )
            for move in self._moves:
                move.begin()

    def move_keys(self, count: int | None = None) -> None:
        """Move ``count`` keys of the slot, by name, or all; they replace keys that the target has already."""
        with self.step("its keys have moved"):
            _, model = self._moves
            keys = sorted(model.source.keys_in(SLOT))[:count]
            source, target = (self.real.nodes[self.model.nodes.index(one)] for one in (model.source, model.target))
            if keys:
                with Raw(source.port) as raw:
                    assert raw("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys) == b"OK"
            hand_over(model.source, model.target, keys)

    def empty(self) -> None:
        """Delete all keys."""
        for node in self.real.nodes[:3]:
            with Raw(node.port) as raw:
                raw("FLUSHALL")
        for model in self.model.nodes[:3]:
            Client(self.model, model)("FLUSHALL")

    def finish_move(self) -> None:
        """Finish the move."""
        with self.step("the slot has moved"):
            for move in self._moves:
                move.finish()
            self.real.wait_ok()

    def move_atomically(self, to: int) -> None:
        """Move the slot with all its keys at once."""
        with self.step("the slot moves at once"):
            self.real.move_slot(SLOT, self.real.nodes[to], "atomic")
            self.model.move_slot(SLOT, self.model.nodes[to], "atomic")

    def failover(self, replica: int) -> None:
        """Let a replica take its primary's place, in order."""
        with self.step("the replica takes over"):
            primary = self.real.nodes[replica - 3]
            self.real.failover(primary)
            self.model.failover(self.model.nodes[replica])

    def crash(self, primary: int) -> None:
        """Kill a primary, and let its replica take over."""
        with self.step("the primary crashes"):
            self.real.crash(self.real.nodes[primary])
            self.model.crash(self.model.nodes[primary])
            self.model.failover(self.model.nodes[primary + 3])

    def pause(self, *nodes: int) -> None:
        """Let nodes stand still."""
        with self.step(f"nodes {nodes} stand still"):
            for node in nodes:
                self.real.pause(self.real.nodes[node])
                self.model.pause(self.model.nodes[node])
            self.model.handle_timeout(self.model.now + 2.0)

    def resume(self, *nodes: int) -> None:
        """Let nodes go on."""
        with self.step(f"nodes {nodes} go on"):
            for node in nodes:
                self.real.resume(self.real.nodes[node])
                self.model.resume(self.model.nodes[node])

    def elect(self, replica: int) -> None:
        """Wait until a replica is elected."""
        with self.step("the replica is elected"):
            wait_until(lambda: self.real.owner(SLOT) is self.real.nodes[replica])
            self.real_view_is_ok(replica)
            self.model.failover(self.model.nodes[replica])

    def real_view_is_ok(self, node: int) -> None:
        """Wait until the real cluster is in order, in the view of a node."""
        with Raw(self.real.nodes[node].port) as raw:
            wait_until(lambda: b"cluster_state:ok" in raw("CLUSTER", "INFO"))

    def wait_for(self, name: str, text: bytes) -> None:
        """Wait until both nodes of a connection tell of a state, or of a role of theirs."""
        pair = self.pairs[name]
        with Raw(pair.raw.socket.getpeername()) as raw:
            wait_until(lambda: text in raw("CLUSTER", "INFO") + raw("INFO", "replication"))
        self.model.handle_timeout(self.model.now + 1.0)  # a primary that reaches the majority again waits for so long
        client = Client(self.model, pair.client.server)
        assert text in client("CLUSTER", "INFO") + client("INFO", "replication"), self._told(
            f"the model is not {text!r}"
        )

    def each(self, name: str, *words: str) -> tuple[Any, Any]:
        """The replies of the real cluster and of the model, which may be different."""
        pair = self.pairs[name]
        return pair.raw(*words), pair.client(*words)

    def uncover(self) -> None:
        """Take the slot from its owner."""
        with self.step("the slot is served by no node"):
            self.real.uncover(SLOT)
            self.model.uncover(SLOT)

    def replicated(self) -> None:
        """Wait until the replicas have all writes."""
        self.model.handle_timeout(self.model.now)
        for real, replica in zip(self.real.nodes[:3], self.real.nodes[3:], strict=True):
            wait_until(lambda real=real, replica=replica: _offset(real) == _offset(replica))  # type: ignore[misc]

    def gossiped(self, name: bytes) -> None:
        """Wait until all real nodes know an announced name."""
        for node in self.real.nodes:
            with Raw(node.port) as raw:
                wait_until(lambda raw=raw: name in raw("CLUSTER", "NODES"))  # type: ignore[misc]

    def add_effect(self, source: str, effect: Effect) -> None:
        """Let the model run a script by a function."""
        for node in self.model.nodes:
            node.effects[source.encode()] = effect

    def _told(self, end: str) -> str:
        return "\n".join(["", *self.story, end])


def wait_until(condition: Callable[[], bool], *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _blocked(eye: Raw) -> int:
    return int(re.findall(rb"blocked_clients:(\d+)", eye("INFO", "clients"))[0])


def _offset(node: EmbeddedNode) -> bytes:
    with Raw(node.port) as raw:
        about = raw("INFO", "replication")
    word = rb"slave_repl_offset" if b"role:slave" in about else rb"master_repl_offset"
    found: list[bytes] = re.findall(word + rb":(\d+)", about)
    return found[0]


EXACT = (
    b"-MOVED",
    b"-ASK",
    b"-TRYAGAIN",
    b"-CROSSSLOT",
    b"-CLUSTERDOWN",
    b"-EXECABORT",
    b"-UNBLOCKED",
    b"-READONLY",
)
OF_CLUSTERS = re.compile(rb"cluster|SELECT|DB index|slot")


def _judge(reply: Any, *, texts: bool = True) -> Any:
    """Errors of the cluster by their text, others by their word; where a script stands is not told."""
    if isinstance(reply, list):
        return [_judge(one, texts=texts) for one in reply]
    if isinstance(reply, bytes) and reply.startswith(b"-"):
        word, *_ = reply.split()
        text = re.sub(rb" script: .*$|, with args beginning with:.*$", b"", reply)
        return text if texts and (word in EXACT or OF_CLUSTERS.search(text)) else word
    return reply
