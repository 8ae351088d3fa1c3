"""Commands as methods, on an async runtime: a line each, typed by their builders in ``streamcore.commands``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from streamcore import commands
from streamcore.arguments import Name
from streamcore.commands import Command
from streamcore.errors import NoScriptError
from streamcore.process_bound import ProcessBound
from streamcore.resp3 import Argument

from ..durations import watching_durations
from ..settings import method_signature

P = ParamSpec("P")
R = TypeVar("R")


def _method(build: Callable[P, Command[R]]) -> Callable[Concatenate[Commands, P], Awaitable[R]]:
    """A command builder as a method."""
    made = watching_durations(build)

    def method(self: Commands, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.execute(made(*args, **kwargs))

    method.__doc__ = build.__doc__
    method.__name__ = build.__name__
    method.__signature__ = method_signature(build)  # type: ignore[attr-defined]  # for help() and editors
    return method


class Commands(ProcessBound):
    """Everything that can be asked of a server in a single command."""

    async def execute(self, command: Command[R]) -> R:
        """Run a command. Raises its ``ReplyError``; ``ConnectionLost``, which says whether it was sent."""
        raise NotImplementedError

    @overload
    def script(self, source: str | bytes, *, readonly: bool = False) -> Script[Any]: ...
    @overload
    def script(self, source: str | bytes, parse: Callable[[Any], R], *, readonly: bool = False) -> Script[R]: ...
    def script(
        self, source: str | bytes, parse: Callable[[Any], Any] | None = None, *, readonly: bool = False
    ) -> Script[Any]:
        """Make a function of a Lua script, to be called with ``keys`` and ``args``: by its hash where the server has it.

        ``parse`` makes the answer from the reply; without it, the answer is the decoded reply. A
        ``readonly`` script may be repeated when its reply is lost, and the server keeps it from writing.
        """
        return Script(self, commands.Script(source, parse, readonly=readonly))

    # -- streams ---------------------------------------------------------------------------------------------------------

    xadd = _method(commands.xadd)
    xlen = _method(commands.xlen)
    xdel = _method(commands.xdel)
    xdelex = _method(commands.xdelex)
    xtrim = _method(commands.xtrim)
    xrange = _method(commands.xrange)
    xrevrange = _method(commands.xrevrange)
    xread = _method(commands.xread)
    xsetid = _method(commands.xsetid)
    xcfgset = _method(commands.xcfgset)

    # -- what streams are ------------------------------------------------------------------------------------------------

    xinfo_stream = _method(commands.xinfo_stream)
    xinfo_stream_full = _method(commands.xinfo_stream_full)
    xinfo_groups = _method(commands.xinfo_groups)
    xinfo_consumers = _method(commands.xinfo_consumers)

    # -- consumer groups -------------------------------------------------------------------------------------------------

    xgroup_create = _method(commands.xgroup_create)
    xgroup_setid = _method(commands.xgroup_setid)
    xgroup_destroy = _method(commands.xgroup_destroy)
    xgroup_createconsumer = _method(commands.xgroup_createconsumer)
    xgroup_delconsumer = _method(commands.xgroup_delconsumer)
    xreadgroup = _method(commands.xreadgroup)
    xack = _method(commands.xack)
    xackdel = _method(commands.xackdel)
    xnack = _method(commands.xnack)
    xpending = _method(commands.xpending)
    xpending_range = _method(commands.xpending_range)
    xclaim = _method(commands.xclaim)
    xclaim_justid = _method(commands.xclaim_justid)
    xautoclaim = _method(commands.xautoclaim)
    xautoclaim_justid = _method(commands.xautoclaim_justid)

    # -- keys ------------------------------------------------------------------------------------------------------------

    delete = _method(commands.delete)
    unlink = _method(commands.unlink)
    exists = _method(commands.exists)
    expire = _method(commands.expire)
    expireat = _method(commands.expireat)
    persist = _method(commands.persist)
    ttl = _method(commands.ttl)
    expiretime = _method(commands.expiretime)
    type = _method(commands.type_)
    rename = _method(commands.rename)
    scan = _method(commands.scan)
    memory_usage = _method(commands.memory_usage)

    # -- strings ---------------------------------------------------------------------------------------------------------

    get = _method(commands.get)
    getdel = _method(commands.getdel)
    getex = _method(commands.getex)
    set = _method(commands.set_)
    mget = _method(commands.mget)
    mset = _method(commands.mset)
    incr = _method(commands.incr)
    incrby = _method(commands.incrby)
    incrbyfloat = _method(commands.incrbyfloat)
    decr = _method(commands.decr)
    decrby = _method(commands.decrby)

    # -- hashes ----------------------------------------------------------------------------------------------------------

    hset = _method(commands.hset)
    hget = _method(commands.hget)
    hmget = _method(commands.hmget)
    hgetall = _method(commands.hgetall)
    hdel = _method(commands.hdel)
    hlen = _method(commands.hlen)
    hexists = _method(commands.hexists)
    hincrby = _method(commands.hincrby)
    hkeys = _method(commands.hkeys)
    hvals = _method(commands.hvals)

    # -- lists -----------------------------------------------------------------------------------------------------------

    lpush = _method(commands.lpush)
    rpush = _method(commands.rpush)
    lpop = _method(commands.lpop)
    rpop = _method(commands.rpop)
    lrange = _method(commands.lrange)
    llen = _method(commands.llen)
    ltrim = _method(commands.ltrim)
    blpop = _method(commands.blpop)
    brpop = _method(commands.brpop)

    # -- sets ------------------------------------------------------------------------------------------------------------

    sadd = _method(commands.sadd)
    srem = _method(commands.srem)
    smembers = _method(commands.smembers)
    sismember = _method(commands.sismember)
    scard = _method(commands.scard)

    # -- sorted sets -----------------------------------------------------------------------------------------------------

    zadd = _method(commands.zadd)
    zadd_incr = _method(commands.zadd_incr)
    zrem = _method(commands.zrem)
    zscore = _method(commands.zscore)
    zcard = _method(commands.zcard)
    zrange = _method(commands.zrange)
    zrangebyscore = _method(commands.zrangebyscore)
    zremrangebyscore = _method(commands.zremrangebyscore)
    zpopmin = _method(commands.zpopmin)

    # -- scripts and functions -------------------------------------------------------------------------------------------

    eval = _method(commands.eval_)
    eval_ro = _method(commands.eval_ro)
    evalsha = _method(commands.evalsha)
    evalsha_ro = _method(commands.evalsha_ro)
    fcall = _method(commands.fcall)
    fcall_ro = _method(commands.fcall_ro)
    script_load = _method(commands.script_load)
    script_exists = _method(commands.script_exists)
    script_flush = _method(commands.script_flush)
    script_kill = _method(commands.script_kill)
    function_load = _method(commands.function_load)
    function_list = _method(commands.function_list)
    function_delete = _method(commands.function_delete)
    function_flush = _method(commands.function_flush)
    function_dump = _method(commands.function_dump)
    function_restore = _method(commands.function_restore)
    function_stats = _method(commands.function_stats)
    function_kill = _method(commands.function_kill)

    # -- publishing ------------------------------------------------------------------------------------------------------

    publish = _method(commands.publish)
    spublish = _method(commands.spublish)
    pubsub_channels = _method(commands.pubsub_channels)
    pubsub_numsub = _method(commands.pubsub_numsub)
    pubsub_numpat = _method(commands.pubsub_numpat)
    pubsub_shardchannels = _method(commands.pubsub_shardchannels)
    pubsub_shardnumsub = _method(commands.pubsub_shardnumsub)

    # -- the server ------------------------------------------------------------------------------------------------------

    ping = _method(commands.ping)
    echo = _method(commands.echo)
    info = _method(commands.info)
    time = _method(commands.time)
    dbsize = _method(commands.dbsize)
    flushall = _method(commands.flushall)
    flushdb = _method(commands.flushdb)
    config_get = _method(commands.config_get)
    config_set = _method(commands.config_set)
    config_resetstat = _method(commands.config_resetstat)
    config_rewrite = _method(commands.config_rewrite)
    wait = _method(commands.wait)
    waitaof = _method(commands.waitaof)
    role = _method(commands.role)
    command_count = _method(commands.command_count)
    command_getkeys = _method(commands.command_getkeys)
    acl_whoami = _method(commands.acl_whoami)
    acl_cat = _method(commands.acl_cat)

    # -- connections -----------------------------------------------------------------------------------------------------

    client_id = _method(commands.client_id)
    client_info = _method(commands.client_info)
    client_list = _method(commands.client_list)
    client_kill = _method(commands.client_kill)
    client_getname = _method(commands.client_getname)
    client_pause = _method(commands.client_pause)
    client_unpause = _method(commands.client_unpause)
    client_unblock = _method(commands.client_unblock)
    client_trackinginfo = _method(commands.client_trackinginfo)
    client_getredir = _method(commands.client_getredir)

    # -- the cluster -----------------------------------------------------------------------------------------------------

    cluster_shards = _method(commands.cluster_shards)
    cluster_slots = _method(commands.cluster_slots)
    cluster_nodes = _method(commands.cluster_nodes)
    cluster_info = _method(commands.cluster_info)
    cluster_myid = _method(commands.cluster_myid)
    cluster_keyslot = _method(commands.cluster_keyslot)
    cluster_countkeysinslot = _method(commands.cluster_countkeysinslot)
    cluster_getkeysinslot = _method(commands.cluster_getkeysinslot)


class Script(ProcessBound, Generic[R]):
    """A Lua script of a client (``EVALSHA``, and ``EVAL`` where the server does not know it yet)."""

    _instead = "call client.script() where it is needed"

    def __init__(self, client: Commands, script: commands.Script[R]) -> None:
        self._client = client
        self._script = script

    @property
    def sha(self) -> str:
        """The SHA-1 of the source, by which servers know it."""
        return self._script.sha

    async def __call__(self, keys: Sequence[Name] = (), args: Sequence[Argument] = ()) -> R:
        """Run it. All keys that it touches must be given as ``keys``. Raises the script's ``ReplyError``."""
        try:
            return await self._client.execute(self._script.evalsha(keys, args))
        except NoScriptError:
            return await self._client.execute(self._script.eval(keys, args))
