"""Schemas: the OpenAPI subset that older Gemini requests use, as JSON schema.

The other way is not needed: `parametersJsonSchema` and `responseJsonSchema` take JSON schema.
Source: `Schema` and `GenerateContentConfig.response_json_schema` in google-genai 3.4's types.
"""

import re
from collections.abc import Mapping

# Counts are int64, which ProtoJSON may write as strings.
_COUNTS = frozenset(
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"],
)
_ALSO_SNAKE = frozenset(
    [
        "any_of",
        "min_items",
        "max_items",
        "min_length",
        "max_length",
        "min_properties",
        "max_properties",
        "property_ordering",
        "additional_properties",
    ]
)


def json_schema(schema: object) -> object:
    """Return a `Schema` as JSON schema; what is no object (`true`) as it is.

    Types become lower case, `nullable` a type of its own, references those of `$defs`. The order
    of properties and the format "enum", which JSON schema does not know, go.
    """
    if not isinstance(schema, Mapping):
        return schema
    told: dict[str, object] = {}
    for said, value in schema.items():
        name = _camel(said) if said in _ALSO_SNAKE else said
        match name:
            case "type" if isinstance(value, str):
                if value != "TYPE_UNSPECIFIED":
                    told["type"] = value.lower()
            case "properties" | "defs" | "$defs" if isinstance(value, Mapping):
                named = "$defs" if name == "defs" else name
                told[named] = {key: json_schema(entry) for key, entry in value.items()}
            case "items" | "additionalProperties":
                told[name] = json_schema(value)
            case "anyOf" if isinstance(value, list):
                told[name] = [json_schema(entry) for entry in value]
            case "ref" if isinstance(value, str):
                told["$ref"] = value.replace("#/defs/", "#/$defs/")
            case "example":
                told["examples"] = [value]
            case "nullable" | "propertyOrdering":
                pass
            case "format" if value == "enum":
                pass
            case _:
                told[name] = int(value) if name in _COUNTS and isinstance(value, str) else value
    return _with_null(told) if schema.get("nullable") is True else told


def _with_null(schema: dict[str, object]) -> dict[str, object]:
    if "type" in schema:
        enum = schema.get("enum")
        more = {"enum": [*enum, None]} if isinstance(enum, list) and None not in enum else {}
        return {**schema, "type": [schema["type"], "null"], **more}
    return {"anyOf": [schema, {"type": "null"}]}


def _camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)
