"""Schema: JSON schemas as this API takes them."""

import msgspec


def object_schema(schema: bytes) -> msgspec.Raw | dict[str, object]:
    """Return a tool's schema, as it is where it says that it is an object's, else saying so.

    Source: anthropic-python 2.12, `InputSchemaTyped`: `type` is required and is "object".
    """
    members = msgspec.json.decode(schema or b"{}")
    if not isinstance(members, dict):
        return {"type": "object", "properties": {}}
    if members.get("type") == "object":
        return msgspec.Raw(schema)
    return {**members, "type": "object"}


def closed(schema: bytes) -> object:
    """Return an answer's schema with no object in it open to properties that it does not name.

    Without `additionalProperties: false` the API refuses a schema; what the client says of it
    itself stays.

    Source: anthropic-python 2.12, lib/_parse/_transform.py, which does so to every schema.
    """
    return _closed(msgspec.json.decode(schema))


def _closed(node: object) -> object:
    match node:
        case dict():
            members = {name: _closed(value) for name, value in node.items()}
            is_object = node.get("type") == "object" and "additionalProperties" not in node
            return members | {"additionalProperties": False} if is_object else members
        case list():
            return [_closed(value) for value in node]
        case _:
            return node
