"""Look-ups of other wordings: requests that are as near as can be to what has been answered.

An entry says what it answers: all of its request, with what the last turn means. A hit that says
anything else is a wrong one, whichever tier found it.
"""

import itertools
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from pointsman.cache import CacheSettings
from pointsman.cache.entry import Entry
from pointsman.cache.memory import MemoryCache
from pointsman.clock import SystemClock
from pointsman.core.cache_key import AnswerKeys, answer_keys
from pointsman.core.types import Caller, Decision, Deployment, Snapshot, Tier
from pointsman.core.wire import CODECS
from pointsman.kept_answers import KeptAnswers

_USUAL = 0.8
_CACHE_BYTES = 1024 * 1024 * 1024
_TENANTS = ("", "a", "A", "a ", "\uff41", "b", "a:b")
_SYSTEMS = ("", "Be brief.", "be brief", "Be brief!", "Please be brief.", "Be long.")
_HISTORIES = (
    (),
    (("user", "Hi."), ("assistant", "Hello!")),
    (("user", "hi"), ("assistant", "Hello!")),
)
# Wordings of one meaning stand together; meanings beside each other differ by a hair.
_WORDINGS: dict[str, tuple[str, ...]] = {
    "France": (
        "What is the capital of France?",
        "what is the capital of France",
        "Please, what is the capital of France?",
        "  What is the  capital of France ?  ",
        "What is the capital of France? Thanks!",
        "Tell me what the capital of France is",
    ),
    "Germany": ("What is the capital of Germany?", "what is the capital of Germany"),
    "on": ("Turn on the light.", "please turn on the light", "Turn on the light"),
    "off": ("Turn off the light.", "please turn off the light"),
    "river": ("Where does the Rhine end?", "Tell me where the Rhine ends"),
    "source": ("Where does the Rhine begin?", "Tell me where the Rhine begins"),
    "to": ("Convert 10 USD to EUR", "convert 10 USD to EUR."),
    "from": ("Convert 10 EUR to USD", "convert 10 EUR to USD."),
    "100": ("Convert 100 USD to EUR",),
    "10²": ("What is 10²?", "what is 10²"),
    "102": ("What is 102?", "what is 102"),
    "-l": ("What does ls -l do?", "what does ls -l do"),
    "-L": ("What does ls -L do?", "what does ls -L do"),
    "said Yes": ('Spell "Yes".', 'spell "Yes"'),
    "said yes": ('Spell "yes".', 'spell "yes"'),
    "please": ('How do I say "please" in French?', 'how do I say "please" in French'),
    "nothing": ('How do I say "" in French?',),
}
_DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")


def look_up_wordings(lookups: int, rng: Random) -> tuple[int, int, list[object]]:
    """Return how many look-ups hit, how many of them another wording, and those that are wrong."""
    clock = SystemClock()
    kept = KeptAnswers.of(
        MemoryCache(_CACHE_BYTES, 1e9), CacheSettings(canonical_keys=("*",)), clock
    )
    hits, reworded, wrong = 0, 0, list[object]()
    for meaning, caller, keys in itertools.islice(_asked(rng), lookups):
        hit = kept.find(keys, caller)
        if hit is None:
            kept.put(keys, _entry(caller.tenant, meaning, clock.wall_ns() / 1e9))
        elif hit.kept is not None and hit.kept.entry.reason == meaning:
            hits += 1
            reworded += hit.tier != "exact"
        else:
            wrong.append((hit.tier, hit.kept and hit.kept.entry.reason, meaning))
    return hits, reworded, wrong


def _entry(tenant: str, meaning: str, created_at_s: float) -> Entry:
    return Entry(
        events=(),
        tenant=tenant,
        tier="t",
        deployment="p/m",
        policy="p",
        reason=meaning,
        created_at_s=created_at_s,
        request_id="r",
    )


def _asked(rng: Random) -> Iterator[tuple[str, Caller, AnswerKeys]]:
    """Yield what is asked and means the same, by whom, and its keys."""
    deployments = [
        Deployment(provider="p", model=name, dialect="openai-chat", base_url="http://x")
        for name in ("m", "n")
    ]
    tiers = tuple(Tier(name=one.model, deployments=(one,)) for one in deployments)
    snapshot = Snapshot(tiers=tiers, default_tier="m")
    decisions = [
        Decision(tier=tier.name, reason="", deployments=tier.ids, policy=policy)
        for tier in tiers
        for policy in ("p", "pinned")
    ]
    while True:
        dialect, tenant = rng.choice(_DIALECTS), rng.choice(_TENANTS)
        number = rng.randrange(len(decisions))
        told, wordings = rng.choice(tuple(_WORDINGS.items()))
        context = _context(rng, dialect)
        caller = Caller(tenant=tenant, model="auto" if dialect == "gemini" else "")
        body = _body(dialect, rng.choice(wordings), **context)
        request = CODECS[dialect].decode_request(msgspec.json.encode(body), caller)
        meaning = json.dumps([dialect, tenant, number, context, told], sort_keys=True)
        yield meaning, caller, answer_keys(request, decisions[number], snapshot)


def _context(rng: Random, dialect: str) -> dict[str, Any]:
    """Return all else that a request may say: mostly what the others say too."""

    def one_of(*usual_first: Any) -> Any:
        return usual_first[0] if rng.random() < _USUAL else rng.choice(usual_first)

    return {
        "system": one_of(*_SYSTEMS),
        "history": one_of(*_HISTORIES),
        "temperature": one_of(None, 0, 0.1),
        "tool": one_of("", "look", "Look"),
        "max_tokens": one_of(8, 9),
        "is_parted": dialect != "gemini" and one_of(False, True),
    }


def _body(
    dialect: str,
    asked: str,
    *,
    system: str,
    history: tuple[tuple[str, str], ...],
    temperature: float | None,
    tool: str,
    max_tokens: int,
    is_parted: bool,
) -> dict[str, Any]:
    turns: list[tuple[str, Any]] = [*history, ("user", asked)]
    if dialect == "gemini":
        config = {"maxOutputTokens": max_tokens, "temperature": temperature}
        contents = [
            {"role": "user" if role == "user" else "model", "parts": [{"text": said}]}
            for role, said in turns
        ]
        body: dict[str, Any] = {"contents": contents, "generationConfig": config}
        tools: Any = [{"functionDeclarations": [{"name": tool}]}]
        return (
            body
            | _said("tools", tools if tool else "")
            | _said("systemInstruction", {"parts": [{"text": system}]} if system else "")
        )
    if is_parted:
        kind = "input_text" if dialect == "openai-responses" else "text"
        turns[-1] = ("user", [{"type": kind, "text": asked}])
    messages = [{"role": role, "content": said} for role, said in turns]
    body = {"model": "auto", **({} if temperature is None else {"temperature": temperature})}
    match dialect:
        case "openai-chat":
            opening = [{"role": "system", "content": system}] if system else []
            function = {"type": "function", "function": {"name": tool}}
            body |= {"messages": [*opening, *messages], "max_tokens": max_tokens}
        case "openai-responses":
            function = {"type": "function", "name": tool}
            body |= {"input": messages, "max_output_tokens": max_tokens + 16}
            body |= _said("instructions", system)
        case _:
            function = {"name": tool, "input_schema": {"type": "object"}}
            body |= {"messages": messages, "max_tokens": max_tokens} | _said("system", system)
    return body | _said("tools", [function] if tool else "")


def _said(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}
