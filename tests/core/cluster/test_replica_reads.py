"""Requests that only read, answered by replicas: which commands, which nodes, and what follows where a replica fails."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import commands
from streamcore.cluster.replicas import Replicas
from streamcore.commands import Command, exists, get, incr, mget, raw, set_
from streamcore.connection.common import Clock
from streamcore.errors import ConnectionLost, CrossSlotError, InvalidArgument, UnreadableError
from streamcore.events import Connected, Disconnected
from streamcore.options import Address, Options
from streamcore.requests.multiplexer import Multiplexer
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.topology_events import NodeSuspected
from tests.core.support.clusters import KEYS, START, Rig, address, slot


def rig(read_from: Any = "replica", *, replicas: int = 1, **options: Any) -> Rig:
    model = ModelCluster(replicas=replicas, now=START, node_timeout=60.0)
    engine = {"read_from": read_from, **options.pop("engine", {})}
    return Rig(model=model, engine=engine, **options)


def ran_at(rig: Rig, *names: str) -> list[Node]:
    """The nodes that have run commands of these names since the last call."""
    ran, rig.ran[:] = [*rig.ran], []
    return [node for node, words in ran if words[0].decode() in names]


def of(rig: Rig, key: str = "a") -> Node:
    return rig.model.replica_of(rig.owner(key))


def answer(rig: Rig, *commands: Command[Any]) -> Any:
    return rig.ask(*commands).answers()


def write(rig: Rig, key: str = "a", value: str = "1") -> None:
    """Set a key, and let its replicas copy that."""
    assert answer(rig, set_(key, value)) == [b"OK"]
    rig.advance(0.01)


class TestCommands:
    def test_reads_go_to_the_replica_and_writes_to_the_primary(self) -> None:
        it = rig()
        write(it)
        assert answer(it, get("a")) == [b"1"]
        assert ran_at(it, "SET") == [it.owner("a")]
        assert answer(it, incr("a")) == [2]
        assert answer(it, get("a")) == [b"1"], "there is no order between them"
        assert ran_at(it, "GET", "INCR", "READONLY") == [it.owner("a"), of(it)], "READONLY went before, once"
        it.expect_nothing_left()

    def test_an_unknown_command_counts_as_a_write_unless_told(self) -> None:
        it = rig()
        answer(it, raw("FT.GET", "a"))
        answer(it, raw("FT.GET", "a", reads=True))
        answer(it, Command.raw("FT.GET", "a", reads=True).text())
        answer(it, raw("GET", "a"))
        assert [node.replication.is_replica for node in ran_at(it, "FT.GET", "GET")] == [False, True, True, True]

    @pytest.mark.parametrize(
        ("command", "reads"),
        [
            (commands.xread({"a": "0"}), True),
            (commands.xinfo_stream("a"), True),
            (commands.xrange("a"), True),
            (commands.eval_ro("return 1", ["a"]), True),
            (commands.evalsha_ro("0" * 40, ["a"]), True),
            (commands.fcall_ro("f", ["a"]), True),
            (commands.eval_("return 1", ["a"]), False),
            (commands.fcall("f", ["a"]), False),
            (commands.xreadgroup("g", "c", {"a": ">"}), False),
            (commands.getdel("a"), False),
            (raw("TOUCH", "a"), False),
            (raw("SORT", "a"), False),
            (raw("BITFIELD", "a"), False),
            (raw("BITFIELD_RO", "a"), True),
            (raw("memory", "usage", "a"), True),
            (raw("XGROUP", "CREATE", "a", "g", "0"), False),
        ],
    )
    def test_commands_that_only_read_are_known(self, command: Command[Any], reads: bool) -> None:
        assert command.only_reads is reads

    def test_a_transaction_stays_at_the_primary(self) -> None:
        it = rig()
        assert it.transact(get("a"), exists("a")).answers() == [None, 0]
        assert ran_at(it, "EXEC") == [it.owner("a")]

    def test_commands_without_keys_stay_at_a_primary(self) -> None:
        it = rig()
        answer(it, commands.dbsize())
        answer(it, raw("EVAL_RO", "return 1", "0"))
        assert not any(node.replication.is_replica for node in ran_at(it, "DBSIZE", "EVAL_RO"))

    def test_keys_of_several_slots_are_refused(self) -> None:
        with pytest.raises(CrossSlotError):
            rig().submit(mget("a", "b"))

    def test_a_pipeline_reads_from_replicas_the_slots_that_it_does_not_write_to(self) -> None:
        it = rig()
        for key in KEYS:
            write(it, key, key)
        it.ran.clear()
        got = answer(it, get("b"), set_("a", "new"), get("a"), get("c"), commands.ping(), exists("b"))
        assert got == [b"b", b"OK", b"new", b"c", b"PONG", 1]
        assert {*ran_at(it, "GET", "SET", "EXISTS")} == {of(it, "b"), of(it, "c"), it.owner("a")}
        it.expect_nothing_left()

    def test_each_call_may_choose(self) -> None:
        it = rig("primary")
        it.client.submit([get("a")], it.ended.append, "replica")
        it.client.submit([get("a")], it.ended.append)
        it.net.serve()
        assert ran_at(it, "GET") == [it.owner("a"), of(it)] or ran_at(it, "GET")
        with pytest.raises(InvalidArgument, match="read_from must be 'primary' or 'replica' or 'any', not 'nearest'"):
            it.client.submit([get("a")], it.ended.append, "nearest")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="read_from"):
            rig(b"replica")

    def test_a_single_server_answers_all(self) -> None:
        done: list[Any] = []
        Multiplexer().submit([get("a")], done.append, "replica")


class TestChoice:
    def test_the_requests_of_a_shard_stay_at_a_replica(self) -> None:
        numbers = iter([0.9, 0.1] * 100)
        it = rig(replicas=3, engine={"random": lambda: next(numbers)})
        for _ in range(5):
            answer(it, get("a"))
        assert len({*ran_at(it, "GET")}) == 1

    @pytest.mark.parametrize(("drawn", "at_primary"), [(0.0, False), (0.99, True)])
    def test_any_is_the_primary_or_a_replica_by_chance(self, drawn: float, at_primary: bool) -> None:
        it = rig("any", engine={"random": lambda: drawn})
        answer(it, get("a"))
        answer(it, get("a"), exists("a"))
        assert {not node.replication.is_replica for node in ran_at(it, "GET")} == {at_primary}

    def test_a_slot_without_a_replica_is_read_from_its_primary(self) -> None:
        it = rig(replicas=0)
        assert answer(it, get("a")) == [None]
        assert answer(it, get("a"), get("b")) == [None, None]
        assert ran_at(it, "GET")[0] is it.owner("a")

    def test_reads_wait_for_the_topology_as_writes_do(self) -> None:
        it = rig(starts=False)
        request = it.submit(get("a"))
        it.start()
        it.until(request)
        assert request.answers() == [None]

    def test_an_avoided_node_is_avoided_for_longer_each_time_until_it_has_worked(self) -> None:
        clock = Clock()
        nodes = Replicas(clock, lambda: 0.0)
        one, other = Address("h", 1), Address("h", 2)
        assert nodes.choose(nodes.able([one, other])) == one
        assert nodes.choose([one, other], other) == other
        assert nodes.choose([]) is None
        for lasts in (5.0, 10.0, 20.0):
            nodes.avoid(one, has_worked=False)
            clock.now += lasts - 0.1
            assert nodes.able([one, other]) == [other]
            clock.now += 0.1
            assert nodes.able([one, other]) == [one, other]
        nodes.avoid(one, has_worked=True)
        clock.now += 5.0
        assert nodes.able([one]) == [one]
        for _ in range(20):
            nodes.avoid(one, has_worked=False)
        clock.now += 300.0
        assert nodes.able([one]) == [one]


class TestFailures:
    def test_what_a_lost_replica_has_not_answered_another_answers(self) -> None:
        it = rig(replicas=2)
        write(it)
        answer(it, get("a"))
        [first] = ran_at(it, "GET")
        it.model.pause(first)
        request = it.ask(get("a"))
        single = it.ask(get("a"), exists("a"))
        assert not request.finished
        it.model.crash(first)
        it.net.serve()
        it.until(request)
        it.until(single)
        assert request.answers() == [b"1"]
        assert single.answers() == [b"1", 1]
        nodes = {*ran_at(it, "GET")} - {first}
        assert len(nodes) == 1
        assert all(node.replication.is_replica for node in nodes)
        it.expect_nothing_left()
        assert it.client._reads.queued == 0

    def test_where_all_replicas_are_lost_the_primary_answers(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"))
        it.model.crash(of(it))
        it.events(Connected)
        it.ran.clear()
        request = it.ask(get("a"))
        it.until(request)
        assert request.answers() == [b"1"]
        assert ran_at(it, "GET") == [it.owner("a")]
        it.advance(1.0)
        assert answer(it, get("a")) == [b"1"], "it is not dialled for a while"
        assert len(it.events(Disconnected)) <= 1

    def test_requests_that_are_given_up_are_not_sent_elsewhere(self) -> None:
        it = rig()
        answer(it, get("a"))
        node = of(it)
        it.model.pause(node)
        request = it.ask(get("a"))
        request.finished = True
        call = it.ask(get("a"), exists("a"))
        call.finished = True
        it.ran.clear()
        it.model.crash(node)
        it.advance(1.0)
        assert ran_at(it, "GET") == []
        assert it.client._reads.queued == 0

    def test_a_silent_replica_is_suspected_and_left(self) -> None:
        it = rig(options=Options(request_timeout=4.0))
        write(it)
        answer(it, get("a"))
        it.model.pause(of(it))
        request = it.ask(get("a"))
        assert 0.9 < it.until(request) < 1.5, "it is silent for a second"
        assert request.answers() == [b"1"]
        assert len(it.events(NodeSuspected)) == 1

    def test_a_replica_that_cannot_be_dialled_costs_a_second_at_most(self) -> None:
        it = rig()
        write(it)
        it.net.pair.dials = False
        request, other = it.ask(get("a")), it.ask(get("a"))
        other.finished = True
        assert 0.9 < it.until(request) < 1.2
        assert request.answers() == [b"1"]
        assert it.until(it.ask(get("a"))) < 0.1
        it.expect_nothing_left()

    @pytest.mark.parametrize("word", ["LOADING wait", "MASTERDOWN link", "CLUSTERDOWN down"])
    def test_a_replica_that_cannot_serve_now_is_left(self, word: str) -> None:
        it = rig(replicas=2)
        write(it)
        answer(it, get("a"))
        [first] = ran_at(it, "GET")
        first.faults.fail_next("GET", word)
        assert answer(it, get("a")) == [b"1"]
        assert ran_at(it, "GET")[0] is first
        assert answer(it, get("a"), exists("a")) == [b"1", 1]
        assert first not in ran_at(it, "GET")
        it.expect_nothing_left()

    def test_the_rest_of_a_part_keeps_its_answers(self) -> None:
        it = rig()
        for key in KEYS:
            write(it, key, key)
        answer(it, get("a"))
        of(it).faults.fail_next("GET", "LOADING wait")
        assert answer(it, exists("a"), get("a"), get("{a}2"), get("b")) == [1, b"a", None, b"b"]
        it.expect_nothing_left()

    def test_errors_are_answers(self) -> None:
        it = rig()
        write(it)
        [refused] = answer(it, commands.xrange("a"))
        assert "WRONGTYPE" in str(refused)
        one, two = answer(it, commands.xrange("a"), get("a"))
        assert "WRONGTYPE" in str(one)
        assert two == b"1"

    def test_a_replica_that_may_not_be_used_is_left(self) -> None:
        it = rig()
        write(it)
        of(it).faults.denied.add("READONLY")
        assert answer(it, get("a")) == [b"1"]
        assert ran_at(it, "GET") == [it.owner("a")]

    def test_a_part_is_cut_short_by_a_command_that_was_not_understood(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"))
        name = f"reads at {address(of(it))}"
        it.net.silence(name)
        call, behind = it.ask(get("a"), exists("a")), it.ask(get("a"))
        peer = it.net.pair.peer(name)
        peer.reply(b"-ERR Protocol error: invalid bulk length\r\n")
        peer.close()
        it.advance(0.5)
        assert [type(one) for one in call.answers()] == [UnreadableError, UnreadableError]
        assert behind.answers() == [b"1"]
        it.expect_nothing_left()

    def test_replicas_that_are_dialled_one_after_the_other_are_given_up_so(self) -> None:
        it = rig()
        for key in KEYS:
            write(it, key, key)
        it.net.pair.dials = False
        first = it.ask(get("a"))
        it.advance(0.5)
        second = it.ask(get("b"))
        assert 0.4 < it.until(first) < 0.6
        assert not second.finished
        assert 0.4 < it.until(second) < 0.6

    def test_the_end_of_the_client_is_the_end_of_its_reads(self) -> None:
        it = rig()
        answer(it, get("a"))
        it.model.pause(of(it))
        request = it.ask(get("a"))
        it.client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            request.answers()
        assert it.client._reads.queued == 0


class TestTopologies:
    def test_a_promoted_replica_is_left_when_there_is_another(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"))
        before, promoted = it.owner("a"), of(it)
        it.model.failover(promoted)
        assert answer(it, set_("a", "2")) == [b"OK"]
        it.advance(0.5)
        it.ran.clear()
        assert answer(it, get("a")) == [b"2"]
        assert ran_at(it, "GET") == [before]
        assert not any(link.name == f"reads at {address(promoted)}" for link in it.client.links() if link.is_up)

    def test_a_replica_of_another_shard_says_so(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"), get("b"))
        before = of(it)
        it.model.move_slot(slot("a"), it.other("a"))
        it.net.pair.advance(0.0)
        it.model.handle_timeout(it.model.now)
        it.ran.clear()
        assert answer(it, get("a"), exists("a")) == [b"1", 1]
        assert ran_at(it, "GET")[0] is before, "it has answered MOVED"
        assert answer(it, get("a")) == [b"1"]
        it.advance(0.5)
        it.ran.clear()
        assert answer(it, get("a")) == [b"1"]
        it.expect_nothing_left()

    def test_a_slot_that_a_redirect_has_moved_is_read_from_the_replicas_of_its_owner(self) -> None:
        it = rig(engine={})
        write(it)
        it.model.move_slot(slot("a"), it.other("a"))
        it.submit(set_("a", "2"))
        seen: list[list[Address]] = []
        moved = it.router.moved

        def watch(*args: Any) -> Any:
            found = moved(*args)
            seen.append(it.router.readers(slot("a")))
            return found

        it.router.moved = watch  # type: ignore[method-assign, assignment]
        it.net.serve()
        assert seen == [[address(of(it))]]

    def test_a_slot_on_its_way_is_asked_of_the_primary(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"))
        of(it).faults.fail_next("GET", f"ASK {slot('a')} 127.0.0.1:7001")
        it.ran.clear()
        assert answer(it, get("a")) == [b"1"]
        assert ran_at(it, "GET") == [of(it), it.owner("a")]
        answer(it, get("a"))
        assert ran_at(it, "GET") == [of(it)], "and it is not avoided"

    def test_reads_do_not_wait_at_gates(self) -> None:
        it = rig()
        write(it)
        answer(it, get("a"))
        it.model.pause(it.owner("a"))
        it.ask(incr("a"))
        assert answer(it, get("a")) == [b"1"]


def test_ends_before_the_connection_is_up() -> None:
    it = rig()
    request = it.submit(get("a"))
    request.finished = True
    call = it.submit(get("a"), get("b"))
    call.finished = True
    it.advance(0.5)
    assert it.client._reads.queued == 0
    late = Rig(model=it.model, engine={"read_from": "replica"}, options=Options(request_timeout=0.2))
    answer(late, set_("a", "1"))
    late.net.pair.dials = False
    asked = late.ask(get("a"))
    late.until(asked)
    assert asked.answers() == [b"1"]
