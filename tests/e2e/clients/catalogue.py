"""The clients of clients.toml, and where each is installed."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENTS = ROOT / ".e2e"
SCRIPTS = Path(__file__).parent / "scripts"
RESULTS = ENVIRONMENTS / "results.jsonl"


@dataclass(frozen=True)
class Client:
    """One row of clients.toml."""

    name: str
    title: str
    kind: str
    packages: tuple[str, ...]
    script: str
    dialects: tuple[str, ...]
    tasks: tuple[str, ...]
    environment: str = ""
    provider: str = ""
    is_tool: bool = False

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / (self.environment or self.name)

    @property
    def marker(self) -> Path:
        """The file that says which packages are installed; written last."""
        return self.folder / "installed.txt"

    @property
    def pins(self) -> str:
        return "\n".join(self.packages)

    @property
    def is_installed(self) -> bool:
        return self.marker.is_file() and self.marker.read_text("utf-8") == self.pins

    @property
    def version(self) -> str:
        """The version of its first package."""
        return self.packages[0].replace("==", "@").rpartition("@")[2]


def clients() -> tuple[Client, ...]:
    rows = tomllib.loads((Path(__file__).parent / "clients.toml").read_text("utf-8"))["clients"]
    return msgspec.convert(rows, tuple[Client, ...])
