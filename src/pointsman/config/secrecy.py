"""Secrecy: what looks like a secret, and how values of the configuration are shown without one."""

import json
import re
from collections.abc import Iterator, Mapping

from pointsman.config.locate import KeyPath

HIDDEN = "(hidden)"

_SHOWN_CHARS_MAX = 60
_DIGITS_MAX = 40
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# How providers begin their keys, as their own pages print them (read 2026-11-23), then an AWS key
# id, a JSON web token, a bearer header and a PEM file.
_SECRET = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        sk-[A-Za-z0-9_-]{10,}
      | (?:csk-|xai-|gsk_|tgp_v1_|fw_|hf_|ghp_|gho_|glpat-|nvapi-)
        (?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}
      | AIza[A-Za-z0-9_-]{30,}
      | A[KS]IA[A-Z0-9]{16}
      | eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.
      | [Bb]earer\s+\S{8,}
    )|-----BEGIN""",
    re.VERBOSE,
)
_RANDOM = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{20,}")
_TELLING_NAME = re.compile(r"key|secret|token|password|passwd|credential|auth", re.IGNORECASE)
_PLAIN_NAMES = {"api_key_env", "context_tokens", "max_tokens"}


def looks_like_secret(text: str) -> bool:
    """Return whether `text` holds what begins as providers' keys do."""
    return _SECRET.search(text) is not None


def hide_secrets(text: str) -> str:
    """Return `text` with what looks like a secret taken out."""
    return _SECRET.sub(HIDDEN, text)


def looks_random(text: str) -> bool:
    """Return whether `text` is one long run of letters and digits, as keys without a prefix are."""
    return _RANDOM.fullmatch(text) is not None


def is_telling(name: str) -> bool:
    """Return whether a name says that what it names is a secret."""
    return name not in _PLAIN_NAMES and _TELLING_NAME.search(name) is not None


def find_secrets(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield where in the parsed document something looks like a secret, names of keys included."""
    match value:
        case str():
            if looks_like_secret(value) or _userinfo(value).count(":"):
                yield path
        case Mapping():
            for key, item in value.items():
                if looks_like_secret(key):
                    yield (*path, key)
                yield from find_secrets(item, (*path, key))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from find_secrets(item, (*path, index))
        case _:
            pass


def show_path(path: KeyPath) -> str:
    """Return the path as people write it, `tiers[1].models[0]`, without secrets."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            parts.append(f".{_show_key(part)}")
    return "".join(parts).removeprefix(".")


def show_value(path: KeyPath, value: object) -> str:
    """Return the value as TOML has it, cut to a line's length; hidden where it may be a secret."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(value, str | list | tuple | Mapping) and is_telling(name):
        return HIDDEN
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value) if value.bit_length() < _DIGITS_MAX * 3 else "(a huge number)"
        case str():
            return _show_text(value)
        case Mapping():
            return "{…}" if value else "{}"
        case list() | tuple():
            return "[…]" if value else "[]"
        case _:
            return str(value)


def _show_text(text: str) -> str:
    if looks_like_secret(text) or looks_random(text) or _userinfo(text):
        return HIDDEN
    is_long = len(text) > _SHOWN_CHARS_MAX
    return json.dumps(text[:_SHOWN_CHARS_MAX] + "…" if is_long else text, ensure_ascii=False)


def _show_key(key: str) -> str:
    if looks_like_secret(key):
        return HIDDEN
    return key if _BARE_KEY.fullmatch(key) else _show_text(key)


def _userinfo(text: str) -> str:
    """Return what stands before the `@` of a URL: a user, or `user:password`."""
    if "://" not in text or "@" not in text:
        return ""
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    return authority.rpartition("@")[0]
