"""G7: look-ups by one key that are as near as can be to what another key has left behind.

Every value that is kept says whose it is and what it answers, so a hit that says anything else is
a wrong one, whichever two things were mistaken for each other.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from random import Random
from typing import Any

from pointsman.cache.memory import MemoryCache
from pointsman.conversations import Answered, Conversations
from pointsman.core.cache_key import answer_keys
from pointsman.core.errors import IdempotencyInFlight, IdempotencyReused
from pointsman.core.types import Caller, Decision, Deployment, Place, Request, Snapshot, Tier
from pointsman.core.usage import Usage
from pointsman.core.wire import CODECS
from pointsman.ledger.outcomes import Claim, KeptOutcome
from pointsman.ledger.sqlite import SqliteLedger
from soak import Figure
from soak.wordings import look_up_wordings

LOOKUPS = 1_000_000
WORDINGS = 100_000
_AT_ONCE = 64
_CACHE_BYTES = 2 * 1024 * 1024 * 1024
# Names that run into each other where parts are joined, cut, folded or normalised.
TENANTS = (
    "", "a", "aa", "a ", " a", "a\n", "a\x00", "a:b", "a/b", "a|b", "A", "\uff41", "\u0430",
    "\u00e9", "e\u0301", "\u00df", "ss", "\u0130", "i\u0307", "key:a", "tag:a", "all", "\x00",
    "\x00\x00\x00\x00\x00\x00\x00\x01a", "a" * 64, "a" * 65, "none", "null", "0", "00", "a,b",
    "a%20", "a+", "openai-chat", "aopenai-chat", "ab", "a\topenai-chat", "\u200ba", "a\u200b",
    "a\x00openai-chat",
)  # fmt: skip
DIALECTS = ("openai-chat", "openai-responses", "anthropic")


def measure(scale: float = 1.0, *, seed: int = 0) -> list[Figure]:
    """Return how many look-ups found what is another tenant's, or an answer to something else."""
    rng = Random(seed)
    lookups = max(1_000, round(LOOKUPS * scale))
    half, tenth = lookups // 2, lookups // 10
    found = {
        "cache": look_up_answers(half, rng),
        "conversations": look_up_conversations(lookups - half - tenth, rng),
        "idempotency": asyncio.run(look_up_outcomes(tenth, rng)),
    }
    wrong = [one for _, faults in found.values() for one in faults]
    hits = sum(rightful for rightful, _ in found.values())
    told = f"{len(wrong)} of {lookups:,} ({hits:,} rightful hits among them)"
    if wrong:
        told += f"; first: {wrong[0]!r}"
    is_met = not wrong and all(rightful > 0 for rightful, _ in found.values())
    return [
        Figure("G7", f"wrong-tenant hits: {', '.join(found)}", "0", told, is_met),
        _measure_wordings(max(1_000, round(WORDINGS * scale)), rng),
    ]


def _measure_wordings(lookups: int, rng: Random) -> Figure:
    hits, reworded, wrong = look_up_wordings(lookups, rng)
    told = f"{len(wrong)} of {lookups:,} ({hits:,} rightful hits, {reworded:,} of other wordings)"
    if wrong:
        told += f"; first: {wrong[0]!r}"
    what = "hits across tenant, system prompt, parameters, tools, tier, history or meaning"
    return Figure("G7", what, "0", told, not wrong and reworded > 0)


def look_up_answers(lookups: int, rng: Random) -> tuple[int, list[object]]:
    """Return how many look-ups hit, and those that hit what is not theirs."""
    cache = MemoryCache(_CACHE_BYTES, 1e9)
    hits, wrong = 0, list[object]()
    for meaning, tenant, key in itertools.islice(_asked(rng), lookups):
        value = json.dumps([tenant, meaning]).encode()
        found = cache.get(key, now_s=0.0)
        if found is None:
            cache.put(key, value, now_s=0.0)
        elif found == value:
            hits += 1
        else:
            wrong.append((found, value))
    return hits, wrong


def _asked(rng: Random) -> Iterator[tuple[str, str, bytes]]:
    """Yield what is asked, by whom, and the key of its answer."""
    deployment = Deployment(provider="p", model="m", dialect="openai-chat", base_url="http://x")
    snapshot = Snapshot(tiers=(Tier(name="t", deployments=(deployment,)),), default_tier="t")
    decision = Decision(tier="t", reason="", deployments=(deployment.id,))
    while True:
        dialect, tenant = rng.choice(DIALECTS), rng.choice(TENANTS)
        body = _body(dialect, rng)
        meaning = dialect + json.dumps(body, sort_keys=True)
        codec = CODECS[dialect]
        request = codec.decode_request(_written(body, rng), Caller(tenant=tenant))
        key = answer_keys(request, decision, snapshot).exact
        yield meaning, tenant, key


def _body(dialect: str, rng: Random) -> dict[str, Any]:
    """Return a request that differs from many others by a hair, where it differs at all."""
    text = rng.choice(("hi", "hi ", "Hi", "hi\n", "hi\x00", "h\u0131", "hi?", "h", "i"))
    system = rng.choice(("", "a", "hi", "b"))
    user = {"role": "user", "content": text}
    match dialect:
        case "openai-chat":
            opening = [{"role": "system", "content": system}] if system else []
            body: dict[str, Any] = {"messages": [*opening, user]}
        case "openai-responses":
            body = {"input": [user], **({"instructions": system} if system else {})}
        case _:
            body = {"messages": [user], "max_tokens": 8, **({"system": system} if system else {})}
    body["model"] = "auto"
    if rng.random() < 0.5:
        body["temperature"] = rng.choice((0, 0.5, 1))
    return body


def _written(body: dict[str, Any], rng: Random) -> bytes:
    """Return the same JSON in one of the ways in which it can be written."""
    names = list(body)
    rng.shuffle(names)
    indent, is_ascii = rng.choice((None, 1)), rng.random() < 0.5
    text = json.dumps({name: body[name] for name in names}, indent=indent, ensure_ascii=is_ascii)
    return text.encode()


def look_up_conversations(lookups: int, rng: Random) -> tuple[int, list[object]]:
    """Return how many look-ups found a conversation, and those that found another one's."""
    known = Conversations()
    places = {tenant: Place("t", f"p/{number}") for number, tenant in enumerate(TENANTS)}
    tiers = tuple(
        Deployment(provider="p", model=str(number), dialect="openai-chat", base_url="http://x")
        for number in range(len(TENANTS))
    )
    snapshot = Snapshot(tiers=(Tier(name="t", deployments=tiers),), default_tier="t")
    hits, wrong = 0, list[object]()
    for number in range(lookups):
        tenant = rng.choice(TENANTS)
        request = _talk(tenant, rng)
        found = known.standing(request, now_s=float(number))
        if found is not None and found.conversation.base != places[tenant]:
            wrong.append((tenant, found.conversation.base))
        hits += found is not None
        if rng.random() < 0.1:
            answered = Answered(place=places[tenant], usage=Usage(input_tokens=9), cost_nanousd=1)
            known.remember(request, None, answered, now_s=float(number), snapshot=snapshot)
    return hits, wrong


async def look_up_outcomes(lookups: int, rng: Random) -> tuple[int, list[object]]:
    """Return how many Idempotency-Keys brought an outcome back, and those that brought another's.

    Each tenant asks one thing only under each key, so that no key is refused as used for another.
    """
    ledger = SqliteLedger(":memory:")
    outcomes = ledger.outcomes(time.time_ns)
    hits, wrong = 0, list[object]()

    async def ask() -> int:
        tenant, key = rng.choice(TENANTS), rng.choice(TENANTS)
        mine = KeptOutcome(status=200, headers=(), body=json.dumps([tenant, key]).encode())
        try:
            found = await outcomes.claim(tenant, key, mine.body)
        except IdempotencyInFlight:
            return 0
        except IdempotencyReused as error:
            wrong.append((tenant, key, error.message))
            return 0
        if isinstance(found, Claim):
            await outcomes.keep(found, mine)
            return 0
        if found != mine:
            wrong.append((found.body, mine.body))
        return int(found == mine)

    for done in range(0, lookups, _AT_ONCE):
        hits += sum(await asyncio.gather(*(ask() for _ in range(min(_AT_ONCE, lookups - done)))))
    await ledger.close()
    return hits, wrong


def _talk(tenant: str, rng: Random) -> Request:
    said = [rng.choice(("hi", "hi ", "a", "")) for _ in range(rng.randint(1, 3))]
    messages: list[dict[str, str]] = []
    for text in said:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
    body = json.dumps({"model": "auto", "messages": messages[:-1]}).encode()
    session = rng.choice(("", "s", "a", "session"))
    return CODECS["openai-chat"].decode_request(body, Caller(tenant=tenant, session=session))
