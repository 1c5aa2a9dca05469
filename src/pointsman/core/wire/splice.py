"""Splice: change a few top-level fields of a JSON object and leave every other byte as it is.

This is what lets a body pass "byte for byte but for the model's name".
"""

import re
from collections.abc import Mapping

import msgspec

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPENING = re.compile(rb"\s*\{\s*")
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_COMMA = re.compile(rb"\s*,\s*")
_CLOSING = re.compile(rb"\s*\}\s*\Z")


def splice(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return `body` with each field of `changes` set to the given JSON bytes, or gone for None.

    A field that is not there is added at the end. `body` is a JSON object.

    Raises msgspec.DecodeError when it is not.
    """
    members = _raw_members.decode(body)
    present = {name: changes[name] for name in members if name in changes}
    added = {
        name: value for name, value in changes.items() if name not in members and value is not None
    }
    if not present and not added:
        return body
    if None not in present.values():
        spliced = _replaced(body, members, present)
        if spliced is not None:
            return _appended(spliced, added, is_empty=not members)
    kept = {name: bytes(raw) for name, raw in members.items() if changes.get(name, b"") is not None}
    kept.update({name: value for name, value in changes.items() if value is not None})
    return object_bytes(kept)


def object_bytes(members: Mapping[str, bytes]) -> bytes:
    """Return the JSON object with these members, whose values are JSON already."""
    return b"{" + b",".join(msgspec.json.encode(n) + b":" + v for n, v in members.items()) + b"}"


def _replaced(
    body: bytes, members: Mapping[str, msgspec.Raw], changes: Mapping[str, bytes | None]
) -> bytes | None:
    """Return `body` with present fields replaced in place, None where that cannot be done surely.

    Walks the top level alone: each value's length is known from `members`. A key written twice
    or with escapes does not line up with `members`, and the caller writes the object anew.
    """
    match = _OPENING.match(body)
    if match is None:
        return None
    parts: list[bytes] = []
    done, at = 0, match.end()
    for number, (name, raw) in enumerate(members.items()):
        if number:
            comma = _COMMA.match(body, at)
            if comma is None:
                return None
            at = comma.end()
        key = _KEY.match(body, at)
        if key is None or key[1] != name.encode():
            return None
        value_end = key.end() + len(raw_value := bytes(raw))
        if body[key.end() : value_end] != raw_value:
            return None
        new = changes.get(name)
        if new is not None:
            parts += (body[done : key.end()], new)
            done = value_end
        at = value_end
    if _CLOSING.match(body, at) is None:
        return None
    return b"".join((*parts, body[done:]))


def _appended(body: bytes, added: Mapping[str, bytes], *, is_empty: bool) -> bytes:
    if not added:
        return body
    head = body[: body.rindex(b"}")].rstrip()
    return head + (b"" if is_empty else b",") + object_bytes(added)[1:]
