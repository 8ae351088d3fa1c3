"""EVAL, EVALSHA and SCRIPT: the scripts that streamcore sends, found by their source text, as Python functions.

There is no Lua here: an unknown script is an error that says so, unless its effect was added by ``Server.add_script``. An
effect is called with the session, the keys and the arguments, and calls commands as a script does, by
``session.server.call``.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Final, TypeAlias

from streamcore.channels import PUBLISH
from streamcore.scripts.group import ACK_OWNED, BURY, GIVE_BACK, RELEASE, REMOVE
from streamcore.scripts.lease import HOLD, LET_GO
from streamcore.scripts.producer import APPEND_ONCE

from ..arguments import integer
from ..protocol import OK, Denied, Failure, Reply
from ..registry import Command
from ..session import Session

Effect: TypeAlias = Callable[[Session, list[bytes], list[bytes]], Reply]


def _owner(s: Session, stream: bytes, group: bytes, id_: bytes) -> bytes | None:
    """The consumer for which an entry is pending; None where it is not pending."""
    try:
        rows = s.server.call(s, b"XPENDING", stream, group, id_, id_, b"1")
    except Failure:
        return None
    return rows[0][1] if rows else None


def _owned(s: Session, stream: bytes, group: bytes, owner: bytes, id_: bytes) -> bool:
    return _owner(s, stream, group, id_) == owner


def _ack_owned(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    group, owner, *ids = args
    owners = {id_: _owner(s, keys[0], group, id_) for id_ in ids}
    acked = [id_ for id_ in ids if owners[id_] == owner]
    if acked:
        s.server.call(s, b"XACK", keys[0], group, *acked)
    settled = [id_ for id_ in ids if owners[id_] is None]
    return [[id_ for id_ in ids if id_ not in acked and id_ not in settled], settled]


def _give_back(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    group, owner, successor, idle, wait, deliveries, *ids = args
    given = [id_ for id_ in ids if _owned(s, keys[0], group, owner, id_)]
    if not given:
        return 0
    delay = int(wait)
    if delay > 0:
        due = b"%d" % (s.server.ms + delay)
        for id_ in given:
            s.server.call(s, b"ZADD", keys[1], due, id_)
        if s.server.call(s, b"PTTL", keys[1]) < 2 * delay:
            s.server.call(s, b"PEXPIRE", keys[1], b"%d" % (2 * delay))
    counted = () if deliveries == b"-1" else (b"RETRYCOUNT", deliveries)
    s.server.call(s, b"XCLAIM", keys[0], group, successor, b"0", *given, b"IDLE", idle, b"JUSTID", *counted)
    return len(given)


def _release(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    group, owner, successor, idle, deliveries, *ids = args
    given = [id_ for id_ in ids if _owned(s, keys[0], group, owner, id_)]
    if given:
        how = (b"IDLE", idle, b"RETRYCOUNT", deliveries, b"JUSTID")
        s.server.call(s, b"XCLAIM", keys[0], group, successor, b"0", *given, *how)
    return len(given)


def _bury(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    group, owner, id_, *about = args
    if not _owned(s, keys[0], group, owner, id_):
        return 0 if _owner(s, keys[0], group, id_) is not None else _letter(s, keys[1], about)
    found = s.server.call(s, b"XRANGE", keys[0], id_, id_)
    letter = b""
    if found:
        fields = found[0][1] if len(found[0][1]) <= 7000 else []
        s.server.call(s, b"XACK", keys[0], group, b"0-0")
        letter = s.server.call(s, b"XADD", keys[1], b"*", *fields, *about)
    s.server.call(s, b"XACK", keys[0], group, id_)
    return letter


def _letter(s: Session, letters: bytes, about: list[bytes]) -> Reply:
    """Find the dead letter of an entry among the last 100 letters; 1 where none of them is."""
    try:
        found = s.server.call(s, b"XREVRANGE", letters, b"+", b"-", b"COUNT", b"100")
    except Failure:
        return 1
    origin = {pair for pair in _pairs(about) if pair[0] not in {b"dead:reason", b"dead:attempts"}}
    return next((id_ for id_, fields in found if origin <= set(_pairs(fields))), 1)


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _remove(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    group, *names = args
    removed: list[Reply] = []
    for lease, name in zip(keys[1:], names, strict=True):
        is_held = s.server.call(s, b"EXISTS", lease) == 1
        if not (is_held or s.server.call(s, b"XPENDING", keys[0], group, b"-", b"+", b"1", name)):
            is_new = s.server.call(s, b"XGROUP", b"CREATECONSUMER", keys[0], group, name) == 1
            s.server.call(s, b"XGROUP", b"DELCONSUMER", keys[0], group, name)
            if not is_new:
                removed.append(name)
    return removed


def _hold(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    nonce, takes_over, client, run, expiry = args
    former = s.server.call(s, b"HMGET", keys[0], b"holder", b"client", b"run")
    if former[0] not in {None, nonce} and takes_over == b"0":
        return [0]
    if former[0] != nonce:
        s.server.call(s, b"HINCRBY", keys[0], b"epoch", b"1")
    s.server.call(s, b"PEXPIRE", keys[0], expiry)
    s.server.call(s, b"HSET", keys[0], b"holder", nonce, b"client", client, b"run", run)
    return [1, *former]


def _let_go(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    if s.server.call(s, b"HGET", keys[0], b"holder") == args[0]:
        return s.server.call(s, b"DEL", keys[0])
    return 0


def _append_once(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    call, (stream, held) = s.server.call, keys
    message = b"m" + args[0]
    id_ = call(s, b"HGET", held, message)
    if id_ is None:
        place = b"s%d" % (call(s, b"HINCRBY", held, b"n", b"1") % int(args[1]))
        call(s, b"PEXPIRE", held, args[2])
        id_ = call(s, b"XADD", stream, *args[3:])
        oldest = call(s, b"HGET", held, place)
        if oldest is not None:
            call(s, b"HDEL", held, oldest)
        call(s, b"HSET", held, place, message, message, id_)
    else:
        call(s, b"PEXPIRE", held, args[2])
    return id_


def _published(s: Session, key: bytes, nonce: bytes, looks_back: int) -> Reply:
    for id_, fields in s.server.call(s, b"XREVRANGE", key, b"+", b"-", b"COUNT", b"%d" % looks_back):
        if fields[2:4] == [b"nonce", nonce]:
            return id_
    return None


def _publish(s: Session, keys: list[bytes], args: list[bytes]) -> Reply:
    call = s.server.call
    again, nonce, how, maxlen, ttl, field, data, looks_back, marked = args
    keys, mark = (keys[:-1], keys[-1]) if marked == b"1" else (keys, None)
    said = None if mark is None else call(s, b"GET", mark)
    if said is not None:
        return said.split()
    marking = None if mark is None or again != b"1" else (b"SET", mark, b"", b"PX", b"1000000")
    if ttl != b"0":
        s.server.faults.check(b"PEXPIRE", [b"PEXPIRE", keys[0], ttl], "")
    if marking is not None:
        s.server.faults.check(b"SET", marking, "")
    for key in keys:
        call(s, b"XLEN", key)
    ids: list[bytes] = []
    for key in keys:
        id_ = _published(s, key, nonce, int(looks_back)) if again == b"1" else None
        if id_ is None:
            id_ = call(s, b"XADD", key, b"MAXLEN", how, maxlen, b"*", field, data, b"nonce", nonce)
        if ttl != b"0":
            call(s, b"PEXPIRE", key, ttl)
        ids.append(id_)
    if marking is not None:
        call(s, *marking[:2], b" ".join(ids), *marking[3:])
    return ids


EFFECTS: Final[dict[bytes, Effect]] = {
    ACK_OWNED.encode(): _ack_owned,
    GIVE_BACK.encode(): _give_back,
    RELEASE.encode(): _release,
    BURY.encode(): _bury,
    REMOVE.encode(): _remove,
    HOLD.encode(): _hold,
    LET_GO.encode(): _let_go,
    APPEND_ONCE.source: _append_once,
    PUBLISH.source: _publish,
}


# -- the commands ------------------------------------------------------------------------------------------------------


def _run(s: Session, source: bytes, rest: list[bytes]) -> Reply:
    count = integer(rest[0])
    if count < 0:
        raise Failure("ERR Number of keys can't be negative")
    if count > len(rest) - 1:
        raise Failure("ERR Number of keys can't be greater than number of args")
    effect = s.server.effects.get(source) or EFFECTS.get(source)
    if effect is None:
        raise Failure(
            "ERR this server in memory runs no Lua; give the script's effect to add_script(source, effect), or test it "
            "with a real server"
        )
    try:
        return effect(s, rest[1 : count + 1], rest[count + 1 :])
    except Denied as denied:
        raise Failure(_refusal(s, denied, source)) from None


def _sha(source: bytes) -> bytes:
    return sha1(source, usedforsecurity=False).hexdigest().encode()


def _refusal(s: Session, denied: Denied, source: bytes) -> str:
    """Format the error of a script that calls a command which its user may not run."""
    words = "', '".join(denied.command.upper().split("|"))
    lines = source.decode(errors="replace").splitlines()
    line = next((at for at, text in enumerate(lines, 1) if f"'{words}'" in text), 1)
    flavour = s.server.flavour
    sha = "" if flavour.name == b"valkey" else f"{_sha(source).decode()}, "
    why = (
        f"ACL failure in script: {str(denied).partition(' ')[2]}"
        if flavour.modern
        else "The user executing the script can't run this command or subcommand"
    )
    return f"ERR {why} script: {sha}on @user_script:{line}."


def eval_(s: Session, args: list[bytes]) -> Reply:
    s.server.scripts[_sha(args[0])] = args[0]
    return _run(s, args[0], args[1:])


def evalsha(s: Session, args: list[bytes]) -> Reply:
    source = s.server.scripts.get(args[0].lower())
    if source is None:
        raise Failure("NOSCRIPT No matching script. Please use EVAL.")
    return _run(s, source, args[1:])


def script(s: Session, args: list[bytes]) -> Reply:
    known, rest = s.server.scripts, args[1:]
    match args[0].upper():
        case b"LOAD" if len(rest) == 1:
            known[_sha(rest[0])] = rest[0]
            return _sha(rest[0])
        case b"EXISTS" if rest:
            return [int(one.lower() in known) for one in rest]
        case b"FLUSH" if len(rest) <= 1:
            known.clear()
            return OK
    raise Failure(f"ERR unknown subcommand '{args[0].decode(errors='replace')}'. Try SCRIPT HELP.")


COMMANDS: Final = {
    b"EVAL": Command(eval_, -3),
    b"EVAL_RO": Command(eval_, -3),
    b"EVALSHA": Command(evalsha, -3),
    b"EVALSHA_RO": Command(evalsha, -3),
    b"SCRIPT": Command(script, -2),
}
