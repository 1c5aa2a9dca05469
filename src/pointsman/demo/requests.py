"""The bundled requests of the demo, read from `requests.toml` beside this file."""

import tomllib
from importlib.resources import files
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal[
    "lookup", "convert", "edit", "explain", "write", "json", "review", "repeat"
]
Force: TypeAlias = Literal["fallback", "escalation"]


class DemoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to show.

    stream: show the answer as it arrives.
    force: what the demo must make happen here; None lets the router have its way.
    repeats: the id of the earlier request that this one equals, word for word.
    """

    id: str
    kind: Kind
    text: str
    max_tokens: int
    system: str | None = None
    stream: bool = False
    force: Force | None = None
    repeats: str | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """Return the request as OpenAI chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.text}]

    def body(self, *, model: str) -> dict[str, object]:
        """Return the OpenAI chat request to send, for this model name or alias."""
        wants_json = {"response_format": {"type": "json_object"}} if self.kind == "json" else {}
        wants_stream = {"stream": True} if self.stream else {}
        return {
            "model": model,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            **wants_json,
            **wants_stream,
        }


def load_requests() -> tuple[DemoRequest, ...]:
    """Return the bundled requests, in the order to send them."""
    text = files(__package__).joinpath("requests.toml").read_text(encoding="utf-8")
    return parse_requests(text)


def parse_requests(text: str) -> tuple[DemoRequest, ...]:
    """Return the requests of a TOML text of `[[requests]]` tables.

    An entry with `repeats` names an earlier id and takes its text, system message and max_tokens.

    Raises: ValueError when an id repeats, or an entry is malformed or repeats an unknown id.
    """
    seen: dict[str, DemoRequest] = {}
    for table in tomllib.loads(text)["requests"]:
        entry = msgspec.convert(table, _Entry)
        if entry.id in seen:
            raise ValueError(f'request "{entry.id}" appears twice; give each its own id')
        seen[entry.id] = _request(entry, seen)
    return tuple(seen.values())


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    kind: Kind
    text: str = ""
    max_tokens: int = 0
    system: str | None = None
    stream: bool = False
    force: Force | None = None
    repeats: str | None = None


def _request(entry: _Entry, earlier: dict[str, DemoRequest]) -> DemoRequest:
    if entry.repeats is not None:
        if entry.repeats not in earlier:
            raise ValueError(
                f'request "{entry.id}" repeats "{entry.repeats}", which is not above it'
            )
        first = earlier[entry.repeats]
        return msgspec.structs.replace(
            first, id=entry.id, kind=entry.kind, stream=entry.stream, force=None, repeats=first.id
        )
    if not entry.text or entry.max_tokens < 1:
        raise ValueError(f'request "{entry.id}" needs a text and max_tokens of at least 1')
    return DemoRequest(**msgspec.structs.asdict(entry))
