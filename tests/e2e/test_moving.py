"""Conversations that move from one provider to another and back, held by the official SDKs.

Each is begun at A with an image, sealed reasoning and parallel calls, goes to B and comes back.
What is looked at is what each upstream has heard, in the words of its own dialect.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.heard import UNSIGNED, Item, call_ids, heard, seals
from tests.e2e.scripted.script import signature, told
from tests.e2e.scripted.server import KEY as UPSTREAM_KEY
from tests.e2e.scripted.server import Scripted, Seen, scripted
from tests.e2e.talks import KEY, PICTURE, SYSTEM, TALKS, Talk
from tests.server.processes import served


@dataclass(frozen=True)
class Upstream:
    """A tier of one model. Free ones come first, the others are dearer."""

    tier: str
    provider: str
    model: str
    dialect: str
    is_free: bool = False

    def has_heard(self, seen: Seen) -> bool:
        return self.model in (
            seen.body.get("model"),
            seen.path.partition("models/")[2].split(":")[0],
        )


# Two models of each dialect. Mistral's ids of calls are nine letters; Gemini before 3 has none;
# Claude before 4.6 wants its thinking back in a tool loop.
UPSTREAMS = [
    Upstream("free-chat", "acme", "chatty", "openai-chat", is_free=True),
    Upstream("free-responses", "respond", "gpt-5.4-mini", "openai-responses", is_free=True),
    Upstream("free-anthropic", "claude", "claude-haiku-4-5", "anthropic", is_free=True),
    Upstream("free-gemini", "gem", "gemini-3-pro", "gemini", is_free=True),
    Upstream("dear-chat", "mistral", "mistral-large", "openai-chat"),
    Upstream("dear-responses", "respond", "gpt-5.4", "openai-responses"),
    Upstream("dear-anthropic", "claude", "claude-opus-4-6", "anthropic"),
    Upstream("dear-gemini", "gem", "gemini-2.5-pro", "gemini"),
]
FREE, DEAR = UPSTREAMS[:4], UPSTREAMS[4:]
PAIRS = [(a, b) for a in FREE for b in DEAR]
UP, DOWN = "kingfisher", "wren"  # what the policy sends to the strongest and to the cheapest

each_client = pytest.mark.parametrize("client", TALKS)
each_pair = pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda one: one.tier)
streamed_or_not = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    with scripted() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def origin(upstream: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with every tier."""
    with serving(upstream, UPSTREAMS, tmp_path_factory.mktemp("moving")) as origin:
        yield origin


@contextmanager
def serving(upstream: Scripted, tiers: list[Upstream], folder: Path) -> Iterator[str]:
    keys = {"POINTSMAN_API_KEYS": f"me:{KEY}", "SCRIPTED_KEY": UPSTREAM_KEY}
    with served(folder, toml(upstream, tiers), keys) as server:
        yield f"http://{server.address}"
        assert server.stop() == 0
        assert server.errors.count("\n") == 1, server.errors


def toml(upstream: Scripted, tiers: list[Upstream]) -> str:
    lines = [
        "[server]",
        "log_requests = false",
        "[cache]",
        "exact = false",
        "[ledger]",
        'url = "sqlite://"',
    ]
    lines += ["[routing]", 'policy = "signals"', "[routing.signals]"]
    lines += [f'power = ["{UP}"]', f'fast = ["{DOWN}"]', f'default = "{tiers[0].tier}"']
    for provider, dialect in {tier.provider: tier.dialect for tier in tiers}.items():
        lines += [f"[providers.{provider}]", f'dialect = "{dialect}"']
        lines += [f'base_url = "{upstream.base_urls[dialect]}"', 'api_key_env = "SCRIPTED_KEY"']
    for tier in tiers:
        name, rate = f"{tier.provider}/{tier.model}", 0.0 if tier.is_free else 1.0
        lines += ["[[tiers]]", f'name = "{tier.tier}"', f'models = ["{name}"]']
        lines += [f'[prices."{name}"]', f"input = {rate}", f"output = {rate}"]
    return "\n".join(lines)


@dataclass
class Story:
    """A conversation, what was said in it, and what must be heard of it."""

    talk: Talk
    upstream: Scripted
    is_stream: bool = False
    said: list[Item] = field(default_factory=lambda: [("system", "text", SYSTEM)])
    sealed: list[tuple[Upstream, str]] = field(default_factory=list)
    calls: int = 0

    def turn(self, text: str, *, at: Upstream, pin: bool = True, shows: bool = False) -> None:
        """Say something with two calls in it, give their results, and hear the last words."""
        reasoning = f"So that is thought number {len(self.said)} of {at.tier}."
        asks = (f'@call look {{"where": "{text} {place}"}}' for place in "és")
        words = "\n".join((f"{text} @think {reasoning}", *asks))
        self.talk.say(words, shows=shows)
        self.said.append(("user", "text", words))
        self.said += [("user", "image", PICTURE)] if shows else []
        answer, calls = self.ask(at, pin=pin)
        assert answer == ""
        self._seal(at, reasoning, has_calls=True)
        results = dict(zip(calls, (f"rain: {text}", "snow"), strict=True))
        for arguments in calls.values():
            value = json.dumps(json.loads(arguments), sort_keys=True)
            self.said.append(("model", "call", ("look", value)))
        self.talk.give(results)
        for result in results.values():
            self.said.append(("user", "result", (self.calls, result)))
            self.calls += 1
        answer, calls = self.ask(at, pin=pin)
        assert (answer, calls) == (told(" | ".join(results.values())), {})
        self.said.append(("model", "text", answer))
        self._seal(at, reasoning, has_calls=False)

    def ask(self, at: Upstream, *, pin: bool) -> tuple[str, dict[str, str]]:
        """Ask, and look at what was heard."""
        headers = {"x-pointsman-tier": at.tier} if pin else {}
        before = len(self.upstream.book)
        answer = self.talk.ask(headers, is_stream=self.is_stream)
        assert self.upstream.refusals == []
        (seen,) = self.upstream.book[before:]
        assert at.has_heard(seen), (at.tier, seen.path, seen.body.get("model"))
        assert heard(at.dialect, seen.body) == self.said
        self._check_seals(at, seen.body)
        check_ids(at, seen.body)
        if at.model == "claude-haiku-4-5":
            check_thinking(seen.body)
        return answer

    def _seal(self, at: Upstream, reasoning: str, *, has_calls: bool) -> None:
        """Note a seal that is to come back: of a chat client only Gemini's, with its calls."""
        is_chat = isinstance(self.talk, TALKS["openai-chat"])
        if at.dialect != "openai-chat" and not (
            is_chat and (at.dialect != "gemini" or not has_calls)
        ):
            self.sealed.append((at, signature(at.dialect, reasoning)))

    def _check_seals(self, at: Upstream, body: Mapping[str, Any]) -> None:
        found = seals(at.dialect, body)
        if at.model == "gemini-3-pro":
            found = [seal for seal in found if seal != UNSIGNED]
        assert found == [seal for maker, seal in self.sealed if maker == at]


def check_ids(at: Upstream, body: Mapping[str, Any]) -> None:
    made = call_ids(at.dialect, body)
    assert len(set(made)) == len(made)
    if at.provider == "mistral":
        assert all(len(one) == 9 and one.isalnum() for one in made)
    assert all(0 < len(one) <= 64 for one in made)


def check_thinking(body: Mapping[str, Any]) -> None:
    """An older Claude that is told to think must have begun the turn under way by thinking.

    Source: the API's own 400, as quoted in github.com/anomalyco/opencode/issues/3077.
    """
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    turn: list[str] = []
    for message in body["messages"]:
        kinds = (
            ["text"]
            if isinstance(message["content"], str)
            else [block["type"] for block in message["content"]]
        )
        if message["role"] == "assistant":
            turn += kinds
        elif set(kinds) != {"tool_result"}:
            turn = []
    assert not turn or turn[0] in {"thinking", "redacted_thinking"}, turn


@contextmanager
def story(client: str, origin: str, upstream: Scripted, *, is_stream: bool) -> Iterator[Story]:
    upstream.book.clear()
    with closing(TALKS[client](origin)) as talk:
        yield Story(talk, upstream, is_stream)


@each_client
@streamed_or_not
@each_pair
def test_there_and_back_again(client, is_stream, a, b, origin, upstream):
    with story(client, origin, upstream, is_stream=is_stream) as told_here:
        told_here.turn("one", at=a, shows=True)
        told_here.turn("two", at=b)
        told_here.turn("three", at=a, shows=True)
        told_here.turn("four", at=b)
