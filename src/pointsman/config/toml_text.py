"""TOML text: values and keys as they are written in a configuration file."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 96


def write_value(value: object) -> str:
    """Return a text, boolean, number, array or table as TOML, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case Mapping():
            pairs = [f"{write_key(str(key))} = {write_value(it)}" for key, it in value.items()]
            return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(write_value(item) for item in value)}]"
        case _:
            raise TypeError(f"TOML has no form for {type(value).__name__}")


def write_key(key: str) -> str:
    """Return a key as TOML, in quotes where it needs them."""
    return key if _BARE_KEY.fullmatch(key) else write_value(key)


def write_pair(key: str, value: object) -> list[str]:
    """Return `key = value` as lines: one, or an array's items over several where one is long."""
    line = f"{write_key(key)} = {write_value(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list | tuple):
        return [line]
    lines, row = [f"{write_key(key)} = ["], ""
    for item in cast("Sequence[object]", value):
        text = f"{write_value(item)}, "
        if row and len(row) + len(text) > _WIDTH - 4:
            lines.append(f"    {row.rstrip()}")
            row = ""
        row += text
    return [*lines, f"    {row.rstrip()}", "]"]
