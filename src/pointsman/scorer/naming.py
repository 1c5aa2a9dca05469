"""Naming: when two names mean one model, whatever provider, date or separators they carry."""

import re

_VENDOR = re.compile(
    r"^(?:(?:us|eu|apac|global)\.)?(?:amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\."
    r"|^meta-(?=llama)"
)
_TAIL = re.compile(
    r"(?::(?:free|nitro|floor|online|beta|thinking|extended|exacto|latest)|-v\d:\d|[-:]fp8|-q\d\w*"
    r"|(?<=-instruct)-(?:turbo|lite|reference)|-latest)+$"
)
_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|\d\d-20\d\d|\d\d-\d\d-\d\d)$")
_POINT = re.compile(r"(?<=\d)p(?=\d)")  # glm-5p2, as Fireworks writes 5.2
_PART = re.compile(r"[a-z]+|\d+")
_NO_PART = frozenset({"instruct", "it"})


def name_key(name: str) -> tuple[str, ...]:
    """Return the parts by which two names of one model are equal.

    Provider, separators, release channel, precision and "instruct" do not count; all else does, so
    that no family is taken for another that its name begins with.
    """
    return _parts(_bare(name))


def undated_key(name: str) -> tuple[str, ...]:
    """Return the same without the date of a release at the end of the name."""
    return _parts(_DATE.sub("", _bare(name)))


def _bare(name: str) -> str:
    text = name.lower().rsplit("/", 1)[-1]
    return _POINT.sub(".", _TAIL.sub("", _VENDOR.sub("", text)))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in _PART.findall(text) if part not in _NO_PART)
