"""Over whole sessions, moving about never costs more than never going down would have.

A conversation's base moves up when a turn needs more. Never going down has as many forms as there
were bases: to begin on the first one, and go up whenever that was needed; or to have been on a
later one from the beginning, and go up from there. Routing costs no more than the dearest of these,
the last of which is to have been on the strongest base all along. Each is played in a world of its
own, with the same prompt caches.
"""

from collections.abc import Sequence

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st
from tests.core.builders import features
from tests.prompt_caches import CacheWorld

from pointsman.core.conversation import Conversation, Standing, advance, weigh
from pointsman.core.prices import Price
from pointsman.core.prompt_cache import PromptCaches, as_asked
from pointsman.core.types import Capability, Deployment, Need, Place, Snapshot, Tier

NAMES = ("fast", "mid", "power")
WINDOW_TOKENS = 200_000
# Learned shares hold for idle times between two of these bounds, so lifetimes lie on them here.
LIFETIMES_S = st.sampled_from([60.0, 300.0, 3600.0])


class Turn(msgspec.Struct, frozen=True):
    """A user's turn, and the calls of a tool loop in it.

    Each call: the input and output that it adds, and the seconds since the call before.
    """

    wanted: str
    idle_s: float
    calls: tuple[tuple[int, int, float], ...]
    has_tools: bool


class Called(msgspec.Struct, frozen=True):
    """A call as it was made: its tier, the base then, and its tokens."""

    tier: str
    base: str
    context: int
    new: int
    output: int
    now_s: float


def prices():
    """Draw prices as providers set them: cached input is no dearer than fresh."""
    rate = st.integers(1, 10_000)

    def made(rates: tuple[int, int, int, int]) -> Price:
        input_rate, discount, written, output = rates
        return Price(
            input_nanousd_per_mtok=input_rate * 1_000_000,
            cached_input_nanousd_per_mtok=input_rate * 1_000_000 * discount // 100,
            cache_write_nanousd_per_mtok=input_rate * 1_000_000 * written // 100,
            long_cache_write_nanousd_per_mtok=input_rate * 2_000_000 if written > 100 else None,
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
                    capability=Capability(context_tokens=WINDOW_TOKENS),
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
        st.tuples(
            st.integers(1, 30_000), st.integers(0, 8192), st.sampled_from([1.0, 90.0, 900.0])
        ),
        min_size=1,
        max_size=6,
    ).map(tuple),
    has_tools=st.booleans(),
)


def play(
    snapshot: Snapshot, turns: Sequence[Turn], *, has_long_marks: bool, retention_s: float
) -> tuple[int, int, int]:
    """Return what routing cost, what never going down would have, and the calls below the base.

    Every request of the session asks its prefix to be kept alike, and every model heeds it.
    """
    asked_tiers = as_asked(snapshot.tiers, is_hour=has_long_marks, retention_s=retention_s)
    as_kept = msgspec.structs.replace(snapshot, tiers=tuple(asked_tiers))
    world, caches = CacheWorld(as_kept), PromptCaches()
    conversation: Conversation | None = None
    cost = context = 0
    now_s = 0.0
    calls: list[Called] = []
    for turn in turns:
        made = turn.calls if turn.has_tools else turn.calls[:1]
        for number, (new, output, pause_s) in enumerate(made):
            if context + new + output > WINDOW_TOKENS:
                break
            idle_s = turn.idle_s if number == 0 else pause_s
            now_s += idle_s
            standing = None
            place = Place(turn.wanted, f"p/{turn.wanted}")
            if conversation is not None:
                standing = Standing(
                    conversation=conversation,
                    idle_s=idle_s,
                    new_tokens=new,
                    has_long_marks=has_long_marks,
                    retention_s=retention_s,
                )
            if standing is not None and number:
                place = standing.conversation.here  # an open tool loop
            elif standing is not None:
                asked = features(needs=[Need.TOOLS] if turn.has_tools else [])
                move = weigh(place, standing, asked, snapshot.tiers, caches)
                place = place if move is None else move.went
            usage = world.call(place.tier, context=context, new=new, output=output, now_s=now_s)
            paid = world.cost_nanousd(place.tier, usage)
            conversation = advance(
                standing, place, usage, paid, at_s=now_s, snapshot=snapshot, caches=caches
            )
            cost += paid
            calls.append(Called(place.tier, conversation.base.tier, context, new, output, now_s))
            context += new + output
    bases = list(dict.fromkeys(call.base for call in calls))
    dearest = max(never_down(as_kept, calls, base) for base in bases)
    return cost, dearest, sum(call.tier != call.base for call in calls)


def never_down(snapshot: Snapshot, calls: Sequence[Called], base: str) -> int:
    """Return what the calls cost on `base` from the beginning, and on stronger ones once needed."""
    world, cost = CacheWorld(snapshot), 0
    for call in calls:
        tier = max(base, call.base, key=snapshot.names.index)
        usage = world.call(
            tier, context=call.context, new=call.new, output=call.output, now_s=call.now_s
        )
        cost += world.cost_nanousd(tier, usage)
    return cost


@given(
    snapshot=worlds(),
    turns=st.lists(TURNS, min_size=2, max_size=25),
    has_long_marks=st.booleans(),
    retention_s=st.sampled_from([0.0, 0.0, 1800.0, 86_400.0]),
)
def test_a_session_never_costs_more_than_never_going_down(
    snapshot, turns, has_long_marks, retention_s
):
    cost, dearest, below = play(
        snapshot, turns, has_long_marks=has_long_marks, retention_s=retention_s
    )
    event("went down" if below else "stayed")
    assert cost <= dearest
