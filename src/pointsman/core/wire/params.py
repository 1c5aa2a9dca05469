"""Params: set fields of a body, objects merged into objects and everything else left as it is."""

from collections.abc import Mapping

import msgspec

from pointsman.core.wire.splice import splice


def with_fields(body: bytes, fields: Mapping[str, object]) -> bytes:
    """Return a JSON object with `fields` set, at any depth: an object is merged, all else replaced.

    Raises msgspec.DecodeError where `body` is no JSON object.
    """
    if not fields:
        return body
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    changes: dict[str, bytes | None] = {}
    for name, value in fields.items():
        old = bytes(members[name]) if name in members else b""
        if isinstance(value, Mapping) and old.lstrip().startswith(b"{"):
            changes[name] = with_fields(old, value)
        else:
            changes[name] = msgspec.json.encode(value)
    return splice(body, changes)
