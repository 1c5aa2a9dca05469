"""Blanking: takes our key out of what an upstream says, however it has written it."""

import re

BLANKED_KEY = "[key]"


def blanked(text: str, key: str) -> str:
    """Return text without the key: plain, or with any of its characters escaped.

    Escaped as in JSON (RFC 8259, section 7) or in a URL (RFC 3986, section 2.1): some upstreams
    repeat the key that they refuse, and a reader of JSON would put it together again.
    """
    if not key:
        return text
    return re.sub("".join(_any_form(character) for character in key), BLANKED_KEY, text)


def _any_form(character: str) -> str:
    """Return the pattern of a character's forms, the longest first: `%` itself begins another."""
    plain, code = re.escape(character), ord(character)
    slashed = rf"\\{plain}|" if character in '/"' else ""
    return rf"(?:(?i:\\u{code:04x}|%{code:02x})|{slashed}{plain})"
