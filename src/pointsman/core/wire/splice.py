"""Splice: change a few top-level fields of a JSON object and leave every other byte as it is.

This is what lets a body pass "byte for byte but for the model's name".
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name = msgspec.json.Decoder(str)
# Each of a key and a value; the last takes a key that is quoted already.
_spaced_member, _close_member = b'"%b": %b'.__mod__, b'"%b":%b'.__mod__
_any_member = b"%b:%b".__mod__
_OPENING = re.compile(rb"\s*\{\s*")
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*:\s*', re.DOTALL)
_NEXT_KEY = re.compile(rb'\s*,\s*"((?:[^"\\]|\\.)*+)"\s*:\s*', re.DOTALL)
_CLOSING = re.compile(rb"\s*\}\s*\Z")

_Members: TypeAlias = Mapping[str, msgspec.Raw]
_Edited: TypeAlias = dict[str, bytes | msgspec.Raw]


def splice(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return `body` with each field of `changes` set to the given JSON bytes, or gone for None.

    A field that is not there is added at the end. `body` is a JSON object. Where a key stands
    twice, the object is written anew, its values as they were.

    Raises msgspec.DecodeError or UnicodeDecodeError when it is not.
    """
    members = _raw_members.decode(body)
    edited: _Edited = {**members}
    added: dict[str, bytes] = {}
    for name, new in changes.items():
        if name not in members:
            if new is not None:
                added[name] = new
        elif new is None:
            del edited[name]
        else:
            edited[name] = new
    spliced = _in_style(body, members, edited, added)
    if spliced is None:
        spliced = _in_place(body, members, edited, added)
    return object_bytes(edited | added) if spliced is None else spliced


def object_bytes(members: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    """Return the JSON object with these members, whose values are JSON already."""
    return b"{" + _members_bytes(members) + b"}"


def _in_style(
    body: bytes, members: _Members, edited: _Edited, added: Mapping[str, bytes]
) -> bytes | None:
    """Return the changed body where it is spaced as most are, else None.

    Nearly all clients write it without a space between its members, or with one behind each comma
    and colon as Python does. It is, where its members written so are the body again; no key then
    stands in it twice.
    """
    is_spaced = body.startswith(b" ", len(next(iter(members), "")) + 4)
    member, comma = (_spaced_member, b", ") if is_spaced else (_close_member, b",")
    written = comma.join(map(member, zip(map(str.encode, members), members.values(), strict=True)))
    if len(body) != len(written) + 2 or not body.startswith(written, 1):
        return None
    kept = comma.join(map(member, zip(map(str.encode, edited), edited.values(), strict=True)))
    if added:
        kept += (b"," if kept else b"") + _members_bytes(added)
    return b"{%b}" % kept


def _in_place(
    body: bytes, members: _Members, edited: _Edited, added: Mapping[str, bytes]
) -> bytes | None:
    """Return the changed body, None where that cannot be done surely.

    Walks the top level alone: each value's length is known from `members`. A key that stands
    twice does not line up with them.
    """
    opening = _OPENING.match(body)
    if opening is None:
        return None
    at = opening.end()
    parts: list[bytes | msgspec.Raw] = [body[:at]]
    find_key = _KEY.match
    for name, raw in members.items():
        key = find_key(body, at)
        if key is None or not _is_named(key[1], name):
            return None
        value, starts_at = bytes(raw), key.end()
        if not body.startswith(value, starts_at):
            return None
        if name in edited:
            parts += (body[at if len(parts) > 1 else key.start(1) - 1 : starts_at], edited[name])
        at, find_key = starts_at + len(value), _NEXT_KEY.match
    if _CLOSING.match(body, at) is None:
        return None
    if added:
        parts += (b"," if len(parts) > 1 else b"", _members_bytes(added))
    return b"".join((*parts, body[at:]))


def _is_named(key: bytes, name: str) -> bool:
    """Return whether a key as written, escapes included and quotes not, is this name."""
    return key == name.encode() or _name.decode(b'"%b"' % key) == name


def _members_bytes(members: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    names = map(msgspec.json.encode, members)
    return b",".join(map(_any_member, zip(names, members.values(), strict=True)))
