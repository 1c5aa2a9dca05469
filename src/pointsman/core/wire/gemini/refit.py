"""Refit: a body whose history another deployment can take, changed in place."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from pointsman.core.wire.gemini.signatures import PLACEHOLDER, read_signature
from pointsman.core.wire.splice import splice

_Part: TypeAlias = dict[str, object]
_SEAL = "thoughtSignature"


def refit_body(
    body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
) -> bytes:
    """Return the body without foreign thoughts and signatures, its calls' ids as `call_id` says.

    A call keeps its place: for a foreign signature it gets the placeholder, without which Gemini 3
    refuses it. A content of which only thoughts were left goes.
    """

    def refitted(parts: list[_Part]) -> Iterator[_Part]:
        unsealed: list[_Part] = []  # thoughts go with the seal that follows them, or go
        for part in parts:
            seal = part.get(_SEAL)
            signature = read_signature(seal) if isinstance(seal, str) else ""
            is_kept = bool(signature) and keeps(signature)
            if part.get("thought") is True:
                unsealed.append(part)
                if signature:
                    yield from unsealed if is_kept else ()
                    unsealed = []
                continue
            unsealed = []
            left = part if is_kept or not signature else _unsealed(part)
            if left is not None:
                yield _with_id(left, call_id)

    return _each_part(body, refitted)


def without_placeholders(body: bytes) -> bytes:
    """Return the body without placeholders for signatures, which only Gemini 3 knows."""

    def plain(parts: list[_Part]) -> Iterator[_Part]:
        for part in parts:
            seal = part.get(_SEAL)
            yield _without_seal(part) if seal == PLACEHOLDER else part

    return _each_part(body, plain)


def _unsealed(part: _Part) -> _Part | None:
    """Return a part without its foreign signature, None where that is all there was of it."""
    if "functionCall" in part:
        return part | {_SEAL: PLACEHOLDER}
    left = _without_seal(part)
    return None if left in ({}, {"text": ""}) else left


def _without_seal(part: _Part) -> _Part:
    return {name: value for name, value in part.items() if name != _SEAL}


def _with_id(part: _Part, call_id: Callable[[str], str]) -> _Part:
    for name in ("functionCall", "functionResponse"):
        call = part.get(name)
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            return part | {name: call | {"id": call_id(call["id"])}}
    return part


def _each_part(body: bytes, change: Callable[[list[_Part]], Iterator[_Part]]) -> bytes:
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    contents = msgspec.json.decode(members["contents"], type=list[dict[str, object]])
    left: list[dict[str, object]] = []
    for content in contents:
        parts = content.get("parts")
        if not isinstance(parts, list):
            left.append(content)
        elif changed := list(change(parts)):
            left.append(content | {"parts": changed})
        elif not parts:
            left.append(content)
    return splice(body, {"contents": msgspec.json.encode(left)})
