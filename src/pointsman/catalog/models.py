"""Models: what each can do, by `provider/model`."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pkgutil import get_data
from types import MappingProxyType

import msgspec

from pointsman.core.types import Capability, Need

_DATED = re.compile(r"-20\d{2}(-\d{2}-\d{2}|\d{4})$")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where facts about models come from, and the day they were as stated."""

    title: str
    url: str
    checked_on: date


class ModelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one model at one provider. None means not known.

    `sampling`: whether it takes a temperature. `reasoning`: whether it takes an effort or thinks.
    `source` is a key of `model_sources()`.
    """

    source: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    images: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    sampling: bool | None = None
    reasoning: bool | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, Source]
    models: dict[str, ModelRow]


def model_rows() -> Mapping[str, ModelRow]:
    """Return every known model by `provider/model`, in the catalogue's order."""
    return MappingProxyType(_file().models)


def model_sources() -> Mapping[str, Source]:
    """Return the sources that model rows name."""
    return MappingProxyType(_file().sources)


def capability(provider: str, model: str, lacks: Iterable[Need] = ()) -> Capability:
    """Return what the model can do at this provider, None in every field that is not known.

    `lacks`: what the way in does not serve. A dated name without a row of its own, such as
    `gpt-4o-2024-08-06`, is read as its base name.
    """
    lacked = frozenset(lacks)
    row = _row(f"{provider}/{model}") or _row(f"{provider}/{_DATED.sub('', model)}")
    return Capability(
        context_tokens=row.context_tokens if row else None,
        max_output_tokens=row.max_output_tokens if row else None,
        images=False if Need.IMAGES in lacked else row.images if row else None,
        tools=False if Need.TOOLS in lacked else row.tools if row else None,
        json_schema=False if Need.JSON_SCHEMA in lacked else row.json_schema if row else None,
        sampling=row.sampling if row else None,
        reasoning=row.reasoning if row else None,
    )


def _row(name: str) -> ModelRow | None:
    """Return one row, decoded alone: Python's decoder takes 25 ms for the file, as long as a start
    takes for all else that it reads.
    """
    text = _text()
    begin = text.find(f'\n"{name}" = {{') + 1
    if not begin:
        return None
    line = text[begin : text.index("\n", begin)]
    return msgspec.toml.decode(line, type=dict[str, ModelRow])[name]


@cache
def _file() -> _File:
    return msgspec.toml.decode(_text(), type=_File)


@cache
def _text() -> str:
    return (get_data(__package__, "models.toml") or b"").decode()
