"""Conversation options: have `explain` decide for a turn of a conversation that is under way."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from pointsman.core.conversation import Conversation, Standing
from pointsman.core.errors import RequestError
from pointsman.core.prices import format_usd
from pointsman.core.types import Move, Place, Snapshot

At = Annotated[
    str | None, Parameter(help="The tier that a conversation is on; this prompt is its next turn.")
]
Context = Annotated[
    int, Parameter(help="With --at: how many tokens were said in it so far, answers included.")
]
Idle = Annotated[float, Parameter(help="With --at: seconds since its latest answer.")]
SavedUsd = Annotated[
    float, Parameter(help="With --at: what it has saved against being there from the beginning.")
]


def standing_at(
    tier: str, snapshot: Snapshot, *, context: int, idle_s: float, saved_usd: float, new_tokens: int
) -> Standing:
    """Return a conversation on a tier's first model. Raises RequestError for no such tier."""
    if tier not in snapshot.names:
        raise RequestError(f'--at "{tier}": no such tier; there are {", ".join(snapshot.names)}')
    if context < 0 or idle_s < 0:
        raise RequestError("--context and --idle are 0 or more")
    place = Place(tier, snapshot.tier(tier).deployments[0].id)
    stay = dict.fromkeys(snapshot.names, 0) | {tier: round(saved_usd * 1e9)}
    conversation = Conversation(here=place, base=place, stay_nanousd=stay, context_tokens=context)
    return Standing(conversation=conversation, idle_s=idle_s, new_tokens=new_tokens)


def move_lines(move: Move) -> Iterator[str]:
    """Yield the sum behind a turn's place, for a person."""
    base, wanted = move.base, move.wanted
    if wanted == base:
        yield f"talk:    the turn wants {base.tier}, where the conversation has been"
        return
    verb = "stays on" if move.went == base else "goes to"
    yield f"talk:    the turn alone wants {wanted.tier}; the conversation {verb} {move.went.tier}"
    yield (
        f"         {format_usd(move.stay_nanousd)} here for the input: {move.cached_tokens:,} of"
        f" {move.context_tokens:,} tokens cached, {move.new_tokens:,} new"
    )
    yield f"         {format_usd(move.move_nanousd)} on {wanted.deployment}, all of it read anew"
    yield (
        f"         {format_usd(move.return_nanousd)} more to come back to {base.deployment},"
        f" {format_usd(move.saved_nanousd)} saved so far (all estimated)"
    )
