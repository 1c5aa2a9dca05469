"""Conversations: recognised by what was said, or by their session; they move only where it pays."""

import random
from collections.abc import Sequence

import msgspec
import pytest
from tests.pipeline.rig import Rig, asking, rig

from pointsman.config.settings import PriceSettings
from pointsman.conversations import Answered, Conversations
from pointsman.core.types import Place, Request, Snapshot, ToolCall
from pointsman.core.usage import Usage
from pointsman.providers.fake import Scripted

FINE = "Hello there, and good morning to you."
HARD, EASY = "Design the architecture of it: architect a service.", "what is it"
LONG = Usage(input_tokens=60_000, output_tokens=50)
SHORT = Usage(input_tokens=300, output_tokens=50)
PRICES = {
    "p/weak": PriceSettings(input=1, output=2, cached_input=0.1),
    "p/weak-2": PriceSettings(input=1, output=2, cached_input=0.1),
    "p/mid": PriceSettings(input=2, output=4, cached_input=0.2),
    "p/strong": PriceSettings(input=10, output=20, cached_input=1),
    "p/strong-2": PriceSettings(input=10, output=20, cached_input=1),
}


def says(usage: Usage) -> Scripted:
    return Scripted(pieces=(FINE,), usage=usage)


def script(usage: Usage) -> dict[str, Sequence[Scripted | str]]:
    names = ("weak", "weak-2", "mid", "strong", "strong-2")
    return {name: [says(usage)] for name in names}


def talk(*users: str, **more) -> Request:
    """Return the request that brings the last of these turns, each before it answered."""
    turns: list[dict[str, str]] = []
    for text in users[:-1]:
        turns += [{"role": "user", "content": text}, {"role": "assistant", "content": FINE}]
    return asking([*turns, {"role": "user", "content": users[-1]}], **more)  # type: ignore[arg-type]


async def went(r: Rig, *users: str, **more) -> str:
    return (await r.ask(talk(*users, **more))).tier


async def test_a_long_talk_stays_and_says_why_and_a_new_one_does_not(tmp_path):
    async with rig(tmp_path, script(LONG), prices=PRICES) as r:
        assert await went(r, HARD) == "strong"
        answer = await r.ask(talk(HARD, EASY))
        assert answer.tier == "strong"
        assert "60050 tokens" in answer.reason and "estimated" in answer.reason
        assert await went(r, EASY) == "weak"


async def test_a_short_talk_moves_at_once(tmp_path):
    async with rig(tmp_path, script(SHORT), prices=PRICES) as r:
        assert await went(r, HARD) == "strong"
        assert await went(r, HARD, EASY) == "weak"
        assert await went(r, HARD, EASY, HARD) == "strong"


async def test_another_tenant_s_talk_is_another(tmp_path):
    async with rig(tmp_path, script(LONG), prices=PRICES) as r:
        assert await went(r, HARD, tenant="a") == "strong"
        assert await went(r, HARD, EASY, tenant="b") == "weak"
        assert await went(r, HARD, EASY, tenant="a") == "strong"


async def test_the_decision_alone_tells_the_sum(tmp_path):
    async with rig(tmp_path, script(LONG), prices=PRICES) as r:
        await went(r, HARD)
        move = r.pipeline.decide(talk(HARD, EASY)).move
        assert move is not None
        assert (move.base.tier, move.wanted.tier, move.went.tier) == ("strong", "weak", "strong")
        assert move.context_tokens == 60_050
        assert r.pipeline.decide(talk(EASY)).move is None


async def test_what_the_client_pins_is_not_weighed(tmp_path):
    async with rig(tmp_path, script(LONG), prices=PRICES) as r:
        await went(r, HARD)
        assert await went(r, HARD, EASY, tier="weak") == "weak"
        assert await went(r, HARD, EASY, model="mid") == "mid"


async def test_a_hit_in_our_cache_is_a_turn_that_the_upstream_has_not_heard(tmp_path):
    async with rig(tmp_path, script(LONG), prices=PRICES) as r:
        await r.ask(talk(HARD, cache="on"))
        assert (await r.ask(talk(HARD, cache="on"))).is_cached
        assert await went(r, HARD, EASY) == "strong"


# What is remembered of signatures, and how sessions are found.

STRONG = Place("strong", "p/strong")
SNAPSHOT = Snapshot(tiers=(), default_tier="")


def sealed(request: Request, *signatures: str) -> Request:
    return msgspec.structs.replace(request, signatures=signatures)


def remembered(request: Request, **answered) -> Conversations:
    conversations = Conversations()
    left = Answered(place=STRONG, usage=LONG, cost_nanousd=1, **answered)
    conversations.remember(request, None, left, now_s=0.0, snapshot=SNAPSHOT)
    return conversations


def test_who_sealed_what_is_known_and_nobody_is_named_for_the_rest():
    conversations = remembered(talk(HARD), signatures=("ours",))
    request = sealed(talk(HARD, EASY), "ours", "theirs")
    assert conversations.history(request).makers == {"ours": "p/strong"}
    named = conversations.history(request, otherwise="p/mid").makers
    assert named == {"ours": "p/strong", "theirs": "p/mid"}


def test_a_call_s_seal_is_kept_for_clients_that_have_no_place_for_it():
    call = ToolCall(id="call_1", name="look", arguments="{}", signature="seal")
    conversations = remembered(talk(HARD), calls=(call,), signatures=("seal",))
    turns = [
        {"role": "user", "content": HARD},
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]  # fmt: skip
    history = conversations.history(asking(turns))  # type: ignore[arg-type]
    assert history.call_signatures == {"call_1": "seal"}
    assert history.makers == {"seal": "p/strong"}
    other = conversations.history(asking(turns, tenant="other"))  # type: ignore[arg-type]
    assert not other.call_signatures


def test_a_session_is_found_again_though_what_was_said_has_been_cut():
    conversations = remembered(talk(HARD, EASY, session="s"))
    cut = talk("Summary of before: nothing. Go on.", session="s")
    found = conversations.standing(cut, now_s=5.0)
    assert found is not None
    assert (found.conversation.here, found.conversation.context_tokens) == (STRONG, 0)
    for other in (
        {"session": "t"},
        {"session": "s", "tenant": "b"},
        {"session": "s", "system": "x"},
    ):
        asked = talk("Go on.", **other)
        assert conversations.standing(asked, now_s=5.0) is None


def place(number: int) -> Place:
    return Place("strong", f"p/{number}")


def answered(number: int) -> Answered:
    return Answered(place=place(number), usage=SHORT, cost_nanousd=number)


def here(conversations: Conversations, request: Request) -> Place | None:
    found = conversations.standing(request, now_s=1.0)
    return None if found is None else found.conversation.here


@pytest.mark.parametrize("is_named", [False, True], ids=["by what was said", "by their sessions"])
def test_a_thousand_interleaved_talks_never_get_each_others_standing(is_named):
    """Each says a word of its own first; where sessions are named, all say the same."""

    def words(number: int, turns: int) -> list[str]:
        first = "Hello" if is_named else f"Topic {number}"
        return [first, *(f"Go on {turn}" for turn in range(1, turns))]

    def request(number: int, turns: int) -> Request:
        session = f"s{number}" if is_named else ""
        return talk(*words(number, turns), session=session, tenant=f"t{number % 3}")

    conversations, count = Conversations(), 1_000
    order = random.Random(4)
    for turns in (1, 2, 3, 4):
        for number in order.sample(range(count), count):
            asked = request(number, turns)
            standing = conversations.standing(asked, now_s=float(turns))
            assert (standing is None) is (turns == 1)
            if standing is not None:
                assert standing.conversation.here == place(number)
                assert standing.conversation.paid_nanousd == number * (turns - 1)
            conversations.remember(
                asked, standing, answered(number), now_s=float(turns), snapshot=SNAPSHOT
            )


def test_talks_of_the_same_words_are_one_until_they_differ():
    conversations = Conversations()
    for number, users in enumerate([("Hello", "Tea"), ("Hello", "Coffee")]):
        for said in (users[:1], users):
            conversations.remember(
                talk(*said), None, answered(number), now_s=0.0, snapshot=SNAPSHOT
            )
    assert here(conversations, talk("Hello", "Water")) == place(1)
    assert here(conversations, talk("Hello", "Tea", "More")) == place(0)
    assert here(conversations, talk("Hello", "Coffee", "More")) == place(1)
    assert here(conversations, talk("Hello", "Tea", "More", session="s")) is None


def test_sealed_reasoning_that_ends_the_talk_is_open():
    conversations = remembered(talk(HARD))
    turns = [{"role": "user", "content": HARD}, {"role": "assistant", "content": "So"}]
    open_ended = sealed(asking(turns), "seal")  # type: ignore[arg-type]
    found = conversations.standing(open_ended, now_s=1.0)
    assert found is not None and found.is_open
    plain = conversations.standing(asking(turns), now_s=1.0)  # type: ignore[arg-type]
    assert plain is not None and not plain.is_open
