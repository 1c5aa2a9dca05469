"""Bodies that come again: what is kept of them changes no decision, and stays within its bounds."""

import json
from dataclasses import replace
from random import Random

import msgspec
import pytest
from tests.core.builders import CHAT, features, snapshot, tier
from tests.pipeline.rig import Rig, rig

from pointsman.conversations import said_in
from pointsman.core.errors import GatewayError, RequestError
from pointsman.core.features import extract
from pointsman.core.types import Caller, Decision, Features, Request, Snapshot
from pointsman.core.wire import CODECS
from pointsman.policies import PolicySettings
from pointsman.policies.learned import Learned
from pointsman.policies.registry import BUILT_IN, build_policy
from pointsman.repeats import (
    ANSWER_BYTES_MAX,
    BODY_BYTES_MAX,
    BYTES_MAX,
    COUNT_MAX,
    Remembered,
    Repeat,
    Repeats,
)

SCRIPT = {
    name: [f"This is what {name} has to say of it, at some length."]
    for name in ("weak", "weak-2", "mid", "strong", "strong-2")
}
TEXTS = (
    "Say hello.",
    "Please do a security audit of this code.",
    "Prove that there are infinitely many primes.",
    "Rename the variable x to count.",
)
ANTHROPIC, GEMINI = CODECS["anthropic"], CODECS["gemini"]


def chat_body(text: str = "Say hello.", **more: object) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "auto", "messages": messages, **more}).encode()


def a_body(rng: Random) -> bytes:
    more: dict[str, object] = {
        "model": rng.choice(("auto", "auto", "weak", "auto:mid", "p/strong"))
    }
    if rng.random() < 0.2:
        more["max_tokens"] = rng.choice((10, 1000.0))
    if rng.random() < 0.2:
        more["stream"] = True
    if rng.random() < 0.3:
        more["messages"] = [
            {"role": "user", "content": "Say hello."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": rng.choice(TEXTS)},
        ]
    return chat_body(rng.choice(TEXTS), **more)


def a_caller(rng: Random) -> Caller:
    return Caller(
        tenant=rng.choice(("", "a", "b")),
        tags=rng.choice(((), (), (("route", "checkout"),))),
        session=rng.choice(("", "", "s")),
        tier=rng.choice(("", "", "", "strong")),
        cache=rng.choice(("on", "on", "on", "off", "refresh")),
    )


async def told(r: Rig, request: Request) -> tuple[Decision, tuple[object, ...]]:
    """Return the decision, and what else a client and the ledger's reader get to know of it."""
    async with r.pipeline.open(request) as stream:
        answer = await stream.collect()
        rows = [(row.intent, row.settlement) for row in r.rows(request.caller.request_id)]
        return stream.decision, (answer, stream.dropped, rows)


@pytest.mark.parametrize("policy", [*(name for name in BUILT_IN if name != "fixed"), "fixed:mid"])
async def test_what_is_kept_of_a_body_changes_nothing_that_anybody_sees(tmp_path, policy):
    (tmp_path / "plain").mkdir()
    (tmp_path / "keeping").mkdir()
    rng, kept = Random(7), 0
    asks = [(a_body(rng), a_caller(rng)) for _ in range(30)] * 3
    async with (
        rig(tmp_path / "plain", SCRIPT, policy=policy) as plain,
        rig(tmp_path / "keeping", SCRIPT, policy=policy) as keeping,
    ):
        for number, (body, asker) in enumerate(asks):
            caller = msgspec.structs.replace(asker, request_id=f"r{number}")
            decoded = CHAT.decode_request(body, caller)
            read = keeping.pipeline.read(CHAT, body, caller)
            assert read == decoded
            repeat = keeping.pipeline._decider.repeats.of(read)
            if repeat is not None:
                assert (repeat.features, repeat.said) == (extract(decoded), said_in(decoded))
                kept += 1
            assert await told(keeping, read) == await told(plain, decoded)
            plain.clock.now_s += 30.0
            keeping.clock.now_s += 30.0
    assert kept > 30


async def test_a_reload_forgets_what_was_decided(tmp_path):
    body = chat_body("Please do a security audit of this code.", model="auto")
    async with rig(tmp_path, SCRIPT, policy="signals") as r:
        pipeline = r.pipeline

        async def tiers_of(*names: str) -> set[str]:
            callers = [Caller(cache="off", request_id=name) for name in names]
            asked = [await told(r, pipeline.read(CHAT, body, caller)) for caller in callers]
            return {decision.tier for decision, _ in asked}

        assert await tiers_of("1", "2", "3") == {"strong"}
        fixed = build_policy("fixed:weak", PolicySettings())
        pipeline.swap(replace(pipeline.routing, policy=fixed))
        assert pipeline._decider.repeats.count == 0
        assert await tiers_of("4", "5", "6") == {"weak"}


class Moody:
    """A third party's policy, which is not as pure as it should be."""

    name = "moody"

    def __init__(self) -> None:
        self.asked = 0

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        self.asked += 1
        return Decision(tier=snapshot.names[self.asked % 2], reason="as it pleases")


class MoodyHeir(Learned):
    """It calls itself one of ours, and is not."""

    asked = 0

    def decide(self, features: Features, snapshot: Snapshot) -> Decision:
        self.asked += 1
        return super().decide(features, snapshot)


@pytest.mark.parametrize("policy", [Moody(), MoodyHeir(PolicySettings())], ids=["own", "heir"])
async def test_a_policy_that_is_not_ours_is_asked_each_time(tmp_path, policy):
    async with rig(tmp_path, SCRIPT) as r:
        r.pipeline.swap(replace(r.pipeline.routing, policy=policy))
        for number in range(5):
            caller = Caller(cache="off", request_id=str(number))
            request = r.pipeline.read(CHAT, chat_body(), caller)
            await told(r, request)
            assert policy.asked == number + 1


def test_one_of_ours_is_asked_again_for_other_features_or_tiers():
    policy = MoodyHeir(PolicySettings())
    remembered = Remembered(policy)
    asks, worlds = (features("Say hello."), features("Say it.")), (snapshot(tier("a")),) * 1
    others = snapshot(tier("a"), tier("b"))
    for ask, world in ((asks[0], worlds[0]), (asks[1], worlds[0]), (asks[1], others)):
        before = policy.asked
        expected = Learned(PolicySettings()).decide(ask, world)
        assert [remembered.decide(ask, world) for _ in range(3)] == [expected] * 3
        assert policy.asked == before + 1


def test_a_body_is_kept_when_it_comes_again_and_given_to_its_own_asker_alone():
    repeats, body = Repeats(), chat_body()
    assert repeats.of(repeats.read(CHAT, body, Caller(tenant="a"))) is None
    second = repeats.read(CHAT, body, Caller(tenant="a", request_id="2"))
    repeat = repeats.of(second)
    assert repeat is not None and second.caller.request_id == "2"
    third = repeats.read(CHAT, body, Caller(tenant="a", request_id="3"))
    assert repeats.of(third) is repeat and third.caller.request_id == "3"
    assert repeats.of(second) is None  # another has come since
    assert repeats.of(msgspec.structs.replace(third, model="p/strong")) is None
    assert repeats.of(repeats.read(CHAT, body, Caller(tenant="b"))) is None
    assert repeats.count == 1


def test_what_a_codec_reads_of_the_caller_tells_bodies_apart():
    repeats = Repeats()
    gemini = json.dumps({"contents": [{"parts": [{"text": "Say hello."}]}]}).encode()
    for _ in range(3):
        for model in ("one", "two"):
            for is_stream in (False, True):
                caller = Caller(model=model, is_stream=is_stream)
                request = repeats.read(GEMINI, gemini, caller)
                assert (request.model, request.is_stream) == (model, is_stream)
    sampled = chat_body(max_tokens=10, temperature=0.5)
    newest = Caller(headers=(("anthropic-version", "2026-10-21"),))
    for _ in range(3):
        assert repeats.read(ANTHROPIC, sampled, Caller()).dialect == "anthropic"
        assert repeats.read(CHAT, sampled, Caller()).dialect == "openai-chat"
        with pytest.raises(RequestError):
            repeats.read(ANTHROPIC, sampled, newest)


def test_a_body_that_cannot_be_read_is_refused_each_time():
    repeats = Repeats()
    for _ in range(4):
        with pytest.raises(GatewayError):
            repeats.read(CHAT, b'{"model": "auto"}', Caller())
    assert repeats.count == 0


@pytest.mark.parametrize("size", [100, BODY_BYTES_MAX - 200], ids=["small", "large"])
def test_the_bounds_hold_and_the_latest_stay(size):
    repeats = Repeats()
    for number in range(2 * COUNT_MAX):
        body = chat_body(f"{number} ".ljust(size, "x"))
        repeats.read(CHAT, body, Caller())
        assert repeats.of(repeats.read(CHAT, body, Caller())) is not None
        assert repeats.count <= COUNT_MAX and repeats.bytes_reckoned <= BYTES_MAX
    assert repeats.count > COUNT_MAX // 4
    repeats.clear()
    assert (repeats.count, repeats.bytes_reckoned) == (0, 0)


def test_a_large_body_is_not_kept():
    repeats, body = Repeats(), chat_body("x" * BODY_BYTES_MAX)
    for _ in range(3):
        assert repeats.of(repeats.read(CHAT, body, Caller())) is None
    assert repeats.count == 0


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
async def test_a_hit_is_written_once_unless_it_is_large(tmp_path, is_large):
    text = " ".join(map(str, range(ANSWER_BYTES_MAX if is_large else 9)))
    kept: list[Repeat] = []
    async with rig(tmp_path, {"weak": [text]}) as r:
        for number in range(4):
            caller = Caller(request_id=str(number))
            request = r.pipeline.read(CHAT, chat_body(model="weak"), caller)
            repeat = r.pipeline._decider.repeats.of(request)
            answer = await r.ask(request)
            assert (answer.content, answer.cache) == (text, "hit" if number else "miss")
            kept += [] if repeat is None else [repeat]
    assert len(kept) == 3 and len(set(map(id, kept))) == 1
    assert (kept[0].answer is None) == is_large


async def test_a_changed_answer_in_the_cache_is_the_one_that_is_given(tmp_path):
    texts = ["Hello there, and good morning.", "Good evening to all of you."]
    async with rig(tmp_path, {"weak": texts}) as r:

        async def ask(caller: Caller) -> str:
            caller = msgspec.structs.replace(caller, request_id=str(len(r.rows())))
            request = r.pipeline.read(CHAT, chat_body(model="weak"), caller)
            return (await r.ask(request)).content

        assert [await ask(Caller()) for _ in range(3)] == texts[:1] * 3
        assert await ask(Caller(cache="refresh")) == texts[1]
        assert [await ask(Caller()) for _ in range(3)] == texts[1:] * 3
