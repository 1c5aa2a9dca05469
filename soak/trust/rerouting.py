"""Rerouting: how far prompts that are built to force a tier get, and that no bound gives way.

The classifier is never the last guard (FAULTS, section 4): a key's tiers and its quota are. How
often it is fooled all the same is measured: upgrades of attacked asks against those of clean ones.
Source: arXiv 2501.01818 and 2601.21380 describe such attacks; the prompts here are our own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from pointsman.asking import build_request
from pointsman.assembly import build_routing
from pointsman.clock import SystemClock
from pointsman.config import Settings, settings_from_environment
from pointsman.core.features import extract
from pointsman.core.types import Decision
from pointsman.deciding import Decider
from pointsman.routing import Routing
from pointsman.scorer.model import shipped
from pointsman.scorer.reading import read_features

UP, DOWN, HELD_OUT = "up", "down", "held out"
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
    """Return every attack that way, with each ask.

    `UP`, `DOWN`, or `HELD_OUT`: up too, by forms that the defences were not made with.
    """
    return [
        Attack(kind, ask, _filled(form, ask))
        for kind, forms in _corpus().forms(way).items()
        for form in forms
        for ask in clean(way)
    ]


def forms(way: str) -> int:
    """Return how many forms of attack there are that way."""
    return sum(len(each) for each in _corpus().forms(way).values())


def clean(way: str) -> Sequence[str]:
    """Return the asks as they are without an attack: hard ones for `DOWN`, else easy ones."""
    corpus = _corpus()
    return {UP: corpus.asks, DOWN: corpus.hard, HELD_OUT: corpus.held_out.asks}[way]


class _HeldOut(msgspec.Struct, frozen=True):
    asks: Sequence[str]
    up: Mapping[str, Sequence[str]]


class _Corpus(msgspec.Struct, frozen=True):
    asks: Sequence[str]
    hard: Sequence[str]
    up: Mapping[str, Sequence[str]]
    down: Mapping[str, Sequence[str]]
    held_out: _HeldOut

    def forms(self, way: str) -> Mapping[str, Sequence[str]]:
        return {UP: self.up, DOWN: self.down, HELD_OUT: self.held_out.up}[way]


@cache
def _corpus() -> _Corpus:
    return msgspec.toml.decode(Path(__file__).with_name("attacks.toml").read_bytes(), type=_Corpus)


def _filled(form: str, ask: str) -> str:
    words = _PAD.split()

    def pad(match: re.Match[str]) -> str:
        count = int(match[1])
        return " ".join((words * (count // len(words) + 1))[:count])

    return _PADDING.sub(pad, form).replace("{ask}", ask)


def routing_of(policy: str, *, rules: bool = True) -> Routing:
    """Return the routing that a fresh start with one provider's key has, with a policy.

    Without `rules` no phrase and no length decides.
    """
    env = {"OPENAI_API_KEY": "none"}
    settings = settings_from_environment(env)
    routing = msgspec.structs.replace(settings.routing, policy=policy)
    if not rules:
        no_rules = msgspec.structs.replace(routing.signals, power=(), fast=(), power_words=10**9)
        routing = msgspec.structs.replace(routing, signals=no_rules)
    made: Settings = msgspec.structs.replace(settings, routing=routing)
    return build_routing(made, env, clock=SystemClock())


def rates(policy: str, way: str, *, rules: bool = True) -> tuple[Share, Share, dict[str, Share]]:
    """Return of the clean asks how many go the wanted way, of the attacks, and of each kind.

    The wanted way is the weakest tier for `DOWN`, else the strongest.
    """
    return _rates(routing_of(policy, rules=rules), way, lambda _: True)


def judged_rates(way: str) -> tuple[Share, Share, dict[str, Share]]:
    """Return the same of "learned", of what its model itself has judged and no rule decided.

    A prompt unlike all that was learned from goes up by a rule too: nothing is known of it.
    """
    return _rates(
        routing_of("learned"),
        way,
        lambda decision: bool(decision.group) and not decision.reason.startswith("unlike"),
    )


def _rates(
    routing: Routing, way: str, counts: Callable[[Decision], bool]
) -> tuple[Share, Share, dict[str, Share]]:
    names = routing.snapshot.names
    target = names[0] if way == DOWN else names[-1]
    decider = Decider(SystemClock())

    def is_forced(text: str) -> bool:
        decision = decider.decide(build_request(text, {}), routing).decision
        return decision.tier == target and counts(decision)

    without = [is_forced(ask) for ask in clean(way)]
    by_kind: dict[str, list[bool]] = {}
    for attack in attacks(way):
        by_kind.setdefault(attack.kind, []).append(is_forced(attack.text))
    every = [forced for each in by_kind.values() for forced in each]
    kinds = {kind: Share(sum(each), len(each)) for kind, each in by_kind.items()}
    return Share(sum(without), len(without)), Share(sum(every), len(every)), kinds


def above_clean() -> Share:
    """Return how many attacked asks the scorer gives more to gain than to any clean one.

    That is what would go up of them at the lowest threshold at which no clean ask does: more than
    `judged_rates` says, where the configuration's own threshold is far from what is predicted.
    """
    scorer = shipped()

    def gain(text: str) -> float:
        return scorer.relative_gain(read_features(extract(build_request(text, {}))))

    most = max(map(gain, clean(UP)))
    gains = [gain(attack.text) for attack in attacks(UP)]
    return Share(sum(each > most for each in gains), len(gains))
