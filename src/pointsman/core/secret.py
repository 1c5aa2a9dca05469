"""Secret: what is shown to nobody: keys on their way, and what errors of others may quote.

A key that stands in a plain text is one `repr`, one log line or one trace away from a stranger. So
what holds keys has no way of being shown, and what is logged of an error of somebody else's code is
its kind and its trace; its message may quote a prompt, an answer or a header.
"""

from collections.abc import Mapping

SHOWN = "(secret)"
_CAUSES_MAX = 5


class Variables:
    """Variables of the environment, keys among them, given one by one and never shown.

    A method of the mapping itself will not do: `repr(os.environ.get)` has the whole environment.
    """

    __slots__ = ("_env",)

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __call__(self, name: str) -> str | None:
        """Return what a variable holds, None when it is not set."""
        return self._env.get(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{SHOWN}"

    def __reduce__(self) -> str:
        raise TypeError("keys are not written anywhere")


class SecretBytes(bytes):
    """Bytes to compute with, as any others; none of the ways of showing them does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return SHOWN

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return SHOWN


class Unsaid(Exception):
    """An error as it may be logged: its kind, for a message, and where it came from."""


def unsaid(error: BaseException) -> Unsaid:
    """Return what may be logged of an error and of those that led to it, as `exc_info`."""
    return _unsaid(error, _CAUSES_MAX)


def _unsaid(error: BaseException, causes_left: int) -> Unsaid:
    kind = type(error)
    made = Unsaid(f"{kind.__module__}.{kind.__qualname__}").with_traceback(error.__traceback__)
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None and causes_left:
        made.__cause__ = _unsaid(cause, causes_left - 1)
    return made
