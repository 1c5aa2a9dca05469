"""Over whole sessions, moving about never costs more than staying would have.

What staying would have cost is played in a world of its own, with the same prompt caches: every
turn at the strongest place that any turn so far has needed.
"""

from collections.abc import Sequence

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st
from tests.core.builders import features
from tests.prompt_caches import CacheWorld

from pointsman.core.conversation import Conversation, Standing, advance, weigh
from pointsman.core.prices import Price
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import Deployment, Need, Place, Snapshot, Tier

NAMES = ("fast", "mid", "power")
# Learned shares hold for idle times between two of these bounds, so lifetimes lie on them here.
LIFETIMES_S = st.sampled_from([60.0, 300.0, 3600.0])


class Turn(msgspec.Struct, frozen=True):
    """A user's turn, and the calls of a tool loop in it: each with the input and output it adds."""

    wanted: str
    idle_s: float
    calls: tuple[tuple[int, int], ...]
    has_tools: bool


def prices():
    """Draw prices as providers set them: cached input is no dearer than fresh."""
    rate = st.integers(1, 10_000)

    def made(rates: tuple[int, int, int, int]) -> Price:
        input_rate, discount, written, output = rates
        return Price(
            input_nanousd_per_mtok=input_rate * 1_000_000,
            cached_input_nanousd_per_mtok=input_rate * 1_000_000 * discount // 100,
            cache_write_nanousd_per_mtok=input_rate * 1_000_000 * written // 100,
            output_nanousd_per_mtok=output * 1_000_000,
            version="test",
        )

    return st.tuples(
        rate, st.sampled_from([10, 25, 50, 100]), st.sampled_from([100, 125]), rate
    ).map(made)


@st.composite
def worlds(draw) -> Snapshot:
    """Draw three tiers, cheapest first as a user would have them, or in any order at all."""
    drawn = draw(st.lists(prices(), min_size=3, max_size=3))
    if draw(st.booleans()):
        drawn.sort(key=lambda price: (price.input_nanousd_per_mtok, price.output_nanousd_per_mtok))
    tiers = tuple(
        Tier(
            name=name,
            deployments=(
                Deployment(
                    provider="p",
                    model=name,
                    dialect="openai-chat",
                    base_url="http://upstream.test",
                    price=price,
                    prompt_cache_s=draw(LIFETIMES_S),
                ),
            ),
        )
        for name, price in zip(NAMES, drawn, strict=True)
    )
    return Snapshot(tiers=tiers, default_tier="mid")


TURNS = st.builds(
    Turn,
    wanted=st.sampled_from(NAMES),
    idle_s=st.sampled_from([1.0, 30.0, 200.0, 1000.0, 10_000.0]),
    calls=st.lists(
        st.tuples(st.integers(1, 30_000), st.integers(0, 8192)), min_size=1, max_size=4
    ).map(tuple),
    has_tools=st.booleans(),
)


def play(snapshot: Snapshot, turns: Sequence[Turn]) -> tuple[int, int, int]:
    """Return what routing cost, what staying would have, and how many calls went elsewhere."""
    routed, stayed, caches = CacheWorld(snapshot), CacheWorld(snapshot), PromptCaches()
    conversation: Conversation | None = None
    cost = stay = away = context = 0
    now_s = 0.0
    for turn in turns:
        calls = turn.calls if turn.has_tools else turn.calls[:1]
        for number, (new, output) in enumerate(calls):
            idle_s = turn.idle_s if number == 0 else 1.0
            now_s += idle_s
            standing = None
            place = Place(turn.wanted, f"p/{turn.wanted}")
            if conversation is not None:
                standing = Standing(conversation=conversation, idle_s=idle_s, new_tokens=new)
            if standing is not None and number:
                place = standing.conversation.here  # an open tool loop
            elif standing is not None:
                asked = features(needs=[Need.TOOLS] if turn.has_tools else [])
                move = weigh(place, standing, asked, snapshot.tiers, caches)
                place = place if move is None else move.went
            usage = routed.call(place.tier, context=context, new=new, output=output, now_s=now_s)
            paid = routed.cost_nanousd(place.tier, usage)
            conversation = advance(
                standing, place, usage, paid, at_s=now_s, snapshot=snapshot, caches=caches
            )
            base = conversation.base.tier
            kept = stayed.call(base, context=context, new=new, output=output, now_s=now_s)
            cost, stay = cost + paid, stay + stayed.cost_nanousd(base, kept)
            away += place.tier != base
            context += new + output
    return cost, stay, away


@given(snapshot=worlds(), turns=st.lists(TURNS, min_size=2, max_size=25))
def test_a_session_never_costs_more_than_staying_where_it_was_needed(snapshot, turns):
    cost, stay, away = play(snapshot, turns)
    event("moved away" if away else "stayed")
    assert cost <= stay
