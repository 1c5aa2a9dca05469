"""Headers: what a reply's header may hold, whatever a prompt, a model or a client is called."""

_CHARS_MAX = 300


def printable(text: str) -> str:
    """Return text that a header may hold: ASCII, on one line, not too long."""
    plain = text[:_CHARS_MAX].encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)
