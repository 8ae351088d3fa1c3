"""Commands about the connection and the server: HELLO, CLIENT, INFO, CONFIG, TIME; MULTI and EXEC."""

from __future__ import annotations

from typing import Final

from ..arguments import Words, glob, integer, syntax_error
from ..keyspace import DATABASES
from ..notifications import flags
from ..protocol import NULL_ARRAY, OK, PONG, Failure, Reply, Simple, Verbatim
from ..registry import Command
from ..session import Session
from .tracking import track


def hello(s: Session, args: list[bytes]) -> Reply:
    protocol, name = s.protocol, s.name
    options = Words(args)
    if args:
        protocol = integer(options.take(), "ERR Protocol version is not an integer or out of range")
        if protocol not in {2, 3}:
            raise Failure("NOPROTO unsupported protocol version")
    for word in options:
        match word:
            case b"AUTH":
                _authenticate(s, options.take(), options.take())
            case b"SETNAME":
                name = _checked_name(options.take())
            case _:
                raise Failure(f"ERR Syntax error in HELLO option '{word.decode(errors='replace')}'")
    if not s.is_trusted:
        raise Failure(
            "NOAUTH HELLO must be called with the client already authenticated, or with AUTH <user> <password>"
        )
    s.protocol, s.name = protocol, name
    flavour = s.server.flavour
    return {
        b"server": flavour.name,
        b"version": flavour.version,
        b"proto": protocol,
        b"id": s.number,
        b"mode": b"standalone",
        b"role": b"master" if not s.server.replication.is_replica else b"replica",
        b"modules": [],
    }


def auth(s: Session, args: list[bytes]) -> Reply:
    if len(args) > 2:
        raise syntax_error()
    _authenticate(s, *(args if len(args) == 2 else [b"default", *args]))
    return OK


def _authenticate(s: Session, user: bytes, password: bytes) -> None:
    expected = s.server.passwords.get(user)
    if password != expected if expected is not None else user != b"default":
        raise Failure("WRONGPASS invalid username-password pair or user is disabled.")
    s.user, s.is_trusted = user, True


def ping(s: Session, args: list[bytes]) -> Reply:
    if len(args) > 1:
        raise Failure("ERR wrong number of arguments for 'ping' command")
    if s.protocol == 2 and (s.subscriptions or s.shards):
        return [b"pong", args[0] if args else b""]
    return args[0] if args else PONG


def echo(_: Session, args: list[bytes]) -> Reply:
    return args[0]


def select(s: Session, args: list[bytes]) -> Reply:
    number = integer(args[0], "ERR invalid DB index")
    if not 0 <= number < DATABASES:
        raise Failure("ERR DB index is out of range")
    s.database, s.keys = number, s.server.databases[number]
    return OK


def quit_(s: Session, _: list[bytes]) -> Reply:
    s.is_leaving = True
    return OK


def reset(s: Session, _: list[bytes]) -> Reply:
    s.reset()
    return Simple(b"RESET")


# -- CLIENT ------------------------------------------------------------------------------------------------------------


def client(s: Session, args: list[bytes]) -> Reply:
    server, rest = s.server, args[1:]
    match args[0].upper(), rest:
        case b"ID", []:
            return s.number
        case b"GETNAME", []:
            return s.name or None
        case b"SETNAME", [name]:
            s.name = _checked_name(name)
            return OK
        case b"SETINFO", [word, value] if server.flavour.modern and word.upper() in s.library:
            s.library[word.upper()] = value
            return OK
        case b"INFO", []:
            return Verbatim(_line(s) + b"\n")
        case b"LIST", _:
            return Verbatim(b"".join(_line(one) + b"\n" for one in _listed(s, rest)))
        case b"KILL", _:
            return _kill(s, rest)
        case b"TRACKING", [_, *_]:
            return track(s, rest)
        case b"UNBLOCK", [number, *how]:
            return _unblock(s, integer(number, "ERR Invalid client ID"), how)
        case ((b"NO-EVICT" | b"NO-TOUCH"), [_]):
            return OK
    raise Failure(f"ERR unknown subcommand or wrong number of arguments for '{args[0].decode(errors='replace')}'")


def _checked_name(name: bytes) -> bytes:
    if any(not 33 <= byte <= 126 for byte in name):
        raise Failure("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def _line(one: Session) -> bytes:
    flags = b"".join(
        letter
        for letter, holds in (
            (b"P", one.subscriptions or one.shards),
            (b"x", one.queued is not None),
            (b"b", one.blocked is not None),
        )
        if holds
    )
    now = one.server.now
    shown: list[tuple[bytes, bytes | int]] = [
        (b"id", one.number),
        (b"addr", one.address),
        (b"laddr", b"127.0.0.1:6379"),
        (b"name", one.name),
        (b"age", int(now - one.since)),
        (b"idle", int(now - one.heard)),
        (b"flags", flags or b"N"),
        (b"db", one.database),
        (b"sub", len(one.channels)),
        (b"psub", len(one.patterns)),
        (b"ssub", len(one.shards)),
        (b"multi", -1 if one.queued is None else len(one.queued)),
        (b"cmd", one.last_word),
        (b"user", one.user),
        (b"resp", one.protocol),
        (b"lib-name", one.library[b"LIB-NAME"]),
        (b"lib-ver", one.library[b"LIB-VER"]),
    ]
    return b" ".join(b"%b=%b" % (word, b"%d" % value if isinstance(value, int) else value) for word, value in shown)


def _kind(one: Session) -> bytes:
    return b"pubsub" if one.subscriptions or one.shards else b"normal"


def _listed(s: Session, args: list[bytes]) -> list[Session]:
    every = list(s.server.sessions.values())
    match [word.upper() for word in args]:
        case []:
            return every
        case [b"ID", *numbers] if numbers:
            wanted = [integer(number, "ERR Invalid client ID") for number in numbers]
            return [s.server.sessions[number] for number in wanted if number in s.server.sessions]
        case [b"TYPE", kind]:
            return [one for one in every if _kind(one) == kind.lower()]
    raise syntax_error()


def _kill(s: Session, args: list[bytes]) -> Reply:
    if len(args) == 1:
        found = [one for one in s.server.sessions.values() if one.address == args[0]]
        if not found:
            raise Failure("ERR No such client")
        _end(s, found)
        return OK
    options = Words(args)
    found, skips_me = list(s.server.sessions.values()), True
    for word in options:
        value = options.take()
        match word:
            case b"ID":
                number = integer(value, "ERR client-id should be greater than 0")
                found = [one for one in found if one.number == number]
            case b"ADDR":
                found = [one for one in found if one.address == value]
            case b"TYPE":
                found = [one for one in found if _kind(one) == value.lower()]
            case b"USER":
                found = [one for one in found if one.user == value]
            case b"SKIPME":
                skips_me = value.lower() == b"yes"
            case _:
                raise syntax_error()
    found = [one for one in found if not (skips_me and one is s)]
    _end(s, found)
    return len(found)


def _end(s: Session, found: list[Session]) -> None:
    for one in found:
        if one is s:
            s.is_leaving = True
        else:
            one.lost()


def _unblock(s: Session, number: int, how: list[bytes]) -> Reply:
    found = s.server.sessions.get(number)
    match [word.upper() for word in how]:
        case [] | [b"TIMEOUT"]:
            error = None
        case [b"ERROR"]:
            error = Failure("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        case _:
            raise Failure("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    if found is None or found.blocked is None:
        return 0
    s.server.unblock(found, error or found.blocked.empty)
    return 1


# -- transactions ------------------------------------------------------------------------------------------------------


def multi(s: Session, _: list[bytes]) -> Reply:
    if s.queued is not None:
        raise Failure("ERR MULTI calls can not be nested")
    s.queued, s.is_spoilt = [], False
    return OK


def discard(s: Session, _: list[bytes]) -> Reply:
    if s.queued is None:
        raise Failure("ERR DISCARD without MULTI")
    s.queued = None
    s.server.onlookers.unwatch(s)
    return OK


def exec_(s: Session, _: list[bytes]) -> Reply:
    if s.queued is None:
        raise Failure("ERR EXEC without MULTI")
    queued, outdated = s.queued, s.is_outdated
    s.queued = None
    s.server.onlookers.unwatch(s)
    if s.is_spoilt:
        raise Failure("EXECABORT Transaction discarded because of previous errors.")
    if outdated:
        return NULL_ARRAY
    replies = []
    for words in queued:
        try:
            replies.append(s.server.call(s, *words))
        except Failure as failure:
            replies.append(failure)
    return replies


def watch(s: Session, args: list[bytes]) -> Reply:
    if s.queued is not None:
        raise Failure("ERR WATCH inside MULTI is not allowed")
    for key in args:
        s.server.onlookers.watch(s, key)
    return OK


def unwatch(s: Session, _: list[bytes]) -> Reply:
    s.server.onlookers.unwatch(s)
    return OK


# -- the server --------------------------------------------------------------------------------------------------------


def info(s: Session, args: list[bytes]) -> Reply:
    server, flavour = s.server, s.server.flavour
    sections: dict[bytes, dict[bytes, bytes | int]] = {
        b"server": {
            b"redis_version": b"7.2.4" if flavour.name == b"valkey" else flavour.version,
            b"server_name": flavour.name,
            b"%b_version" % flavour.name: flavour.version,
            b"redis_mode": b"standalone",
            b"run_id": server.run_id,
            b"hz": 10,
        },
        b"clients": {b"connected_clients": len(server.sessions), b"blocked_clients": len(server.waiting.sessions)},
        b"persistence": {b"loading": 0, b"aof_enabled": int(server.disk.appends)},
        b"replication": server.replication.info(),
        b"keyspace": {
            b"db%d" % number: b"keys=%d,expires=%d,avg_ttl=0" % (len(keys.values), len(keys.expiries))
            for number, keys in enumerate(server.databases)
            if keys.values
        },
    }
    wanted = {word.lower() for word in args} or {b"default"}
    lines: list[bytes] = []
    for title, section in sections.items():
        if wanted & {title, b"default", b"all", b"everything"}:
            lines.append(b"# %b" % title.capitalize())
            lines += [b"%b:%b" % (key, b"%d" % v if isinstance(v, int) else v) for key, v in section.items()]
            lines.append(b"")
    return Verbatim(b"\r\n".join(lines))


def config(s: Session, args: list[bytes]) -> Reply:
    settings, rest = s.server.config, args[1:]
    match args[0].upper():
        case b"GET" if rest:
            patterns = [glob(pattern.lower()) for pattern in rest]
            return {name: value for name, value in settings.items() if any(one(name) for one in patterns)}
        case b"SET" if rest and len(rest) % 2 == 0:
            names = [word.lower() for word in rest[::2]]
            for name in names:
                if name not in settings:
                    shown = name.decode(errors="replace")
                    raise Failure(f"ERR Unknown option or number of arguments for CONFIG SET - '{shown}'")
            given = dict(zip(names, rest[1::2], strict=True))
            if b"notify-keyspace-events" in given:
                given[b"notify-keyspace-events"] = flags(given[b"notify-keyspace-events"])
            settings.update(given)
            s.server.configured()
            return OK
        case b"RESETSTAT" if not rest:
            return OK
    raise syntax_error()


def save(s: Session, _: list[bytes]) -> Reply:
    s.server.disk.save()
    return OK


def bgsave(s: Session, _: list[bytes]) -> Reply:
    s.server.disk.save()
    return Simple(b"Background saving started")


def time(s: Session, _: list[bytes]) -> Reply:
    whole = s.server.ms // 1000
    return [b"%d" % whole, b"%06d" % (s.server.ms % 1000 * 1000)]


COMMANDS: Final = {
    b"HELLO": Command(hello, -1, "ls"),
    b"AUTH": Command(auth, -2, "ls"),
    b"PING": Command(ping, -1),
    b"ECHO": Command(echo, 2, "l"),
    b"SELECT": Command(select, 2, "l"),
    b"QUIT": Command(quit_, -1, "l"),
    b"RESET": Command(reset, 1, "l"),
    b"CLIENT": Command(client, -2, "l"),
    b"MULTI": Command(multi, 1, "l"),
    b"DISCARD": Command(discard, 1, "l"),
    b"EXEC": Command(exec_, 1, "l"),
    b"WATCH": Command(watch, -2, "l"),
    b"UNWATCH": Command(unwatch, 1, "l"),
    b"INFO": Command(info, -1, "l"),
    b"CONFIG": Command(config, -2, "l"),
    b"TIME": Command(time, 1, "l"),
    b"SAVE": Command(save, 1),
    b"BGSAVE": Command(bgsave, -1),
}
