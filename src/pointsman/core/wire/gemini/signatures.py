"""Signatures: seals of reasoning as strings that survive the way through a client and back.

Gemini's are bytes, in JSON base64; google-genai gives them back in the URL-safe alphabet, whichever
they came in. One spelling of each is used here, so that the same seal is known again.
"""

from base64 import b64decode, b64encode
from binascii import Error

# A seal of another dialect goes to a client of this one behind this mark, as base64, for it need
# not be base64 itself. Twelve bytes are sixteen letters, so the mark can be told without decoding.
_MARK = b"by pointsman"
_MARKED = b64encode(_MARK).decode()
_TO_STANDARD = str.maketrans("-_", "+/")

# Tells Gemini 3 not to look for a signature on a call that another model made, or a client.
# Source: ai.google.dev/gemini-api/docs/thought-signatures, "FAQs" (read 2026-11-23).
PLACEHOLDER = "skip_thought_signature_validator"


def read_signature(said: str | None) -> str:
    """Return a signature in its one spelling, "" for none and for the placeholder.

    That is the standard alphabet for Gemini's own, and for another dialect's its own words.
    """
    if not said or said == PLACEHOLDER:
        return ""
    standard = said.translate(_TO_STANDARD)
    if standard == _PLACEHOLDER_AGAIN:
        return ""
    if standard.startswith(_MARKED):
        try:
            return b64decode(standard[len(_MARKED) :], validate=True).decode()
        except (Error, UnicodeDecodeError):
            return standard
    return standard


def write_signature(signature: str, *, is_own: bool) -> str:
    """Return a signature as this dialect's JSON has it; `is_own`: a Gemini model made it."""
    if is_own:
        return signature
    return _MARKED + b64encode(signature.encode("utf-8", "surrogatepass")).decode()


_PLACEHOLDER_AGAIN = PLACEHOLDER.translate(_TO_STANDARD)
