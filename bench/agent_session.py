"""Replay a long session of a coding agent, and tell what three ways of routing it cost.

    python -m bench.agent_session [--docs FOLDER]

The production `decide` sees every call of the session as a request of the Messages dialect: the
asks of `agent_session.toml`, tool loops between them, a context that grows to over 100,000 tokens.
Prompt caches are played as providers document them; prices are the catalogue's of today.

- always strongest: every call on the strongest tier.
- naive: each user's turn goes where the policy sends it by itself; a tool loop stays there.
- aware: what the router does, which counts the prompt cache before it moves.

With `--docs` the table goes into FOLDER/conversations.md between its marks, the picture beside it.
"""

import argparse
import json
import random
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeAlias

from matplotlib.figure import Figure
from tests.prompt_caches import CacheWorld

from pointsman.config import Settings, TierSettings
from pointsman.config.settings import SignalSettings
from pointsman.core.conversation import Conversation, Standing, advance
from pointsman.core.decision import Policy, Target, decide
from pointsman.core.features import extract
from pointsman.core.prices import format_usd
from pointsman.core.prompt_cache import PromptCaches
from pointsman.core.types import Caller, Features, Place, Snapshot
from pointsman.core.wire import CODECS
from pointsman.deployments import price_book, resolve_tiers
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy

HERE = Path(__file__).parent
BEGIN, END = "<!-- agent session: begin -->", "<!-- agent session: end -->"
TIERS = {
    "Anthropic alone": (
        "anthropic/claude-haiku-4-5",
        "anthropic/claude-sonnet-4-6",
        "anthropic/claude-opus-4-6",
    ),
    "OpenAI alone": ("openai/gpt-5.4-nano", "openai/gpt-5.4-mini", "openai/gpt-5.4"),
    "mixed": ("gemini/gemini-2.5-flash-lite", "openai/gpt-5.4-mini", "anthropic/claude-opus-4-6"),
}
POLICIES = ("learned", "signals")
# What each call cost, nano-USD, and its tier, by session, tiers, policy and way.
Played: TypeAlias = dict[tuple[str, str, str, str], list[tuple[int, str]]]
WAYS = ("always strongest", "naive", "aware")


@dataclass(frozen=True)
class Call:
    """One call of the session: the facts that routing has, and its tokens, as an upstream counts.

    `is_loop`: it brings a tool's result. `idle_s`: since the one before.
    """

    features: Features
    new: int
    output: int
    idle_s: float
    is_loop: bool


def sessions() -> dict[str, list[Call]]:
    """Return the calls of each session, by its name, drawn with its own seed."""
    shape = tomllib.loads((HERE / "agent_session.toml").read_text())
    asks = [turn["ask"] for turn in shape["turns"]]
    return {one["name"]: _session(one, asks) for one in shape["sessions"]}


def _session(shape: dict[str, Any], asks: list[str]) -> list[Call]:
    rng = random.Random(shape["seed"])
    if shape["turns"] > len(asks):
        asks = [rng.choice(asks) for _ in range(shape["turns"])]
    loops = _loop_lengths(shape["calls"], len(asks), rng)
    calls: list[Call] = []
    said: list[dict[str, object]] = []
    for ask, length in zip(asks, loops, strict=True):
        said.append({"role": "user", "content": ask})
        for number in range(length):
            is_loop = number > 0
            # Most tool results are short, a file that is read now and then is long.
            new = int(rng.lognormvariate(5.6, 1.1)) if is_loop else len(ask) // 4
            if not calls:
                new += shape["prefix_tokens"]
            idle_s = rng.uniform(2, 20) if is_loop else rng.choice([20, 60, 120, 240, 900, 2400])
            output = int(rng.lognormvariate(5.0, 0.8))
            calls.append(Call(_features(said), new, output, idle_s, is_loop))
            made = f"toolu_{len(calls)}"
            said.append({"role": "assistant", "content": [_use(made)]})
            if number + 1 < length:
                said.append({"role": "user", "content": [_result(made)]})
            else:
                said[-1] = {"role": "assistant", "content": "Done."}
    return calls


def replay(
    calls: list[Call], way: str, policy: Policy, snapshot: Snapshot
) -> Iterator[tuple[int, str]]:
    """Yield what each call costs, in nano-USD, and its tier."""
    world, caches = CacheWorld(snapshot), PromptCaches()
    conversation: Conversation | None = None
    context, now_s, tier = 0, 0.0, ""
    for call in calls:
        now_s += call.idle_s
        standing = None
        if conversation is not None:
            standing = Standing(
                conversation=conversation,
                idle_s=call.idle_s,
                new_tokens=call.new,
                is_open=call.is_loop,
            )
        known = standing if way == "aware" or call.is_loop else None
        if way == "always strongest":
            tier = snapshot.names[-1]
        else:
            decision = decide(
                call.features, Target(), snapshot, policy, standing=known, caches=caches
            )
            tier = decision.tier
        usage = world.call(tier, context=context, new=call.new, output=call.output, now_s=now_s)
        cost = world.cost_nanousd(tier, usage)
        place = Place(tier, snapshot.tier(tier).deployments[0].id)
        conversation = advance(
            standing, place, usage, cost, at_s=now_s, snapshot=snapshot, caches=caches
        )
        context += call.new + call.output
        yield cost, tier


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--docs", type=Path, help="write table and picture into this folder")
    args = parser.parse_args()
    drawn = sessions()
    played = {
        (name, tiers, policy, way): list(
            replay(calls, way, build_policy(policy, _settings()), _snapshot(TIERS[tiers]))
        )
        for name, calls in drawn.items()
        for tiers in TIERS
        for policy in POLICIES
        for way in WAYS
    }
    table = "\n".join(_table(drawn, played))
    print(table)
    if args.docs:
        page = args.docs / "conversations.md"
        head, _, rest = page.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        page.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")
        _draw(drawn, played, args.docs / "agent-session.svg")


def _table(drawn: dict[str, list[Call]], played: Played) -> Iterator[str]:
    yield "| session | tiers | policy | always strongest | naive | aware | moves: naive, aware |"
    yield "|---|---|---|---|---|---|---|"
    for name in drawn:
        for tiers in TIERS:
            for policy in POLICIES:
                ways = [played[name, tiers, policy, way] for way in WAYS]
                costs = [sum(cost for cost, _ in way) for way in ways]
                shown = [f"{format_usd(cost)} ({cost / costs[0]:.0%})" for cost in costs]
                moves = ", ".join(str(_moves(way)) for way in ways[1:])
                yield f"| {name} | {tiers} | {policy} | {' | '.join(shown)} | {moves} |"
    yield ""
    for name, calls in drawn.items():
        tokens = sum(call.new + call.output for call in calls)
        turns = sum(not call.is_loop for call in calls)
        size = f"a context of {tokens:,} tokens at the end"
        yield f"{name}: {len(calls)} calls in {turns} turns, {size}."
    yield "Moves: changes of the tier, all of them at a turn's border."


def _moves(way: list[tuple[int, str]]) -> int:
    tiers = [tier for _, tier in way]
    return sum(a != b for a, b in pairwise(tiers))


def _draw(names: Iterable[str], played: Played, path: Path) -> None:
    names = list(names)
    figure = Figure(figsize=(11, 3.1 * len(names) * len(POLICIES)), layout="constrained")
    figure.suptitle("What a session with a coding agent costs as it goes on, by way of routing")
    rows = [(name, policy) for name in names for policy in POLICIES]
    grid = figure.subplots(len(rows), len(TIERS), squeeze=False)
    colours = dict(zip(WAYS, ("#999999", "#c4623a", "#2f6f9f"), strict=True))
    for row, (name, policy) in enumerate(rows):
        for column, tiers in enumerate(TIERS):
            axes = grid[row][column]
            for way in WAYS:
                costs = [cost / 1e9 for cost, _ in played[name, tiers, policy, way]]
                style = "--" if way == "naive" else "-"
                axes.plot(
                    list(accumulate(costs)), style, label=way, color=colours[way], linewidth=2
                )
            axes.set_title(f"{name}\n{tiers}, {policy}", fontsize=10)
            axes.set_ylim(bottom=0)
            axes.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axes.set_ylabel("USD so far")
            if row == len(rows) - 1:
                axes.set_xlabel("calls")
    grid[0][0].legend(frameon=False)
    figure.savefig(path)


def _snapshot(models: tuple[str, ...]) -> Snapshot:
    names = ("fast", "mid", "power")
    settings = Settings(
        tiers=tuple(TierSettings(name, (model,)) for name, model in zip(names, models, strict=True))
    )
    tiers = resolve_tiers(settings, prices=price_book(settings), at=datetime.now(UTC))
    return Snapshot(tiers=tiers, default_tier="mid")


def _settings() -> PolicySettings:
    return PolicySettings(signals=SignalSettings())


def _features(said: list[dict[str, object]]) -> Features:
    body = {
        "model": "auto",
        "max_tokens": 8192,
        "system": "You are a coding agent.",
        "tools": [
            {"name": "run", "description": "Run a command.", "input_schema": {"type": "object"}}
        ],
        "messages": said,
    }
    request = CODECS["anthropic"].decode_request(json.dumps(body).encode(), Caller())
    return extract(request)


def _use(made: str) -> dict[str, object]:
    return {"type": "tool_use", "id": made, "name": "run", "input": {}}


def _result(made: str) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": made, "content": "…"}


def _loop_lengths(calls: int, turns: int, rng: random.Random) -> list[int]:
    """Return how many calls each turn takes, so that they are `calls` together."""
    weights = [rng.lognormvariate(0, 0.9) for _ in range(turns)]
    left = calls - turns
    lengths = [1 + int(left * weight / sum(weights)) for weight in weights]
    lengths[lengths.index(max(lengths))] += calls - sum(lengths)
    return lengths


if __name__ == "__main__":
    main()
