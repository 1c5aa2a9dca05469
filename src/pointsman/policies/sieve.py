"""Sieve: whether any of many words may be in a long text, all of them looked for at once.

Python looks for one word after another, each at some 2 GB a second. The `regex` crate that comes
with jsonschema-rs takes no longer for all than Python for one. Loading it takes some 30 ms and
8 MB, so it is loaded for long texts alone.
"""

import re
from collections.abc import Callable, Collection

LONG_CHARS = 16_384
_find_plain = re.compile("[a-z0-9]+").findall


def build_sieve(words: Collection[str]) -> Callable[[str], bool]:
    """Return what says whether a text in lower case may have one of the words, in lower case too.

    It goes by the longest part of each word that needs no escape in a pattern.
    """
    from jsonschema_rs import RegexOptions, validator_for

    parts = {max(_find_plain(word), key=len, default="") for word in words}
    try:
        schema = {"pattern": "|".join(sorted(parts))}
        validator = validator_for(schema, pattern_options=RegexOptions())
    except ValueError:  # too many for it
        return lambda _: True

    def may_have(lowered: str) -> bool:
        try:
            return validator.is_valid(lowered)
        except UnicodeEncodeError:  # half of a surrogate pair, which a body may well have
            return True

    return may_have
