"""Structure: whether data has the shape of the Structs. Finds every misfit, not only the first."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import inspect

from pointsman.config.keys import KEYS, Key, Pattern
from pointsman.config.locate import KeyPath
from pointsman.config.problems import Problem, did_you_mean
from pointsman.config.secrecy import show_path

T = TypeVar("T")

_TEXT = "must be text in quotes"
_ANYTHING = Key("")


def read_struct(data: object, kind: type[T]) -> tuple[T | None, list[Problem]]:
    """Return `data` as a `kind`, and what is wrong with it.

    Unknown keys are reported and left out. None when something else is wrong.
    """
    reader = _Reader()
    kept = reader.read(data, inspect.type_info(kind), (), ())
    if reader.is_unreadable:
        return None, reader.problems
    try:
        return msgspec.convert(kept, kind), reader.problems
    except msgspec.ValidationError as error:  # a bound that a Struct has and `KEYS` lacks
        return None, [*reader.problems, Problem((), f"{error}; correct the value")]


class _Reader:
    """Walks data and types side by side; `read` returns the data that fits."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.is_unreadable = False

    def read(self, value: object, kind: inspect.Type, path: KeyPath, pattern: Pattern) -> object:
        match kind:
            case inspect.UnionType():
                return self._read_union(value, kind, path, pattern)
            case inspect.StructType():
                return self._read_struct(value, kind, path, pattern)
            case inspect.DictType():
                return self._read_mapping(value, kind, path, pattern)
            case inspect.ListType() | inspect.VarTupleType() | inspect.CollectionType():
                return self._read_array(value, kind, path, pattern)
            case _:
                if wrong := _misfit(value, kind, KEYS.get(pattern, _ANYTHING)):
                    self._reject(path, value, wrong)
                return value

    def _read_struct(
        self, value: object, kind: inspect.StructType, path: KeyPath, pattern: Pattern
    ) -> object:
        if not isinstance(value, Mapping):
            return self._reject(path, value, f"must be a table: [{show_path(path)}]")
        fields = {field.encode_name: field for field in kind.fields}
        for name, field in fields.items():
            if field.required and name not in value:
                example = KEYS[*pattern, name].example
                self._reject((*path, name), msgspec.UNSET, f"is missing; say {name} = {example}")
        kept = {}
        for name, item in value.items():
            if name in fields:
                kept[name] = self.read(item, fields[name].type, (*path, name), (*pattern, name))
            else:
                self._refuse_key((*path, name), item, tuple(fields))
        return kept

    def _refuse_key(self, path: KeyPath, value: object, known: tuple[str, ...]) -> None:
        name, table = str(path[-1]), show_path(path[:-1])
        holder = f"keys of [{table}]" if table else "sections"
        text = f"unknown key; {holder}: {', '.join(known)}."
        text += did_you_mean(name, known) or " Take it out."
        if "api_key_env" in known and "key" in name.lower():
            text += " Put the key in an environment variable and name that in api_key_env."
        self.problems.append(Problem(path, text, value))

    def _read_mapping(
        self, value: object, kind: inspect.DictType, path: KeyPath, pattern: Pattern
    ) -> object:
        if not isinstance(value, Mapping):
            return self._reject(path, value, "must be a table")
        if isinstance(kind.value_type, inspect.CustomType | inspect.AnyType):
            for misfit_path, misfit in _not_json(value, path):
                self._reject(misfit_path, misfit, "cannot be sent as JSON; use text or a number")
            return value
        return {
            name: self.read(item, kind.value_type, (*path, name), (*pattern, "*"))
            for name, item in value.items()
        }

    def _read_array(
        self,
        value: object,
        kind: inspect.ListType | inspect.VarTupleType | inspect.CollectionType,
        path: KeyPath,
        pattern: Pattern,
    ) -> object:
        if not isinstance(value, list | tuple):
            is_tables = isinstance(kind.item_type, inspect.StructType)
            remedy = f"must be tables: [[{show_path(path)}]]" if is_tables else "must be an array"
            return self._reject(path, value, remedy)
        return [
            self.read(item, kind.item_type, (*path, index), (*pattern, "*"))
            for index, item in enumerate(value)
        ]

    def _read_union(
        self, value: object, kind: inspect.UnionType, path: KeyPath, pattern: Pattern
    ) -> object:
        if value is None and kind.includes_none:
            return None
        kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        tables = [one for one in kinds if isinstance(one, inspect.StructType)]
        plain = [one for one in kinds if one not in tables]
        if tables and (isinstance(value, Mapping) or not plain):
            return self._read_struct(value, tables[0], path, pattern)
        return self.read(value, plain[0], path, pattern)

    def _reject(self, path: KeyPath, value: object, text: str) -> object:
        self.is_unreadable = True
        self.problems.append(Problem(path, text, value))
        return value


def _misfit(value: object, kind: inspect.Type, key: Key) -> str:
    """Return why `value` cannot be of the plain `kind`, "" when it can."""
    match kind:
        case inspect.StrType():
            return "" if isinstance(value, str) else _TEXT
        case inspect.BoolType():
            return "" if isinstance(value, bool) else "must be true or false, without quotes"
        case inspect.IntType():
            if isinstance(value, int) and not isinstance(value, bool) and key.allows(value):
                return ""
            return f"must be a whole number{_of(key)}"
        case inspect.FloatType():
            number = _finite(value)
            if number is not None and key.allows(number):
                return ""
            return f"must be a number{_of(key)}"
        case inspect.LiteralType():
            known = [str(one) for one in kind.values]
            if value in kind.values:
                return ""
            return f"must be one of {', '.join(known)}.{did_you_mean(str(value), known)}"
        case _:
            raise TypeError(f"no key may be of type {kind}")


def _finite(value: object) -> float | None:
    """Return a number as a float; None for anything else, the infinite and NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond every float
        return None
    return number if math.isfinite(number) else None


def _of(key: Key) -> str:
    return f", {key.range}" if key.range else ""


def _not_json(value: object, path: KeyPath) -> Sequence[tuple[KeyPath, object]]:
    """Return what JSON has no form for: dates, times, NaN and the infinite."""
    match value:
        case Mapping():
            return [it for name, item in value.items() for it in _not_json(item, (*path, name))]
        case list() | tuple():
            return [it for n, item in enumerate(value) for it in _not_json(item, (*path, n))]
        case bool() | str() | None:
            return []
        case _ if _finite(value) is not None:
            return []
        case _:
            return [(path, value)]
