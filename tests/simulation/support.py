"""What the tests of the simulator share: a world that runs for a while, and a group with a member."""

from __future__ import annotations

from streamcore import GroupBatch, GroupEntry
from streamcore.testing.model import Server
from transports.simulation.context import Scene
from transports.simulation.workloads.group.delivery_log import DeliveryLog
from transports.simulation.workloads.group.member import Member
from transports.simulation.workloads.group.workload import add_group
from transports.simulation.world.actor import ADDRESS
from transports.simulation.world.driver import World
from transports.simulation.world.invariants import EventsInOrder
from transports.simulation.world.plan import Size
from transports.simulation.world.server_host import Host
from transports.simulation.world.stream_log import Key, StreamLog, fields_of

TOO_OFTEN = "delivered too often"


def run(world: World, seconds: float) -> None:
    world.run(world.now + seconds)


def group() -> tuple[World, DeliveryLog, Member]:
    """A member that reads, in a world without faults and without entries."""
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    scene = Scene(world, host, StreamLog(host), [])
    add_group(scene, Size(members=1, senders=0, entries=0), EventsInOrder(world))
    log = scene.delivery_logs[0]
    run(world, 0.5)
    log.tenures.note()
    return world, log, next(one for one in log.members if isinstance(one, Member) and one.name == "member-1")


def appended(log: DeliveryLog, member: Member, number: int = 1) -> Key:
    """An entry that the server has delivered to the member, which stands still."""
    assert member.node is not None
    member.node.pause()
    key = Key(b"s", b"%d-1" % number, b"p9:%d" % number)
    log.sent.add(key.name)
    host = log.history.store
    assert isinstance(host, Host)
    host.do(b"XADD", key.stream, key.id, *fields_of(key.name))
    log.history.note(key.stream)
    assert host.server.databases[0].values
    return key


def entry_of(key: Key, deliveries: int = 1) -> GroupEntry[bytes]:
    batch = GroupBatch[bytes](key.stream, [[key.id, fields_of(key.name)]], inbox=len, deliveries=deliveries)  # type: ignore[arg-type]  # nobody listens
    return batch[0]


def delivered(log: DeliveryLog, key: Key, consumer: bytes, times: int = 1) -> None:
    """The server has given an entry to a consumer."""
    group = log.of(key.stream)
    assert group is not None
    host = log.history.store
    assert isinstance(host, Host)
    group.deliver(key.number, consumer, host.server.ms, times)
    log.tenures.note()
