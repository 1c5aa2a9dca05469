"""Gateways under measurement: one entry each in a TOML file, with how to start and to call it.

In a command, a header, a variable of the environment and a file these words are replaced:
{MOCK} the upstream's address, {MOCK_PORT} its port, {PORT} a free port for the gateway, {WORK} the
folder of this one start, {BIN} pointsman's programs, {PEER} the folder that the peer is installed
in, and the names of the entry's `settings`.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from bench.speed.bodies import Dialect

HERE = Path(__file__).parent
OWN = HERE / "gateways.toml"
PEERS = HERE / "peers.toml"


class Install(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a peer is installed: packages of Python's or Node's registry, by their own client."""

    tool: str  # "pip" or "npm"
    packages: tuple[str, ...]
    version_of: str  # the package whose version stands in the table
    options: tuple[str, ...] = ()


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One gateway. `stream_model`: asked for in streams, empty where it is `model`.

    `translated`: whether it takes Anthropic's messages for a model of OpenAI's; `files`: templates
    in `gateways/`, by the name under which each is written into {WORK}; `address_file`: where the
    gateway writes its base URL when it cannot be told a port; `note`: what a reader has to know.
    """

    name: str = ""
    title: str
    command: tuple[str, ...]
    version: tuple[str, ...] = ()
    dialect: Dialect = "openai"
    path: str = "/v1/chat/completions"
    model: str = "mock"
    stream_model: str = ""
    translated_model: str = ""
    translated: bool = False
    is_cached: bool = False
    headers: dict[str, str] = {}
    env: dict[str, str] = {}
    files: dict[str, str] = {}
    settings: dict[str, str] = {}
    address_file: str = ""
    start_timeout_s: float = 90.0
    install: Install | None = None
    note: str = ""


def load(path: Path) -> dict[str, Gateway]:
    """Return the entries of a file by name. Raises msgspec.ValidationError where one is wrong."""
    read = msgspec.toml.decode(path.read_bytes(), type=dict[str, Gateway])
    return {name: msgspec.structs.replace(entry, name=name) for name, entry in read.items()}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with {NAME} replaced for the names that are known; other braces stay."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
