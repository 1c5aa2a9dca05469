"""Fields: take a JSON object apart member by member, and tell what nobody took."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.prompt import Prompt

# Paths of what may not be dropped, each with the reason.
Refused: TypeAlias = list[tuple[str, str]]

_INDEX = re.compile(r"\[\d+\]")
_Value = TypeVar("_Value")


class Fields:
    """One object of a client's body; `path` is where it stands, such as `messages[3].content[0]`.

    A member that is absent or null reads as None (or as the empty text). Every method that takes a
    member raises RequestError naming it where it is not of the type that is asked for.
    """

    def __init__(self, members: object, path: str, unread: list[str]) -> None:
        if not isinstance(members, dict):
            raise RequestError(f"{path} is {_shown(members)}; it must be an object", param=path)
        self._members: dict[str, object] = dict(members)
        self.path = path
        self.unread = unread

    def at(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Return whether a member is there, and not null."""
        return self._members.get(name) is not None

    def value(self, name: str) -> object:
        """Take a member, whatever it is."""
        return self._members.pop(name, None)

    def pass_over(self, names: Iterable[str]) -> None:
        """Take members that are read elsewhere."""
        for name in names:
            self.value(name)

    def text(self, name: str) -> str:
        """Take a text, "" where there is none."""
        return self._typed(name, str, "a text") or ""

    def needed_text(self, name: str) -> str:
        """Take a text that must be there, and not empty."""
        text = self.text(name)
        if not text:
            raise RequestError(f"{self.at(name)} is missing", param=self.at(name))
        return text

    def flag(self, name: str) -> bool | None:
        """Take true or false."""
        return self._typed(name, bool, "true or false")

    def number(self, name: str) -> float | None:
        """Take a number."""
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._misfit(name, value, "a number")
        return float(value)

    def whole(self, name: str) -> int | None:
        """Take a whole number: 2.0 is 2."""
        value = self._members.get(name)
        number = self.number(name)
        if number is None:
            return None
        if isinstance(value, int):  # as it is: a float would round a large one
            return value
        if number != int(number):
            raise self._misfit(name, value, "a whole number")
        return int(number)

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of texts."""
        values: list[object] = self._typed(name, list, "a list of texts") or []
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            raise self._misfit(name, values, "a list of texts")
        return tuple(texts)

    def raw(self, name: str) -> bytes | None:
        """Take an object as JSON."""
        value = self._typed(name, dict, "an object")
        return None if value is None else msgspec.json.encode(value)

    def child(self, name: str) -> "Fields | None":
        """Take an object, to be read in its turn."""
        value = self.value(name)
        return None if value is None else Fields(value, self.at(name), self.unread)

    def children(self, name: str) -> "Iterator[Fields]":
        """Take a list of objects, each to be read in its turn."""
        values: list[object] = self._typed(name, list, "a list") or []
        for number, value in enumerate(values):
            yield Fields(value, f"{self.at(name)}[{number}]", self.unread)

    def each(self, name: str, read: "Callable[[Fields], _Value]") -> tuple[_Value, ...]:
        """Take a list of objects and read each to its end."""
        found: list[_Value] = []
        for child in self.children(name):
            found.append(read(child))
            child.close()
        return tuple(found)

    def tell(self, name: str) -> None:
        """Say of a member that was taken that it is not carried."""
        self.unread.append(_INDEX.sub("[]", self.at(name)))

    def close(self) -> None:
        """Tell of every member that nobody took and that says something."""
        for name, value in self._members.items():
            if value not in (None, False, "", [], {}):
                self.tell(name)
        self._members = {}

    def drain(self) -> None:
        """Take all that is left: it is told of as one, elsewhere."""
        self._members = {}

    def _typed(self, name: str, kind: type[_Value], wanted: str) -> _Value | None:
        value = self.value(name)
        if value is None or isinstance(value, kind):
            return value
        raise self._misfit(name, value, wanted)

    def _misfit(self, name: str, value: object, wanted: str) -> RequestError:
        path = self.at(name)
        return RequestError(f"{path} is {_shown(value)}; it must be {wanted}", param=path)


def closed(prompt: Prompt, body: Fields, refused: Refused) -> Prompt:
    """Return the prompt that a body gave, with what nobody took of it and with what is refused."""
    body.close()
    unread, refusals = tuple(dict.fromkeys(body.unread)), tuple(dict.fromkeys(refused))
    return msgspec.structs.replace(prompt, unread=unread, refused=refusals)


def _shown(value: object) -> str:
    """Return a value as JSON, cut short: it may be long."""
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
