"""Conversation: where one is, and whether its next turn may go elsewhere. Pure; money is nano-USD.

A model that has answered before holds what was said in its prompt cache, so a cheaper model has to
beat the cached price, for the whole context, and the conversation may need the way back. The rule:

- *base* is the strongest place that a turn of the conversation has needed. A turn that needs a
  stronger one moves the base; that is a matter of quality and not weighed.
- A turn goes to a cheaper place than the base only if, whatever the answer's length, what earlier
  moves have saved, plus what this turn saves, still pays for reading the whole context anew at the
  base. So the way back is always paid for, and the sum over the conversation never is more than
  staying at the base would have cost (tests/properties/test_conversations.py).
- Tools may bring any amount of text before the next border, at prices that nobody has agreed to:
  there a cheaper place must also ask for fresh input no more than the base asks for cached input.

What staying costs is reckoned low (the largest share of the context that the base's cache has been
seen to hold), what moving costs high (the smallest share; a cache that is to be written anew).
"""

from collections.abc import Sequence

import msgspec

from pointsman.core.prices import Price, cost_nanousd, dearest_rates
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import Deployment, Features, Move, Need, Place, Snapshot, Tier
from pointsman.core.usage import Usage

# The longest answer to reckon with where neither the client nor the tier bounds it: more than that
# is rare, and the next turn's sum starts from what the upstream has really counted.
ANSWER_TOKENS_MAX = 8192


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation after its latest answer, which came from `here`.

    `base`: the strongest place that it has needed. `saved_nanousd`: what staying there would have
    cost, less what was paid. `context_tokens`: what the latest call has read and written, in the
    upstream's own count; 0 where nothing of it can be in a prompt cache. `at_s`: when that was.
    """

    here: Place
    base: Place
    saved_nanousd: int = 0
    context_tokens: int = 0
    at_s: float = 0.0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as a new request finds it, `idle_s` after its latest answer.

    `new_tokens`: about what the request adds to the context. `is_open`: a tool's result or sealed
    reasoning is under way, which belongs to the deployment that began it.
    """

    conversation: Conversation
    idle_s: float
    new_tokens: int
    is_open: bool = False


def weigh(
    wanted: Place,
    standing: Standing,
    features: Features,
    tiers: Sequence[Tier],
    caches: PromptCaches,
) -> Move | None:
    """Return where a turn goes that the policy would send to `wanted`, and the sum behind it.

    None: there is nothing to weigh, and `wanted` holds. That is where the base is gone from
    `tiers` (cheapest first), a stronger tier is wanted, no context is left to lose, or another
    model of the base's own tier, whose cache holds nothing.
    """
    conversation = standing.conversation
    base, names = conversation.base, [tier.name for tier in tiers]
    if base.tier not in names or wanted.tier not in names or not conversation.context_tokens:
        return None
    if names.index(wanted.tier) > names.index(base.tier) or _find(tiers, base) is None:
        return None
    weighing = _Weighing(standing, features, tiers, caches)
    if wanted.tier == base.tier:
        if not weighing.is_cached:
            return None
        wanted = base
    went = wanted
    if not weighing.pays(wanted):
        here = conversation.here
        went = here if here != wanted and weighing.pays(here) else base
    return weighing.move(wanted, went)


def advance(
    standing: Standing | None,
    place: Place,
    usage: Usage,
    cost_nanousd: int | None,
    *,
    at_s: float,
    snapshot: Snapshot,
    caches: PromptCaches,
) -> Conversation:
    """Return the conversation after a turn that `place` has answered, at this cost in all.

    `standing` None: it begins here. `caches` learns from the cached tokens that came back.
    """
    context = usage.input_tokens + usage.output_tokens
    if standing is None:
        return Conversation(here=place, base=place, context_tokens=context, at_s=at_s)
    before = standing.conversation
    if before.here == place and not usage.is_estimated:
        caches.note(
            place.deployment,
            standing.idle_s,
            prefix_tokens=before.context_tokens,
            cached=usage.cached_input_tokens,
        )
    base, saved = before.base, before.saved_nanousd
    if before.context_tokens and (place == base or _is_weaker(place, base, snapshot.names)):
        if cost_nanousd is not None and (place, before.here) != (base, base):
            stay = _stay_nanousd(_find(snapshot.tiers, base), standing, usage, caches)
            saved += (cost_nanousd if stay is None else stay) - cost_nanousd
    else:  # a stronger place was needed, or nothing is left of what was said before
        base = place
    return Conversation(
        here=place, base=base, saved_nanousd=saved, context_tokens=context, at_s=at_s
    )


class _Weighing:
    """The sum at one border, for whichever place is asked about."""

    def __init__(
        self,
        standing: Standing,
        features: Features,
        tiers: Sequence[Tier],
        caches: PromptCaches,
    ) -> None:
        self._standing = standing
        self._conversation = standing.conversation
        self._features = features
        self._tiers = tiers
        self._caches = caches
        base = _find(tiers, self._conversation.base)
        assert base is not None, "weigh looked"
        self._base = base
        self._context = self._conversation.context_tokens
        self._share = caches.most(base, standing.idle_s, self._context)

    @property
    def is_cached(self) -> bool:
        """Return whether the base's cache may hold anything of what was said."""
        return self._share > 0

    def pays(self, place: Place) -> bool:
        """Return whether the turn may go to a place without ever costing more than staying."""
        if place == self._conversation.base:
            return True
        deployment = _find(self._tiers, place)
        if deployment is None or deployment.price is None or self._base.price is None:
            return False
        if Need.TOOLS in self._features.needs and not self._is_dearer_throughout(deployment.price):
            return False
        return all(self._left(place, tokens) >= 0 for tokens in (0, self._answer_max(place)))

    def move(self, wanted: Place, went: Place) -> Move:
        """Return the sum as it is told."""
        new = self._standing.new_tokens
        return Move(
            base=self._conversation.base,
            wanted=wanted,
            went=went,
            context_tokens=self._context,
            cached_tokens=round(self._share * self._context),
            new_tokens=new,
            stay_nanousd=_low(self._base, self._context, new, 0, self._share),
            move_nanousd=self._going(wanted, 0),
            return_nanousd=self._return(self._context + new),
            saved_nanousd=self._conversation.saved_nanousd,
        )

    def _left(self, place: Place, answer_tokens: int) -> int:
        """Return what is left, nano-USD, after this turn at a place and the way back from it."""
        new = self._standing.new_tokens
        stay = _low(self._base, self._context, new, answer_tokens, self._share)
        going = self._going(place, answer_tokens)
        back = self._return(self._context + new + answer_tokens)
        if stay is None or going is None or back is None:
            return -1
        return self._conversation.saved_nanousd + stay - going - back

    def _going(self, place: Place, answer_tokens: int) -> int | None:
        """Return what the turn costs at a place at most, None where its price is not known."""
        deployment = _find(self._tiers, place)
        if deployment is None or deployment.price is None:
            return None
        share = 0.0
        if place == self._conversation.here:
            share = self._caches.least(deployment, self._standing.idle_s, self._context)
        cached = int(share * self._context)
        total = self._context + self._standing.new_tokens
        price = deployment.price
        is_written = price.cache_write_nanousd_per_mtok > price.input_nanousd_per_mtok
        usage = Usage(
            input_tokens=total,
            cached_input_tokens=cached,
            cache_write_tokens=total - cached if is_written else 0,
            output_tokens=answer_tokens,
        )
        return cost_nanousd(usage, price)

    def _return(self, context_tokens: int) -> int | None:
        """Return what reading the whole context anew at the base costs more than from its cache."""
        share = self._caches.most(self._base, 0.0, context_tokens)
        cached = _low(self._base, context_tokens, 0, 0, share)
        # All of it new: at the price of a write where such a cache has to be written.
        anew = _low(self._base, 0, context_tokens, 0, share)
        return None if anew is None or cached is None else max(0, anew - cached)

    def _is_dearer_throughout(self, price: Price) -> bool:
        """Return whether the base costs no less than `price` for any tokens that may still come."""
        base = self._base.price
        assert base is not None, "pays looked"
        share = self._caches.most(self._base, 0.0, self._context)
        new = _new_rate(base, share)
        cached = min(base.cached_input_nanousd_per_mtok, new) if share else new
        input_max, output_max = dearest_rates(price)
        answers = base.output_nanousd_per_mtok - output_max
        return (
            input_max <= cached
            and answers >= new - cached
            and price.per_request_nanousd <= base.per_request_nanousd
        )

    def _answer_max(self, place: Place) -> int:
        tier = next(tier for tier in self._tiers if tier.name == place.tier)
        return self._features.max_tokens or tier.max_tokens or ANSWER_TOKENS_MAX


def _stay_nanousd(
    base: Deployment | None, standing: Standing, usage: Usage, caches: PromptCaches
) -> int | None:
    """Return what a turn with this usage would have cost at the base, None where nobody knows."""
    if base is None:
        return None
    context = min(standing.conversation.context_tokens, usage.input_tokens)
    share = caches.most(base, standing.idle_s, context)
    return _low(base, context, usage.input_tokens - context, usage.output_tokens, share)


def _low(
    deployment: Deployment, context_tokens: int, new_tokens: int, answer_tokens: int, share: float
) -> int | None:
    """Return what a turn costs where `share` of the context is cached; None without a price.

    What is new is written to the cache, at that price, only where a cache is seen to be kept.
    """
    price = deployment.price
    if price is None:
        return None
    total, cached = context_tokens + new_tokens, round(share * context_tokens)
    is_written = _new_rate(price, share) == price.cache_write_nanousd_per_mtok
    usage = Usage(
        input_tokens=total,
        cached_input_tokens=cached,
        cache_write_tokens=total - cached if is_written else 0,
        output_tokens=answer_tokens,
    )
    return cost_nanousd(usage, price)


def _new_rate(price: Price, share: float) -> int:
    """Return the rate of new input, nano-USD per million tokens."""
    return price.cache_write_nanousd_per_mtok if share else price.input_nanousd_per_mtok


def _is_weaker(place: Place, base: Place, names: Sequence[str]) -> bool:
    if place.tier not in names or base.tier not in names:
        return False
    return names.index(place.tier) < names.index(base.tier)


def _find(tiers: Sequence[Tier], place: Place) -> Deployment | None:
    """Return the deployment at a place, None where that is gone."""
    for tier in tiers:
        if tier.name == place.tier:
            return next((d for d in tier.deployments if d.id == place.deployment), None)
    return None
