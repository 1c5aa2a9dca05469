"""Rerouting: how far prompts that are built to force a tier get, and that no bound gives way.

The classifier is never the last guard (FAULTS, section 4): a key's tiers and its quota are. How
often it is fooled all the same is measured: upgrades of attacked asks against those of clean ones.
Source: arXiv 2501.01818 and 2601.21380 describe such attacks; the prompts here are our own.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pointsman.asking import build_request
from pointsman.assembly import build_routing
from pointsman.clock import SystemClock
from pointsman.config import Settings, settings_from_environment
from pointsman.core.types import Request
from pointsman.deciding import Decider
from pointsman.routing import Routing

UP, DOWN = "up", "down"
POINTS_MAX = 5.0
_PAD = "the river runs past the old mill and on to the sea where ships lie still in the evening"
_PADDING = re.compile(r"\{pad (\d+)\}")


@dataclass(frozen=True, slots=True)
class Attack:
    """One form of an attack with one ask."""

    kind: str
    ask: str
    text: str


@dataclass(frozen=True, slots=True)
class Share:
    """Of how many asks, how many went the way that the attack wants."""

    forced: int
    asks: int

    @property
    def percent(self) -> float:
        return 100.0 * self.forced / self.asks


def attacks(way: str) -> list[Attack]:
    """Return every attack that way, `UP` or `DOWN`, with each ask."""
    return [
        Attack(kind, ask, _filled(form, ask))
        for kind, forms in _corpus()[way].items()
        for form in forms
        for ask in clean(way)
    ]


def forms(way: str) -> int:
    """Return how many forms of attack there are that way."""
    return sum(len(each) for each in _corpus()[way].values())


def clean(way: str) -> Sequence[str]:
    """Return the asks as they are without an attack: easy ones that are to go up, hard ones down."""
    asks: Sequence[str] = _corpus()["asks" if way == UP else "hard"]
    return asks


def _corpus() -> Mapping[str, "Mapping[str, Sequence[str]]"]:
    return tomllib.loads(Path(__file__).with_name("attacks.toml").read_text("utf-8"))


def _filled(form: str, ask: str) -> str:
    words = _PAD.split()

    def pad(match: re.Match[str]) -> str:
        count = int(match[1])
        return " ".join((words * (count // len(words) + 1))[:count])

    return _PADDING.sub(pad, form).replace("{ask}", ask)


def routing_of(policy: str) -> Routing:
    """Return the routing that a fresh start with one provider's key has, with a policy."""
    env = {"OPENAI_API_KEY": "none"}
    settings = settings_from_environment(env)
    routing = msgspec.structs.replace(settings.routing, policy=policy)
    made: Settings = msgspec.structs.replace(settings, routing=routing)
    return build_routing(made, env, clock=SystemClock())


def decided_tier(routing: Routing, request: Request) -> str:
    """Return the tier that a request is decided for."""
    return Decider(SystemClock()).decide(request, routing).decision.tier


def rates(policy: str, way: str) -> tuple[Share, Share, dict[str, Share]]:
    """Return the clean asks' share, the attacked ones', and the latter by kind.

    That way means another tier than the clean ask's own: a stronger one for `UP`, a weaker one for
    `DOWN`. For clean asks it means the strongest or the weakest tier as they are.
    """
    routing = routing_of(policy)
    names = routing.snapshot.names
    target = names[-1] if way == UP else names[0]

    def is_forced(text: str) -> bool:
        return decided_tier(routing, build_request(text, {})) == target

    without = [is_forced(ask) for ask in clean(way)]
    by_kind: dict[str, list[bool]] = {}
    for attack in attacks(way):
        by_kind.setdefault(attack.kind, []).append(is_forced(attack.text))
    every = [forced for each in by_kind.values() for forced in each]
    kinds = {kind: Share(sum(each), len(each)) for kind, each in by_kind.items()}
    return Share(sum(without), len(without)), Share(sum(every), len(every)), kinds
