"""Splice: change a few top-level fields of a JSON object and leave every other byte as it is.

This is what lets a body pass "byte for byte but for the model's name".
"""

import re
from collections.abc import Mapping

import msgspec

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name = msgspec.json.Decoder(str)
_SPACED, _CLOSE = b'"%b": %b', b'"%b":%b'
_OPENING = re.compile(rb"\s*\{\s*")
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*:\s*', re.DOTALL)
_NEXT_KEY = re.compile(rb'\s*,\s*"((?:[^"\\]|\\.)*+)"\s*:\s*', re.DOTALL)
_CLOSING = re.compile(rb"\s*\}\s*\Z")


def splice(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return `body` with each field of `changes` set to the given JSON bytes, or gone for None.

    A field that is not there is added at the end. `body` is a JSON object. Where a key stands
    twice, the object is written anew, its values as they were.

    Raises msgspec.DecodeError or UnicodeDecodeError when it is not.
    """
    members = _raw_members.decode(body)
    changed = changes.keys() & members.keys()
    added: Mapping[str, bytes] = {}
    if len(changed) < len(changes):
        absent = changes.keys() - changed
        added = {name: new for name, new in changes.items() if name in absent and new is not None}
        if not added and not changed:
            return body
    spliced = _in_style(body, members, changes, added)
    if spliced is None:
        spliced = _in_place(body, members, changes, added)
    if spliced is not None:
        return spliced
    kept = {name: bytes(raw) for name, raw in members.items() if changes.get(name, b"") is not None}
    kept.update({name: value for name, value in changes.items() if value is not None})
    return object_bytes(kept)


def object_bytes(members: Mapping[str, bytes]) -> bytes:
    """Return the JSON object with these members, whose values are JSON already."""
    return b"{" + _members_bytes(members) + b"}"


def _in_style(
    body: bytes,
    members: Mapping[str, msgspec.Raw],
    changes: Mapping[str, bytes | None],
    added: Mapping[str, bytes],
) -> bytes | None:
    """Return the changed body where it is spaced as most are, else None.

    Nearly all clients write it without a space between its members, or with one behind each comma
    and colon as Python does. It is, where its members written so are the body again; no key then
    stands in it twice.
    """
    if not members:
        return None
    first = next(iter(members))
    is_spaced = body.startswith(b" ", len(first) + 4)
    member, comma = (_SPACED, b", ") if is_spaced else (_CLOSE, b",")
    written = {name: member % (name.encode(), raw) for name, raw in members.items()}
    if b"{%b}" % comma.join(written.values()) != body:
        return None
    for name, new in changes.items():
        if name in written:
            if new is None:
                del written[name]
            else:
                written[name] = member % (name.encode(), new)
    kept = comma.join(written.values())
    if added:
        kept += (b"," if kept else b"") + _members_bytes(added)
    return b"{%b}" % kept


def _in_place(
    body: bytes,
    members: Mapping[str, msgspec.Raw],
    changes: Mapping[str, bytes | None],
    added: Mapping[str, bytes],
) -> bytes | None:
    """Return the changed body, None where that cannot be done surely.

    Walks the top level alone: each value's length is known from `members`. A key that stands
    twice does not line up with them.
    """
    opening = _OPENING.match(body)
    if opening is None:
        return None
    at = opening.end()
    parts = [body[:at]]
    find_key = _KEY.match
    for name, raw in members.items():
        key = find_key(body, at)
        if key is None or not _is_named(key[1], name):
            return None
        value, starts_at = bytes(raw), key.end()
        if not body.startswith(value, starts_at):
            return None
        new = changes.get(name, value)
        if new is not None:
            parts += (body[at if len(parts) > 1 else key.start(1) - 1 : starts_at], new)
        at, find_key = starts_at + len(value), _NEXT_KEY.match
    if _CLOSING.match(body, at) is None:
        return None
    if added:
        parts += (b"," if len(parts) > 1 else b"", _members_bytes(added))
    return b"".join((*parts, body[at:]))


def _is_named(key: bytes, name: str) -> bool:
    """Return whether a key as written, escapes included and quotes not, is this name."""
    return key == name.encode() or _name.decode(b'"%b"' % key) == name


def _members_bytes(members: Mapping[str, bytes]) -> bytes:
    return b",".join(msgspec.json.encode(name) + b":" + value for name, value in members.items())
