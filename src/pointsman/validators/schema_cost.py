"""Schema cost: an upper bound for what checking a JSON schema can cost, found before it is used.

The schema is the client's. References can make it exponential in a few hundred bytes:
`a: anyOf[b, b], b: anyOf[c, c], ...`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import UNSET

Json: TypeAlias = object

# Deeper than this, a schema whose cost doubles at each level is out of reach anyway.
_DEPTH_MAX = 32
_TOO_MANY = 1 << 60

# JSON Schema 2020-12 and its forerunners, by what a keyword applies its schemas to.
_SAME_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_SAME_PLACE_BY_KEY = ("dependentSchemas", "dependencies")
_BELOW = (
    "additionalProperties", "additionalItems", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
# These resolve by names, or change what `#` means: a walk over the document cannot follow them.
_BY_NAME = ("$dynamicRef", "$recursiveRef")
_NEW_BASE = ("$id", "id")
_UNKNOWN: Mapping[str, Json] = {"$dynamicRef": "#"}


def visits(schema: Json, depth: int) -> int:
    """Return how many subschemas may visit one path of an instance that is `depth` deep.

    Huge where that cannot be bounded: references other than `#` and `#/...`, a nested `$id`, a
    reference that comes back to itself without going deeper.
    """
    try:
        return _Walk(schema).visits(schema, min(depth, _DEPTH_MAX))
    except RecursionError:
        return _TOO_MANY


def depth_of(value: Json) -> int:
    """Return how many steps lead down to the deepest value; 0 for a scalar or an empty array."""
    depth, level = 0, [value]
    while level := [
        child
        for node in level
        if isinstance(node, dict | list)
        for child in (node.values() if isinstance(node, dict) else node)
    ]:
        depth += 1
    return depth


@dataclass(slots=True)
class _Walk:
    """One bound: every pair of subschema and depth is reckoned once."""

    root: Json
    known: dict[tuple[int, int], int] = field(default_factory=dict)

    def visits(self, schema: Json, depth: int) -> int:
        if not isinstance(schema, dict):
            return 1
        key = (id(schema), depth)
        if key not in self.known:
            self.known[key] = _TOO_MANY  # what a reference back to this very place finds
            self.known[key] = min(self._visits(schema, depth), _TOO_MANY)
        return self.known[key]

    def _visits(self, schema: dict[str, Json], depth: int) -> int:
        if any(key in schema for key in _BY_NAME) or (
            schema is not self.root and any(isinstance(schema.get(key), str) for key in _NEW_BASE)
        ):
            return _TOO_MANY
        total = 1 + sum(len(value) for value in schema.values() if isinstance(value, list | dict))
        if "$ref" in schema:
            total += self.visits(self._target(schema["$ref"]), depth)
        for key in _SAME_PLACE:
            total += self._sum(schema.get(key), depth)
        for key in _SAME_PLACE_BY_KEY:
            total += self._sum(_values(schema.get(key)), depth)
        if depth:
            total += self._below(schema, depth - 1)
        # What is unevaluated is found by evaluating the neighbours again.
        return total * 2 if any(key in schema for key in _UNEVALUATED) else total

    def _below(self, schema: dict[str, Json], depth: int) -> int:
        """Return the visits further down; an instance's path takes one property, one position."""
        total = self._most(_values(schema.get("properties")), depth)
        total += self._sum(_values(schema.get("patternProperties")), depth)
        for key in ("items", "prefixItems"):
            value = schema.get(key)
            total += self._most(value if isinstance(value, list) else [value], depth)
        for key in _BELOW:
            total += self._sum(schema.get(key), depth)
        return total

    def _sum(self, value: Json, depth: int) -> int:
        schemas = value if isinstance(value, list) else [value]
        return sum(self.visits(it, depth) for it in schemas if isinstance(it, dict))

    def _most(self, schemas: list[Json], depth: int) -> int:
        return max((self.visits(it, depth) for it in schemas if isinstance(it, dict)), default=0)

    def _target(self, reference: Json) -> Json:
        """Return what `#` or `#/...` points to, and for any other one something unbounded."""
        if not isinstance(reference, str) or (reference != "#" and reference[:2] != "#/"):
            return _UNKNOWN
        node = self.root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name, UNSET) if isinstance(node, dict) else UNSET
        return _UNKNOWN if node is UNSET else node


def _values(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, dict) else []
