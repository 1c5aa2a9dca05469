"""Tool loops: a tool's result goes back to the deployment that asked for it."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import pytest
from tests.pipeline.rig import Script, StoppingProvider, asking, passes, rig

from pointsman.core import errors
from pointsman.core.events import Finished, Started, TextDelta, ToolCallDelta
from pointsman.core.types import Request
from pointsman.providers.fake import Scripted

TOOLS = {"tools": [{"type": "function", "function": {"name": "look"}}]}
ULTRA = "Think step by step, in detail."  # nothing fires on it
Replies: TypeAlias = Sequence[Scripted | str]

FINE = "Hello there, and good morning."


def calling(*ids: str) -> Scripted:
    opening = Started(id="1", created=0, model="m", dialect="", is_stream=True)
    calls = (
        ToolCallDelta(index=i, id=name, name="look", arguments="{}") for i, name in enumerate(ids)
    )
    return Scripted(events=(opening, *calls, Finished("tool_calls")))


def ask(text: str = ULTRA, **more) -> Request:
    return asking(text, fields=TOOLS, **more)


def hand_back(*ids: str, text: str = ULTRA, tenant: str = "", **more) -> Request:
    function = {"name": "look", "arguments": "{}"}
    calls = [{"id": name, "type": "function", "function": function} for name in ids]
    turns = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": name, "content": "42"} for name in ids),
    ]
    return asking(turns, tenant=tenant, fields=TOOLS, **more)  # type: ignore[arg-type]


def two(weak: Replies, strong: Replies) -> dict[str, Replies]:
    return {"weak": weak, "weak-2": [FINE], "mid": [FINE], "strong": strong, "strong-2": [FINE]}


@pytest.mark.parametrize("ids", [("call_1",), ("call_1", "call_2")], ids=["one", "two"])
async def test_a_result_goes_back_to_who_asked_though_the_policy_would_not(tmp_path, ids):
    async with rig(tmp_path, two([FINE], [calling(*ids), FINE])) as r:
        first = await r.ask(ask(tier="strong"))
        assert [call.id for call in first.tool_calls] == list(ids)
        answer = await r.ask(hand_back(*ids))
        assert (answer.model, answer.policy) == ("p/strong", "pinned")
        assert r.fake.calls == ["p/strong", "p/strong"]


async def test_a_fallback_that_asked_gets_the_result(tmp_path):
    script = two([Scripted(error=errors.UpstreamConnect("refused")), FINE], [FINE])
    async with rig(tmp_path, script | {"weak-2": [calling("call_1"), FINE]}) as r:
        await r.ask(ask())
        assert (await r.ask(hand_back("call_1"))).model == "p/weak-2"


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "other"},
        {"text": "Another talk altogether, please."},
        {"ids": ("call_2",)},
        {"ids": ("call_1", "call_2")},
    ],
    ids=str,
)
async def test_other_conversations_with_such_ids_are_not_mixed_up(tmp_path, other):
    async with rig(tmp_path, two([FINE], [calling("call_1"), FINE])) as r:
        await r.ask(ask(tier="strong"))
        ids = other.pop("ids", ("call_1",))
        assert (await r.ask(hand_back(*ids, **other))).model == "p/weak"


async def test_a_later_talk_that_begins_alike_is_not_mixed_up(tmp_path):
    async with rig(tmp_path, two([FINE], [calling("call_0"), FINE])) as r:
        await r.ask(ask("Hi", tier="strong"))
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        later = hand_back("call_0", text="And now?")
        body = msgspec.json.decode(later.body)
        body["messages"] = turns + body["messages"]
        answer = await r.ask(asking(body["messages"], fields=TOOLS))
        assert answer.model == "p/weak"


async def test_a_loop_goes_on_over_several_calls(tmp_path):
    async with rig(tmp_path, two([FINE], [calling("call_1"), calling("call_2"), FINE])) as r:
        await r.ask(ask(tier="strong"))
        first = hand_back("call_1")
        await r.ask(first)
        turns = msgspec.json.decode(first.body)["messages"]
        turns += msgspec.json.decode(hand_back("call_2").body)["messages"][1:]
        assert (await r.ask(asking(turns, fields=TOOLS))).model == "p/strong"


async def test_where_that_one_rests_the_next_of_its_tier_goes_on(tmp_path):
    async with rig(tmp_path, two([FINE], [calling("call_1"), FINE])) as r:
        await r.ask(ask(tier="strong"))
        gone = errors.UpstreamAuth("no")
        r.fail("p/strong", gone)
        assert (await r.ask(hand_back("call_1"))).model == "p/strong-2"


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_it_is_known_before_the_client_sees_the_end(tmp_path, cache):
    async with (
        rig(tmp_path, two([FINE], [calling("call_1"), FINE])) as r,
        r.pipeline.open(ask(tier="strong", cache=cache)) as stream,
    ):
        async for event in stream:
            if isinstance(event, Finished):
                assert (await r.ask(hand_back("call_1"))).model == "p/strong"


async def test_a_call_is_known_though_its_first_reader_has_left(tmp_path):
    script: Script = {"strong": [calling("call_1"), FINE], "weak": [FINE]}
    fake = StoppingProvider(script, stops_at=2)
    async with rig(tmp_path, fake) as r:
        leader = asyncio.create_task(r.ask(ask(tier="strong", cache="on")))
        await fake.reached.wait()
        follower = asyncio.create_task(r.ask(ask(tier="strong", cache="on")))
        await passes(5)
        leader.cancel()
        await asyncio.wait({leader})
        fake.go_on.set()
        assert (await follower).tool_calls
        assert (await r.ask(hand_back("call_1"))).model == "p/strong"


async def test_text_beside_a_call_changes_nothing(tmp_path):
    script = calling("call_1")
    events = (script.events[0], TextDelta("Let me look."), *script.events[1:])
    async with rig(tmp_path, two([FINE], [Scripted(events=events), FINE])) as r:
        await r.ask(ask(tier="strong"))
        assert (await r.ask(hand_back("call_1"))).model == "p/strong"
