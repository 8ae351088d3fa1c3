"""What an editor and a type checker know of the options: what each means, its default, and that there is no other."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcore.channels import ChannelsOptions
from streamcore.channels.options import Settings as ChannelsSettings
from streamcore.cluster.cluster import Cluster
from streamcore.cluster.multiplexer import ClusterMultiplexer
from streamcore.consumer.consumer import Consumer
from streamcore.consumer.cursor import FollowOptions
from streamcore.engine.engine import Engine, EngineOptions
from streamcore.group.options import MemberOptions, Membership
from streamcore.options import Options
from streamcore.producer.producer import Producer, ProducerOptions
from streamcore.pubsub import PubSub
from streamcore.pubsub.options import PubSubOptions, ShardedPubSubOptions
from streamcore.reading.reader import Reader, ReaderOptions
from tests.typing.test_typing import HEAD, ROOT, mypy
from transports._facade.settings import ConnectOptions
from transports.sse import EventStream
from transports.sse.making import EventStreamOptions

DEFAULTS_OF: dict[type, Callable[..., Any]] = {
    ReaderOptions: Reader.__init__,
    FollowOptions: Consumer.__init__,
    MemberOptions: Membership.of,
    ProducerOptions: Producer.__init__,
    PubSubOptions: PubSub.__init__,
    ShardedPubSubOptions: PubSub.__init__,
    ConnectOptions: Options,
    EventStreamOptions: EventStream.__init__,
    EngineOptions: Engine.__init__,
    ChannelsOptions: ChannelsSettings,
}
INTERFACES = {
    "client.consumer('s', blok=1)": "block",
    "client.group_consumer('s', group='g', claim_idel=5)": "claim_idle",
    "client.group_consumer({'s': 'g'}, claim_idel=5)": "claim_idle",
    "client.producer('s', maxlenn=5)": "maxlen",
    "client.pubsub('c', subscription_timout=5)": "subscription_timeout",
    "client.sharded_pubsub('c', queue_sizes=5)": "queue_size",
    "client.key_events('k', when_ful='block')": "when_full",
    "client.channels(histroy=5)": "history",
    "asyncio.connect(read_form='any')": "read_from",
    "asyncio.connect(request_timout=5)": "request_timeout",
    "asyncio.connect(addres_map={})": "address_map",
    "sync.consumer('s', decode='utf-8', blok=1)": "block",
    "sync.group_consumer('s', group='g', decode='utf-8', ack_dely=1)": "ack_delay",
}
"""A line of code each, with a misspelt option, and the one that was meant."""


def documented(options: type) -> Iterator[tuple[str, str]]:
    """The fields of a typed dictionary, and what stands below each."""
    [definition] = ast.parse(inspect.getsource(options)).body
    assert isinstance(definition, ast.ClassDef)
    fields = definition.body[1:]  # behind the docstring
    for field, text in zip(fields[::2], fields[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(text, ast.Expr), f"{ast.unparse(field)}: there is nothing below it"
        yield ast.unparse(field.target), ast.literal_eval(text.value)


def default_of(options: type, field: str) -> Any:
    if options is ChannelsOptions:
        checked = ChannelsSettings()
        known = {"ttl": None, "retention": checked.maxlen, "kind": "streams" if checked.is_streams else "pubsub"}
        return known[field] if field in known else getattr(checked, field, getattr(checked, f"_{field}", None))
    parameters = dict(inspect.signature(DEFAULTS_OF[options]).parameters)
    if options is ConnectOptions:
        parameters |= {
            **inspect.signature(Cluster.__init__).parameters,
            **inspect.signature(ClusterMultiplexer).parameters,
        }
    parameter = parameters.get(field)
    return None if parameter is None else parameter.default


def ways_to_write(value: Any) -> set[str]:
    if isinstance(value, str):
        return {f'"{value}"'}
    if isinstance(value, float):
        return {f"{value:,g}"}
    return {repr(value) if isinstance(value, bool) or value is None else f"{value:,}"}


@pytest.mark.parametrize("options", DEFAULTS_OF, ids=lambda options: options.__name__)
def test_below_each_option_stands_what_it_means_and_its_default(options: type) -> None:
    texts = dict(documented(options))
    assert list(texts) == list(options.__annotations__)[-len(texts) :], "what is inherited stands before it"
    for field, text in texts.items():
        brackets = [part.replace("`", "") for part in re.findall(r"\(((?:[^()]|\([^()]*\))*)\)", text)]
        assert brackets, f"{field}: {text!r} tells no default"
        if options is not EngineOptions:  # whose defaults have no short name
            told = {re.split("[:;,](?= )", bracket)[0] for bracket in brackets}
            assert told & ways_to_write(default_of(options, field)), f"{field}: {text!r} tells another default"


@pytest.fixture(scope="module")
def misspelt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module with all of them."""
    source = tmp_path_factory.mktemp("misspelt") / "misspelt.py"
    source.write_text(HEAD + "".join(f"    {line}\n" for line in INTERFACES))
    return source


@pytest.mark.timeout(150)
def test_mypy_names_what_was_meant(misspelt: Path) -> None:
    told = mypy(str(misspelt))
    first = HEAD.count("\n") + 1
    for number, (line, meant) in enumerate(INTERFACES.items(), first):
        [wrong] = [word for word in re.findall(r"(\w+)=", line) if word[:3] == meant[:3]]
        named = rf'misspelt\.py:{number}: error: Unexpected keyword argument "{wrong}" .*did you mean "{meant}"'
        assert re.search(named, told), f"{line}\n{told}"


@pytest.mark.timeout(150)
def test_pyright_refuses_each(misspelt: Path) -> None:
    """It names the option only where there are no overloads; that is pyright's own way with them."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(misspelt)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    first = HEAD.count("\n")  # it counts from 0
    refused = {one["range"]["start"]["line"] - first for one in found if one["rule"] == "reportCallIssue"}
    assert refused == set(range(len(INTERFACES)))
    for line in ("client.producer('s', maxlenn=5)", "asyncio.connect(request_timout=5)"):
        at = list(INTERFACES).index(line) + first
        [one] = [one for one in found if one["range"]["start"]["line"] == at]
        assert re.search(r'No parameter named "(maxlenn|request_timout)"', one["message"])
