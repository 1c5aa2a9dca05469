"""pointsman: sends each LLM request to the cheapest model that will answer it well.

    from pointsman import Router

    with Router.from_config("pointsman.toml") as router:
        answer = router.route("Convert this list to JSON: name=Alice, age=30, role=dev")

Names load when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pointsman._version import __version__

if TYPE_CHECKING:
    from pointsman.config.settings import TierSettings as Tier
    from pointsman.core.errors import ConfigError, GatewayError
    from pointsman.core.types import Answer, Decision
    from pointsman.core.usage import Usage
    from pointsman.library import AsyncRouter, Router
    from pointsman.report import Report
    from pointsman.stream import AnswerStream

__all__ = [
    "Answer",
    "AnswerStream",
    "AsyncRouter",
    "ConfigError",
    "Decision",
    "GatewayError",
    "Report",
    "Router",
    "Tier",
    "Usage",
    "__version__",
]

_HOMES = {
    "Answer": ("pointsman.core.types", "Answer"),
    "AnswerStream": ("pointsman.stream", "AnswerStream"),
    "AsyncRouter": ("pointsman.library", "AsyncRouter"),
    "ConfigError": ("pointsman.core.errors", "ConfigError"),
    "Decision": ("pointsman.core.types", "Decision"),
    "GatewayError": ("pointsman.core.errors", "GatewayError"),
    "Report": ("pointsman.report", "Report"),
    "Router": ("pointsman.library", "Router"),
    "Tier": ("pointsman.config.settings", "TierSettings"),
    "Usage": ("pointsman.core.usage", "Usage"),
}


def __getattr__(name: str) -> object:
    """Load a public name from its home. Raises AttributeError for any other."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pointsman' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
