"""Conversation: where one is, and whether its next turn may go elsewhere. Pure; money is nano-USD.

A model that has answered before holds what was said in its prompt cache, so a cheaper model has to
beat the cached price, for the whole context, and the conversation may need the way back. The rule:

- *base* is the strongest place that a turn of the conversation has needed. A turn that needs a
  stronger one moves the base; that is a matter of quality and not weighed.
- *saved* is what staying at the base from the beginning would have cost, less what was paid.
- A turn goes to a cheaper place than the base only if, whatever the answer's length, what is saved
  still pays for reading the whole context anew at the base after it. So the way back is always
  paid for, and a conversation never costs more than the dearest way of never going down again: to
  have begun on the first base, or on a later one (tests/properties/test_conversations.py).
- A tool loop may bring as much text as the window holds before the next border. Where tools are
  offered, what that could cost more than it saves is set aside as well: nothing, where fresh input
  is no dearer than the base's cached input; and where it is, the cheaper place's own prompt cache
  must be documented to last as long as the base's.

What staying costs is reckoned low (the largest share of the context that the base's cache has been
seen to hold), what moving costs high (the smallest share; a cache that is to be written anew).
"""

from collections.abc import Mapping, Sequence

import msgspec

from pointsman.core.prices import Price, cost_nanousd, dearest_cached, dearest_rates
from pointsman.core.prompt_cache import PREFIX_TOKENS_MIN, PromptCaches, as_asked, kept_s
from pointsman.core.types import Deployment, Features, Move, Need, Place, Snapshot, Tier
from pointsman.core.usage import Usage

# The longest answer to reckon with where neither the client nor the tier bounds it: more than that
# is rare, and the next turn's sum starts from what the upstream has really counted.
ANSWER_TOKENS_MAX = 8192

_TOKENS_PER_MTOK = 1_000_000


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation after its latest answer, which came from `here`.

    `base`: the strongest place that it has needed. `paid_nanousd`: what it has cost, None where
    that is not known. `stay_nanousd`: by tier, what its first model would have cost, had all of
    the conversation been there; a tier without a price is missing. `context_tokens`: what the
    latest call has read and written, in the upstream's own count; 0 where nothing of it can be in
    a prompt cache. `at_s`: when that was.
    """

    here: Place
    base: Place
    paid_nanousd: int | None = 0
    stay_nanousd: Mapping[str, int] = {}
    context_tokens: int = 0
    at_s: float = 0.0

    @property
    def saved_nanousd(self) -> int | None:
        """Return what staying at the base would have cost more, below 0 for less."""
        stay = self.stay_nanousd.get(self.base.tier)
        return None if stay is None or self.paid_nanousd is None else stay - self.paid_nanousd


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as a new request finds it, `idle_s` after its latest answer.

    `new_tokens`: about what the request adds to the context. `is_open`: a tool's result or sealed
    reasoning is under way, which belongs to the deployment that began it. `has_long_marks` and
    `retention_s`: see `Request`.
    """

    conversation: Conversation
    idle_s: float
    new_tokens: int
    is_open: bool = False
    has_long_marks: bool = False
    retention_s: float = 0.0


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
    if names.index(wanted.tier) > names.index(base.tier):
        return None
    tiers = as_asked(tiers, is_hour=standing.has_long_marks, retention_s=standing.retention_s)
    deployment = _find(tiers, base)
    if deployment is None:
        return None
    weighing = _Weighing(standing, deployment, features, tiers, caches)
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
    if standing is None:
        return _begun(place, usage, cost_nanousd, at_s=at_s, snapshot=snapshot, caches=caches)
    before, idle_s = standing.conversation, standing.idle_s
    context, has_stayed = before.context_tokens, before.here == place
    if has_stayed and not usage.is_estimated:
        caches.note(
            place.deployment, idle_s, prefix_tokens=context, cached=usage.cached_input_tokens
        )
    stays: dict[str, int] = {}
    is_hour, retention_s = standing.has_long_marks, standing.retention_s
    for tier in as_asked(snapshot.tiers, is_hour=is_hour, retention_s=retention_s):
        if has_stayed and tier.name == place.tier:
            cost = cost_nanousd  # the very same, then: no need to reckon
        else:
            cost = _stay_nanousd(tier.deployments[0], context, idle_s, usage, caches)
        earlier = before.stay_nanousd.get(tier.name)
        if cost is not None and earlier is not None:
            stays[tier.name] = earlier + cost
    paid = before.paid_nanousd
    is_weaker = context and _is_weaker(place, before.base, snapshot.names)
    return Conversation(
        here=place,
        # A stronger place was needed, or nothing is left of what was said before.
        base=before.base if is_weaker else place,
        paid_nanousd=None if paid is None or cost_nanousd is None else paid + cost_nanousd,
        stay_nanousd=stays,
        context_tokens=usage.input_tokens + usage.output_tokens,
        at_s=at_s,
    )


def _begun(
    place: Place,
    usage: Usage,
    paid_nanousd: int | None,
    *,
    at_s: float,
    snapshot: Snapshot,
    caches: PromptCaches,
) -> Conversation:
    """Return the conversation after its first turn."""
    stays: dict[str, int] = {}
    for tier in snapshot.tiers:
        cost = paid_nanousd
        if tier.name != place.tier:
            cost = _stay_nanousd(tier.deployments[0], 0, 0.0, usage, caches)
        if cost is not None:
            stays[tier.name] = cost
    return Conversation(
        here=place,
        base=place,
        paid_nanousd=paid_nanousd,
        stay_nanousd=stays,
        context_tokens=usage.input_tokens + usage.output_tokens,
        at_s=at_s,
    )


class _Weighing:
    """The sum at one border, for whichever place is asked about."""

    def __init__(
        self,
        standing: Standing,
        base: Deployment,
        features: Features,
        tiers: Sequence[Tier],
        caches: PromptCaches,
    ) -> None:
        self._standing = standing
        self._conversation = standing.conversation
        self._features = features
        self._tiers = tiers
        self._caches = caches
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
        aside = self._set_aside(deployment) if Need.TOOLS in self._features.needs else 0
        if aside is None:
            return False
        answers = (0, self._answer_max(place))
        return all(self._left(place, tokens) >= aside for tokens in answers)

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
            stay_nanousd=self._stay(0),
            move_nanousd=self._going(wanted, 0),
            return_nanousd=self._return(self._context + new),
            saved_nanousd=self._conversation.saved_nanousd,
        )

    def _left(self, place: Place, answer_tokens: int) -> int:
        """Return what is left, nano-USD, after this turn at a place and the way back from it."""
        new = self._standing.new_tokens
        saved, stay = self._conversation.saved_nanousd, self._stay(answer_tokens)
        going = self._going(place, answer_tokens)
        back = self._return(self._context + new + answer_tokens)
        if saved is None or stay is None or going is None or back is None:
            return -1
        return saved + stay - going - back

    def _stay(self, answer_tokens: int) -> int | None:
        """Return what the turn costs at the base at least, None where its price is not known."""
        new = self._standing.new_tokens
        is_kept = self._caches.most(self._base, 0.0, self._context + new) > 0
        return _low(self._base, self._context, new, answer_tokens, self._share, is_kept=is_kept)

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
        is_kept = share > 0
        cached = _low(self._base, context_tokens, 0, 0, share, is_kept=is_kept)
        anew = _low(self._base, 0, context_tokens, 0, share, is_kept=is_kept)
        return None if anew is None or cached is None else max(0, anew - cached)

    def _set_aside(self, deployment: Deployment) -> int | None:
        """Return what a tool loop at a deployment may eat up of what is saved; None: no bound.

        What a token of fresh input costs more there than a cached one at the base is lost on the
        way back, which the base would have read from its cache by then.
        """
        base, price = self._base.price, deployment.price
        assert base is not None and price is not None, "pays looked"
        is_kept = self._caches.most(self._base, 0.0, self._context) > 0
        new = _new_rate(base, is_kept=is_kept)
        cached = min(base.cached_input_nanousd_per_mtok, new) if is_kept else new
        input_max, output_max = dearest_rates(price)
        lost = max(
            input_max - cached, (new - cached) - (base.output_nanousd_per_mtok - output_max), 0
        )
        if price.per_request_nanousd > base.per_request_nanousd:
            return None
        if not lost:
            return 0
        window = deployment.capability.context_tokens
        holds = (
            is_kept
            and deployment.prompt_cache_s >= kept_s(self._base)
            and dearest_cached(price) <= cached
            and self._context >= PREFIX_TOKENS_MIN
        )
        if window is None or not holds:
            return None
        return max(0, window - self._context) * lost // _TOKENS_PER_MTOK

    def _answer_max(self, place: Place) -> int:
        tier = next(tier for tier in self._tiers if tier.name == place.tier)
        return self._features.max_tokens or tier.max_tokens or ANSWER_TOKENS_MAX


def _stay_nanousd(
    deployment: Deployment, context: int, idle_s: float, usage: Usage, caches: PromptCaches
) -> int | None:
    """Return what a turn with this usage costs where the context before it may be cached."""
    price = deployment.price
    if price is None:
        return None
    # Where writing to the cache costs what fresh input does, it is no matter whether one is kept.
    is_kept = price.has_write_rate and caches.most(deployment, 0.0, usage.input_tokens) > 0
    if not context and not is_kept:
        plain = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        return cost_nanousd(plain, price)
    context = min(context, usage.input_tokens)
    share = caches.most(deployment, idle_s, context)
    new = usage.input_tokens - context
    return _low(deployment, context, new, usage.output_tokens, share, is_kept=is_kept)


def _low(
    deployment: Deployment,
    context_tokens: int,
    new_tokens: int,
    answer_tokens: int,
    share: float,
    *,
    is_kept: bool,
) -> int | None:
    """Return what a turn costs where `share` of the context is cached; None without a price.

    What is new is written to the cache, at that price, only where one is kept.
    """
    price = deployment.price
    if price is None:
        return None
    total, cached = context_tokens + new_tokens, round(share * context_tokens)
    usage = Usage(
        input_tokens=total,
        cached_input_tokens=cached,
        cache_write_tokens=total - cached if is_kept else 0,
        output_tokens=answer_tokens,
    )
    return cost_nanousd(usage, price)


def _new_rate(price: Price, *, is_kept: bool) -> int:
    """Return the rate of new input, nano-USD per million tokens."""
    return price.cache_write_nanousd_per_mtok if is_kept else price.input_nanousd_per_mtok


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
