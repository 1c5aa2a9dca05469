"""Custom: validators of third parties, found by entry point and kept from doing damage."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.core.errors import ConfigError
from pointsman.extensions import entry_points
from pointsman.validators.draft import Ask, Draft, short_reason

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


GROUP = "pointsman.validators"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Custom:
    """A third party's check. Where it raises or returns no text, the draft counts as accepted.

    `failures`: what it has failed by so far, so that each kind is logged once, not per request.
    """

    name: str
    inner: Callable[[Draft, Ask], object]
    failures: set[str] = field(default_factory=set, repr=False, compare=False)

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return the check's reason, made short and printable."""
        try:
            reason = self.inner(draft, ask)
        except Exception as error:  # foreign code may raise anything; a request must not suffer
            self._log_once(f"raised {type(error).__name__}")
            return ""
        if isinstance(reason, str):
            return short_reason(reason)
        self._log_once(f"returned {type(reason).__name__}, not str")
        return ""

    def _log_once(self, failure: str) -> None:
        """Log what happened, without the error's own message: it may quote the draft."""
        if failure not in self.failures:
            self.failures.add(failure)
            _log.warning('validator "%s" %s; such drafts count as accepted', self.name, failure)


def load_custom(name: str) -> Custom:
    """Return the validator of that name from the entry points.

    Its object is a factory without arguments, or the check itself: `(draft, ask) -> str`.

    Raises ConfigError when there is none of that name, or it cannot be loaded or called.
    """
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        raise ConfigError(
            f'validation.custom: no validator "{name}" is installed; installed: '
            f"{', '.join(sorted(installed)) or 'none'}; install the package that has it "
            f"(entry-point group {GROUP}) or remove the name"
        )
    return Custom(name, _check_of(installed[name]))


def _check_of(point: "EntryPoint") -> Callable[[Draft, Ask], object]:
    try:
        made = point.load()
        if _takes(made, 0):
            made = made().check
    except Exception as error:  # foreign code may raise anything; here it stops the start
        raise ConfigError(
            f'validation.custom: validator "{point.name}" ({point.value}) cannot be loaded: '
            f"{type(error).__name__}: {error}; repair it or remove the name"
        ) from error
    if inspect.iscoroutinefunction(made) or not _takes(made, 2):
        raise ConfigError(
            f'validation.custom: validator "{point.name}" ({point.value}) must be a factory '
            f"without arguments that returns a validator, or a plain function (draft, ask) -> str"
        )
    check: Callable[[Draft, Ask], object] = made
    return check


def _takes(made: object, count: int) -> bool:
    """Return whether `made` can be called with so many positional arguments."""
    if not callable(made):
        return False
    try:
        inspect.signature(made).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True
