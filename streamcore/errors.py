"""The errors of streamcore, as a tree.

Whose fault an error is tells its branch. *Yours*, found before anything is sent: ``InvalidArgument``, ``ClosedError``,
``ConcurrentUseError``, ``ForkedError``. *The network's*: ``ConnectionLost``, which says whether the request had been
sent, and ``RequestTimeout``. *The server's*: ``ReplyError`` and its children, a class for each error word, and
``RemoteProtocolError`` where the bytes are not RESP. Messages name the value and the remedy, never a password and
never the arguments of a command. All of them can be pickled. Classes also derive from the builtin that a newcomer
would catch (``ValueError``, ``ConnectionError``, ``TimeoutError``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from .rights import is_refusal_in_script, missing_right


class StreamcoreError(Exception):
    """The root of all errors raised by streamcore and its transports.

    An error of ``send_many`` says more: ``row`` is the first row without an id, counted from 0. ``ids`` has an item
    for each row that was sent, its id, or None where it was refused or is in doubt; further rows were not sent.
    """

    row: int | None = None
    ids: Sequence[Any] = ()


class InvalidArgument(StreamcoreError, ValueError):
    """An argument cannot be used as given; nothing was sent."""


class InvalidURL(InvalidArgument):
    """A server URL cannot be understood; the message never shows its password."""


class ClosedError(StreamcoreError):
    """The client, consumer or producer was closed before this call."""


class ConcurrentUseError(StreamcoreError):
    """An iterator or a client was used while another task, thread or call uses it.

    An iterator belongs to a single task or thread at a time; and a signal handler, a finalizer or a callback must not
    make a call in the middle of another call of the same client, or a call that would wait for the interrupted call.
    """


class ForkedError(StreamcoreError):
    """A forked child used a client of its parent; open a new one in the child."""


class MissingExtra(StreamcoreError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class ConnectionLost(StreamcoreError, ConnectionError):
    """No connection, or it went away before the reply came.

    ``sent`` is False where the request never reached the socket (repeat it freely) and True where the server may have
    executed it.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectFailed(ConnectionLost):
    """A server cannot be reached. ``permanent``: dialling again cannot help (a certificate, a password)."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class NoSentinelError(ConnectFailed):
    """No Sentinel tells the primary of a service. The text has the service, and what each Sentinel has said."""


class DeliveryUnknown(ConnectionLost):
    """An entry was sent and its id never came back: it may or may not be in the stream."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class RequestTimeout(ConnectionLost, TimeoutError):
    """The reply did not come within the request timeout. ``sent`` is True: the server may still execute the request."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class StreamResetError(StreamcoreError):
    """A stream ends before the place up to which it was read: it began anew, or a failover has lost its end."""


class ConsumerFencedError(StreamcoreError):
    """Another process has taken over our name in a consumer group, and goes on with our pending entries."""


class WatchedKeyChanged(StreamcoreError):
    """A key that the transaction watched was changed before EXEC: nothing was executed, and it may be tried again."""


class RemoteProtocolError(StreamcoreError):
    """The server sent bytes that are not RESP, or a reply over a limit; the connection is dropped."""


class ReplyTooLarge(RemoteProtocolError):
    """A reply is over the limit; the connection is dropped, and readers go on with a smaller COUNT."""


class ReplyError(StreamcoreError):
    """The server refused a command. ``code`` is the error word, ``command`` the command's name without arguments."""

    def __init__(self, code: str, message: str, command: str = "") -> None:
        super().__init__(code, message, command)
        self.code = code
        self.message = message
        self.command = command

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r}, {self.command!r})"

    def __str__(self) -> str:
        return f"{self.code} {self.message}".strip() + (f" (in reply to {self.command})" if self.command else "")


class CommandErrors(StreamcoreError, ExceptionGroup[StreamcoreError]):
    """Commands of a pipeline or a transaction failed, each with a ``ReplyError`` or a ``RemoteProtocolError``.

    ``except*`` takes it apart by class. ``answers`` holds the answers of all commands, the errors in their places; a
    part of the group has none.
    """

    answers: Sequence[Any] = ()

    def derive(self, excs: Sequence[StreamcoreError], /) -> Self:  # type: ignore[override]  # a group of ours holds ours
        return type(self)(self.message, excs)


class AuthenticationError(ReplyError):
    """Wrong user or password, or no password where it is needed (``NOAUTH``, ``WRONGPASS``)."""


class NoPermissionError(ReplyError):
    """The user's ACL forbids the command, the key or the channel (``NOPERM``), or a command in a script (``ERR``)."""

    @property
    def missing(self) -> str:
        """The right, as far as the server tells: a rule such as ``+hmget``, or ``a key of XADD``."""
        return missing_right(self.message, self.command)


class LoginRefused(AuthenticationError, ConnectFailed):
    """The server refuses this user, by this password or without a password: a ``ConnectFailed``.

    It is permanent, unless the login rotates: then the next dial asks for other credentials.
    """

    def __init__(self, code: str, message: str, command: str = "", *, permanent: bool = True) -> None:
        ConnectFailed.__init__(self, f"{code} {message}", permanent=permanent)
        self.code, self.message, self.command = self.args = code, message, command


class WrongTypeError(ReplyError):
    """The key holds another type than the command works on (``WRONGTYPE``)."""


class NoGroupError(ReplyError):
    """The stream or its consumer group does not exist (``NOGROUP``)."""


class BusyGroupError(ReplyError):
    """The consumer group exists already (``BUSYGROUP``)."""


class UnblockedError(ReplyError):
    """A blocked read was ended by the server (``UNBLOCKED``)."""


class ReadOnlyError(ReplyError):
    """The server is a replica and takes no writes (``READONLY``)."""


class LoadingError(ReplyError):
    """The server is still loading its data set (``LOADING``)."""


class BusyError(ReplyError):
    """A script runs too long and blocks the server (``BUSY``)."""


class NotBusyError(ReplyError):
    """There is no script to kill: SCRIPT KILL and FUNCTION KILL (``NOTBUSY``)."""


class UnkillableError(ReplyError):
    """The running script has written already, or comes from the primary, and cannot be killed (``UNKILLABLE``)."""


class NotReadyError(ReplyError):
    """The cluster is not ready to move slots: CLUSTER MIGRATION of Redis 8.4 and newer (``NOTREADY``)."""


class InProgressError(ReplyError):
    """A failover is in progress: FAILOVER and, on the replica, PSYNC; a Sentinel's, too (``INPROG``)."""


class NoMasterLinkError(ReplyError):
    """The replica cannot pass on data, it has no link to its primary: SYNC and PSYNC (``NOMASTERLINK``)."""


class NoQuorumError(ReplyError):
    """Too few Sentinels can be reached to agree on a failover: SENTINEL CKQUORUM (``NOQUORUM``)."""


class NoGoodServerError(ReplyError):
    """A Sentinel has no server for a failover: SENTINEL FAILOVER (``NOGOODSLAVE``, Valkey's ``NOGOODPRIMARY``)."""


class BusyKeyError(ReplyError):
    """The key exists at the target already: RESTORE and MIGRATE (``BUSYKEY``)."""


class TargetError(ReplyError):
    """The server could not reach or write to the target: MIGRATE (``IOERR``)."""


class InvalidObjectError(ReplyError):
    """The value is not, or no longer, a HyperLogLog: PFADD, PFCOUNT and PFMERGE (``INVALIDOBJ``)."""


class DeniedError(ReplyError):
    """The server runs in protected mode and answers its own machine only; it closes the connection (``DENIED``)."""


class RedirectError(ReplyError):
    """The server is a replica and tells where its primary is: Valkey, after CLIENT CAPA redirect (``REDIRECT``)."""


class MasterDownError(ReplyError):
    """The replica has lost its primary and refuses to serve old data (``MASTERDOWN``)."""


class OutOfMemoryError(ReplyError):
    """The server is over its ``maxmemory`` (``OOM``)."""


class MisconfError(ReplyError):
    """The server cannot persist and refuses writes (``MISCONF``)."""


class NoReplicasError(ReplyError):
    """Too few replicas are in sync for a write (``NOREPLICAS``)."""


class NoScriptError(ReplyError):
    """The script is not in the server's cache (``NOSCRIPT``)."""


class ExecAbortError(ReplyError):
    """A transaction was refused because a command of it was (``EXECABORT``)."""


class SlotRedirect(ReplyError):
    """The key's slot is, or will be, on another node.

    ``slot`` is its number; ``host`` is empty where the other node has the host of the node that answers; ``port`` is 0
    where no node is known. A text that tells no slot and no port is no redirect: ``slot`` is None.
    """

    def __init__(self, code: str, message: str, command: str = "") -> None:
        super().__init__(code, message, command)
        slot, _, rest = message.partition(" ")
        self.host, _, port = rest.partition(" ")[0].rpartition(":")  # an IPv6 address has colons of its own
        is_whole = slot.isdecimal() and port.isdecimal()
        self.slot: int | None = int(slot) if is_whole else None
        self.port = int(port) if is_whole else 0


class MovedError(SlotRedirect):
    """The key's slot lives on another node (``MOVED``)."""


class AskError(SlotRedirect):
    """The key's slot is on its way to another node (``ASK``)."""


class RedirectRefusedError(SlotRedirect):
    """A node has redirected to an address that may not be followed, or where no node is known: see ``address_map`` and ``follow`` of ``connect``."""


class TryAgainError(ReplyError):
    """Some keys of the command are still being moved (``TRYAGAIN``)."""


class CrossSlotError(ReplyError):
    """The keys of the command do not share a slot (``CROSSSLOT``); hash tags such as ``{tag}`` keep keys together."""


class ClusterDownError(ReplyError):
    """The cluster, or the key's slot, is not served (``CLUSTERDOWN``)."""


class NoProtoError(ReplyError):
    """The server does not speak RESP3 (``NOPROTO``): streamcore needs Redis 7.0, Valkey 7.2 or newer."""


REPLY_ERRORS: Final[dict[str, type[ReplyError]]] = {
    "NOAUTH": AuthenticationError,
    "WRONGPASS": AuthenticationError,
    "NOPERM": NoPermissionError,
    "WRONGTYPE": WrongTypeError,
    "NOGROUP": NoGroupError,
    "BUSYGROUP": BusyGroupError,
    "UNBLOCKED": UnblockedError,
    "READONLY": ReadOnlyError,
    "LOADING": LoadingError,
    "BUSY": BusyError,
    "NOTBUSY": NotBusyError,
    "UNKILLABLE": UnkillableError,
    "NOTREADY": NotReadyError,
    "INPROG": InProgressError,
    "NOMASTERLINK": NoMasterLinkError,
    "NOQUORUM": NoQuorumError,
    "NOGOODSLAVE": NoGoodServerError,
    "NOGOODPRIMARY": NoGoodServerError,
    "BUSYKEY": BusyKeyError,
    "IOERR": TargetError,
    "INVALIDOBJ": InvalidObjectError,
    "DENIED": DeniedError,
    "REDIRECT": RedirectError,
    "MASTERDOWN": MasterDownError,
    "OOM": OutOfMemoryError,
    "MISCONF": MisconfError,
    "NOREPLICAS": NoReplicasError,
    "NOSCRIPT": NoScriptError,
    "EXECABORT": ExecAbortError,
    "MOVED": MovedError,
    "ASK": AskError,
    "TRYAGAIN": TryAgainError,
    "CROSSSLOT": CrossSlotError,
    "CLUSTERDOWN": ClusterDownError,
    "NOPROTO": NoProtoError,
}

# The server is up but cannot serve yet, or no longer: dial again after the back-off, the name may lead elsewhere then.
UNAVAILABLE: Final = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "BUSY", "MISCONF", "OOM", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "REDIRECT"}
    | {"MOVED", "ASK"}
)

_REMEDIES: Final = {"NOAUTH": "give the user and password to connect()"}
# A server quotes an unknown command's arguments, which may be a password.
_QUOTED: Final = ", with args beginning with"


class UnreadableError(ReplyError):
    """The server could not parse a command (``ERR Protocol error``); it runs nothing behind it, and closes."""


_UNREADABLE: Final = "Protocol error"
_DISCARDED: Final = "Transaction discarded because of: "


def reply_error(line: str, command: str = "") -> ReplyError:
    """Make the exception for an error reply, from its first word; servers' texts differ, their words do not."""
    code, _, message = line.partition(" ")
    message = message.partition(_QUOTED)[0]
    remedy = _REMEDIES.get(code)
    if remedy:
        message = f"{message.rstrip('. ')}; {remedy}".removeprefix("; ")
    kind = REPLY_ERRORS.get(code, ReplyError)
    if kind is ReplyError and message.startswith(_UNREADABLE):
        kind = UnreadableError
    elif kind is ReplyError and is_refusal_in_script(message):
        kind = NoPermissionError
    error = kind(code, message, command)
    if message.startswith(_DISCARDED):
        error.__cause__ = reply_error(message.removeprefix(_DISCARDED), command)
    return error


def about(error: ReplyError, what: str, name: bytes | str) -> ReplyError:
    """Copy a server's error, and name the key that it is about."""
    shown = name.decode(errors="replace") if isinstance(name, bytes) else name
    return type(error)(error.code, f"{error.message} ({what} {shown!r})", error.command)


def is_interruption(error: Exception) -> bool:
    """Tell whether an error is of a signal handler that has interrupted the core, which itself does no I/O and knows only Python's errors."""
    if isinstance(error, StreamcoreError):
        return isinstance(error, ConcurrentUseError)
    return isinstance(error, OSError) or type(error).__module__ != "builtins"
