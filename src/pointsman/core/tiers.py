"""Tiers: the deployments that there are, in their order, and the steps that a plan has of them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import attrgetter

import msgspec

from pointsman.core.needs import Need
from pointsman.core.prices import Price

# Fields of a deployment's `params` that bound its answers, in place of what the client sent.
_BOUND_PARAMS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

# No plan has more attempts than that.
TRIES_MAX = 16


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can do. `None` means not known, which is read as "yes, without limit"."""

    context_tokens: int | None = None
    max_output_tokens: int | None = None
    images: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    sampling: bool | None = None
    reasoning: bool | None = None


class CallIds(msgspec.Struct, frozen=True, kw_only=True):
    """Which ids of tool calls a provider takes: at most so many characters, matching `pattern`.

    `chars_exact`: neither fewer nor more than `chars_max`.
    """

    chars_max: int = 64
    pattern: str = "[a-zA-Z0-9_-]+"
    chars_exact: bool = False


class Deployment(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One model at one provider.

    `params` are body fields that this deployment always sends; they replace what the client sent.
    `reasoning_effort` among them is understood in every dialect, the others are the deployment's
    own. `api_key_env` names the variable; the key itself is never here. `auth_header` carries it,
    as a bearer where that is `authorization`. `headers` are sent with every call. A `{VARIABLE}` in
    `base_url` stands for one of the environment. `drops`: body fields that the provider refuses.
    `prompt_cache_s`: for how long the provider's prompt cache keeps a prefix that nobody reads, 0
    where that is not known. `has_cache_marks`: requests are marked for that cache where the client
    has not marked them. `is_private`: its address may be one that is not public.
    `first_byte_s`: its own limit until a streamed answer's first content, None for the usual one.
    """

    provider: str
    model: str
    dialect: str
    base_url: str
    api_key_env: str = ""
    auth_header: str = "authorization"
    headers: Mapping[str, str] = {}
    max_tokens_field: str = "max_tokens"
    call_ids: CallIds = CallIds()
    prompt_cache_s: float = 0.0
    has_cache_marks: bool = False
    is_private: bool = False
    first_byte_s: float | None = None
    drops: tuple[str, ...] = ()
    params: Mapping[str, object] = {}
    price: Price | None = None
    capability: Capability = Capability()

    @cached_property  # read some twenty times a request
    def id(self) -> str:
        """Return `provider/model`, the name users see."""
        return f"{self.provider}/{self.model}"

    @cached_property
    def own_tokens_max(self) -> int | None:
        """Return the bound of an answer that `params` set, None where they set none."""
        stated = (self.params.get(name) for name in _BOUND_PARAMS)
        return max((value for value in stated if isinstance(value, int)), default=None)

    @cached_property
    def own_choices(self) -> int:
        """Return how many answers `params` ask for, 1 where they do not say."""
        sent = self.params.get("n")
        return sent if isinstance(sent, int) else 1


class Filtered(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment left out before the policy, and the need it cannot meet."""

    tier: str
    deployment: str
    need: str
    reason: str


class Tier(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Deployments of like quality and price: the primary, then its fallback chain."""

    name: str
    deployments: tuple[Deployment, ...]
    max_tokens: int | None = None

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Return the deployments' ids, in their order."""
        return tuple(map(attrgetter("id"), self.deployments))

    @cached_property
    def chain_told(self) -> str:
        """Return the ids of all deployments and their parameters as JSON; equal where these are."""
        chain = [(deployment.id, deployment.params) for deployment in self.deployments]
        return msgspec.json.encode(chain, order="sorted").decode()

    @cached_property
    def fits(self) -> "dict[tuple[str, frozenset[Need]], Fit]":
        """Return who can serve what, by dialect and needs: the memo of `core.filters`."""
        return {}


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Who of a tier can serve some needs, whatever the length of a request.

    `tier` has those who can, None for nobody; it is the very tier where all can. `context_tokens`:
    what fits the smallest of their windows, None where none is known.
    """

    tier: Tier | None
    filtered: tuple[Filtered, ...]
    context_tokens: int | None


def middle_tier(tiers: Sequence[Tier]) -> Tier | None:
    """Return the tier between the cheapest and the strongest, None for fewer than three.

    Of an even number the cheaper of the two in the middle: what is compared with it is not made to
    look better than it is.
    """
    return tiers[(len(tiers) - 1) // 2] if len(tiers) > 2 else None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a policy may know besides the request. `tiers` go from cheapest to strongest.

    `others` can be asked for by name but belong to no tier.
    """

    tiers: tuple[Tier, ...]
    default_tier: str
    others: tuple[Deployment, ...] = ()

    def tier(self, name: str) -> Tier:
        """Return the tier called `name`. Raises KeyError when there is none."""
        return self._by_name[name]

    def deployment(self, tier: str, name: str) -> Deployment:
        """Return a deployment of a tier by its id, else of wherever it is. Raises KeyError."""
        found = self._by_place.get((tier, name))
        return self._by_id[name] if found is None else found

    def called(self, name: str) -> tuple[str, ...]:
        """Return the ids of the deployments that go by a name, their own or their model's."""
        return self._by_model.get(name, ())

    # Worked out once: a request costs the same however many deployments there are.

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the tiers' names, cheapest first."""
        return tuple(tier.name for tier in self.tiers)

    @cached_property
    def tiers_only(self) -> "Snapshot":
        """Return it without the others: what a policy chooses from."""
        return Snapshot(tiers=self.tiers, default_tier=self.default_tier)

    @cached_property
    def plans(self) -> "dict[tuple[object, ...], Plan]":
        """Return the memo of `core.plan`."""
        return {}

    @cached_property
    def _by_name(self) -> dict[str, Tier]:
        return {tier.name: tier for tier in reversed(self.tiers)}

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], Deployment]:
        return {(tier.name, it.id): it for tier in self.tiers for it in tier.deployments}

    @cached_property
    def _by_id(self) -> dict[str, Deployment]:
        inner = (deployment for tier in self.tiers for deployment in tier.deployments)
        return {deployment.id: deployment for deployment in (*inner, *self.others)}

    @cached_property
    def _by_model(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        for deployment in self._by_id.values():
            found.setdefault(deployment.id, set()).add(deployment.id)
            found.setdefault(deployment.model, set()).add(deployment.id)
        return {name: tuple(sorted(ids)) for name, ids in found.items()}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment to try. `max_tokens` is sent only where the client set none.

    `is_gated`: a stronger tier waits behind it, so its draft must pass the validators.
    `worst_case_nanousd`: what a budget holds for a try; None without one, and where nobody knows.
    """

    tier: str
    deployment: Deployment
    max_tokens: int | None = None
    is_gated: bool = False
    worst_case_nanousd: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What to try, in order, from the decided tier upwards.

    A failure goes on to the next step, a rejected draft to the first step of the next tier.
    `resting` are deployments left out because they are in cooldown. `is_last_resort`: all of them
    are, and these steps may be tried all the same.
    """

    steps: Sequence[Step]
    resting: tuple[str, ...] = ()
    attempts_max: int = 4
    is_last_resort: bool = False

    @cached_property
    def kinds(self) -> "StepKinds":
        """Return which of the steps may cost the same as others."""
        numbers: dict[tuple[object, ...], int] = {}
        of_steps = tuple(numbers.setdefault(_kind(step), len(numbers)) for step in self.steps)
        first: list[dict[str, Step]] = [{} for _ in numbers]
        for number, step in zip(of_steps, self.steps, strict=True):
            if len(first[number]) < TRIES_MAX:
                first[number].setdefault(step.deployment.id, step)
        examples = tuple(next(iter(steps.values())) for steps in first)
        return StepKinds(of_steps, examples, tuple(map(tuple, first)))


class StepKinds(msgspec.Struct, frozen=True):
    """The kinds of a plan's steps: of one kind are all that may cost the same, whatever is asked.

    So they have the same stated price and the same bounds of input and answer; images apart, which
    models count by their own rules. `of_steps`: the number of each step's kind. For each kind,
    `examples`: its first step; `deployments`: the ids of its first ones, `TRIES_MAX` at most.
    """

    of_steps: tuple[int, ...]
    examples: tuple[Step, ...]
    deployments: tuple[tuple[str, ...], ...]


def _kind(step: Step) -> tuple[object, ...]:
    deployment = step.deployment
    price, capability = deployment.price, deployment.capability
    return (
        price if price is not None and price.is_stated else deployment.id,
        step.max_tokens,
        deployment.own_tokens_max,
        deployment.own_choices,
        capability.max_output_tokens,
        capability.context_tokens,
    )
