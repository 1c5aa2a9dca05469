"""Routing commands: `route` asks, `explain` says why, neither needs a server."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pointsman.asking import Asking, build_request
from pointsman.assembly import build_pipeline
from pointsman.audit.watch import Watch
from pointsman.cache import CacheSettings
from pointsman.commands.conversation_options import (
    At,
    Context,
    Idle,
    SavedUsd,
    move_lines,
    standing_at,
)
from pointsman.commands.terminal import (
    FAILED,
    OK,
    AsJson,
    ConfigPath,
    complain,
    note,
    refuse,
    say,
    say_error,
    say_json,
)
from pointsman.config import Settings, load_settings
from pointsman.core.answer import AnswerBuilder
from pointsman.core.conversation import Standing
from pointsman.core.errors import ConfigError, GatewayError, RequestError
from pointsman.core.events import TextDelta
from pointsman.core.features import extract
from pointsman.core.prices import format_usd
from pointsman.core.types import Answer, Request
from pointsman.explanation import Explanation
from pointsman.ledger import LedgerSettings
from pointsman.ledger.opening import is_there, open_ledger
from pointsman.library import AsyncRouter
from pointsman.policies import Insight
from pointsman.router import Pipeline
from pointsman.stream import AnswerStream

Prompt = Annotated[
    str, Parameter(allow_leading_hyphen=True, help="What to ask; - reads it from standard input.")
]
Model = Annotated[str, Parameter(help="An alias, a tier, or provider/model.")]
System = Annotated[str | None, Parameter(help="A system message.")]


def route(
    prompt: Prompt,
    *,
    model: Model = "auto",
    system: System = None,
    max_tokens: Annotated[int | None, Parameter(help="Bound of the answer, in tokens.")] = None,
    stream: Annotated[bool, Parameter(help="Print the answer as it comes.")] = True,
    cache: Annotated[bool, Parameter(help="Look in the cache, and keep the answer there.")] = True,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Send a prompt to the cheapest tier that will answer it well, and print the answer.

    Example: pointsman route "Convert this list to JSON: name=Alice, age=30, role=dev"
    """
    asking = Asking(model=model, cache="on" if cache else "off")
    if system is not None:
        asking["system"] = system
    if max_tokens is not None:
        asking["max_tokens"] = max_tokens
    try:
        router = AsyncRouter.from_config(config)
        return asyncio.run(_route(router, _read(prompt), asking, stream=stream, json=json))
    except (ConfigError, RequestError) as error:
        return refuse(error, json=json)
    except GatewayError as error:
        if json:
            say_error(error)
        else:
            complain([error.message, *(f"  {a.deployment}: {a.outcome}" for a in error.attempts)])
        return FAILED


def explain(
    prompt: Prompt,
    *,
    model: Model = "auto",
    system: System = None,
    max_tokens: Annotated[int | None, Parameter(help="Bound of the answer, in tokens.")] = None,
    at: At = None,
    context: Context = 0,
    idle: Idle = 10.0,
    saved: SavedUsd = 0.0,
    tools: Annotated[bool, Parameter(help="The request offers the model tools.")] = False,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say where a prompt would go, why, and what would change it. Calls nobody, needs no key.

    Example: pointsman explain "Architect a migration plan for our Django monolith"

    Example, the next turn of a conversation: pointsman explain "Fix the typo" --at power
    --context 60000
    """
    asking = Asking(model=model)
    if system is not None:
        asking["system"] = system
    if max_tokens is not None:
        asking["max_tokens"] = max_tokens
    if tools:
        asking["fields"] = {"tools": [{"type": "function", "function": {"name": "any"}}]}

    def standing(pipeline: Pipeline, request: Request) -> Standing | None:
        if at is None:
            return None
        return standing_at(
            at,
            pipeline.routing.offered(request),
            context=context,
            idle_s=idle,
            saved_usd=saved,
            new_tokens=extract(request).input_tokens,
        )

    try:
        settings = load_settings(config, os.environ, needs_keys=False)
        explanation = asyncio.run(_explain(settings, _read(prompt), asking, standing))
    except GatewayError as error:
        return refuse(error, json=json)
    if json:
        say_json(explanation)
    else:
        say(_told(explanation))
    return OK


_FITTED = "not measured on such requests; assumed from how it did on others"


async def _route(
    router: AsyncRouter, prompt: str, asking: Asking, *, stream: bool, json: bool
) -> int:
    async with router:
        # The command would be over before its audit was.
        router.pipeline.routing = router.pipeline.routing.unaudited()
        if json or not stream:
            answer = await router.route(prompt, **asking)
            if json:
                say_json(_answer_object(answer))
            else:
                say(answer.content)
                note(_footer(answer))
            return OK
        async with router.open(prompt, **asking) as opened:
            answer = await _printed(opened)
        note(_footer(answer))
    return OK


async def _printed(opened: AnswerStream) -> Answer:
    """Print an answer as it comes, and return it whole."""
    builder = AnswerBuilder()
    async for event in opened:
        builder.add(event)
        if isinstance(event, TextDelta):
            sys.stdout.write(event.text)
            sys.stdout.flush()
    sys.stdout.write("\n")
    return opened.answer(builder)


async def _explain(
    settings: Settings,
    prompt: str,
    asking: Asking,
    standing: Callable[[Pipeline, Request], Standing | None],
) -> Explanation:
    """Return the explanation of a pipeline that leaves no file behind.

    What audits have found of this configuration is told, where there is a ledger that says so.
    """
    unkept = msgspec.structs.replace(
        settings, ledger=LedgerSettings(url="sqlite://"), cache=CacheSettings(exact=False)
    )
    async with build_pipeline(unkept, os.environ) as pipeline:
        steps = await _audited_steps(settings.ledger, pipeline.routing.audit.regime)
        pipeline.routing = pipeline.routing.stepped(steps)
        request = build_request(prompt, asking)
        return pipeline.explain(request, standing(pipeline, request))


async def _audited_steps(settings: LedgerSettings, regime: str) -> Mapping[str, int]:
    """Return how often audits have lowered each group's threshold, none where none can say."""
    if not is_there(settings.url):
        return {}
    try:
        ledger = open_ledger(settings.url, durability=settings.durability)
    except GatewayError as error:
        note(f"earlier audits are not considered: {error.message}")
        return {}
    try:
        return Watch(regime, ledger.audits()).steps
    finally:
        await ledger.close()


def _read(prompt: str) -> str:
    """Return the prompt. Raises RequestError where standard input is no text."""
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise RequestError(f"standard input is not {error.encoding} text") from error


def _footer(answer: Answer) -> str:
    cost = format_usd(answer.cost_nanousd)
    usage = answer.usage
    return (
        f"[{answer.tier} · {answer.model} · {usage.input_tokens}+{usage.output_tokens} tokens · "
        f"{cost} · cache {answer.cache} · {answer.reason}]"
    )


def _answer_object(answer: Answer) -> dict[str, object]:
    return {
        "content": answer.content,
        "tier": answer.tier,
        "model": answer.model,
        "finish_reason": answer.finish_reason,
        "usage": answer.usage,
        "cost_usd": answer.cost_usd,
        "is_cached": answer.is_cached,
        "attempts": answer.attempts,
        "policy": answer.policy,
        "reason": answer.reason,
        "request_id": answer.request_id,
    }


def _told(explanation: Explanation) -> str:
    decision = explanation.decision
    lines = [
        f"tier:    {decision.tier or '(none)'}  →  {decision.deployments[0]}",
        f"why:     {decision.reason}  (policy {decision.policy})",
    ]
    lines += [
        f'signal:  "{signal.phrase}" ({signal.kind}) at character {signal.start}'
        for signal in decision.signals
    ]
    lines += [
        f"left out: {entry.deployment} of {entry.tier}: {entry.reason}"
        for entry in decision.filtered
    ]
    if decision.move is not None:
        lines += move_lines(decision.move)
    if explanation.insight is not None:
        lines += _insight_lines(explanation.insight)
    lines += [
        f"cost:    {tier.tier}: {format_usd(tier.input_nanousd)} for the input (estimated), "
        f"at most {format_usd(tier.worst_case_nanousd)} with the answer"
        for tier in explanation.tiers
    ]
    if decision.would_change:
        lines.append(f"change:  {decision.would_change}")
    return "\n".join(lines)


def _insight_lines(insight: Insight) -> Iterator[str]:
    known = f"{insight.familiarity:.0%} of its words are known to the scorer"
    yield f"group:   {insight.group}; {known}"
    yield f"gain:    {insight.relative_gain:.2f} times its group's mean, from a stronger tier"
    for prospect in insight.prospects:
        assumed = ", assumed" if prospect.is_assumed else ""
        yield (
            f"predict: {prospect.tier}: quality {prospect.quality:.2f} ({prospect.loss:.3f} below"
            f" the strongest{assumed}), about {format_usd(prospect.cost_nanousd)} with the answer"
        )
        if prospect.is_assumed:
            yield f"         {prospect.model}: {prospect.note or _FITTED}"
    for what, weight in insight.reasons:
        side = "for a stronger tier" if weight > 0 else "for a cheaper tier"
        yield f"reason:  {what} ({weight:+.3f}, {side})"
    if insight.threshold is not None:
        allowed = f"{insight.threshold:.3f}" if insight.threshold >= 0 else "none"
        yield f"floor:   loss allowed in this group: {allowed} ({insight.certificate})"
