"""docs/dialects.md says what really becomes of each feature between each two dialects.

`python -m tests.docs.test_dialects` writes its tables anew, from the codecs themselves.
"""

import base64
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from tests.core.builders import deployment, step
from tests.core.wire.prompts import HELLO, asking, parts_of

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Deployment, Request
from pointsman.core.wire import CODECS
from pointsman.core.wire.effort import budget_of
from pointsman.core.wire.prompt import (
    CacheMark,
    Call,
    Media,
    Message,
    Part,
    Prompt,
    Reasoning,
    Result,
    Sampling,
    Shape,
    Text,
    Tool,
    ToolChoice,
)
from pointsman.core.wire.translate import encode_request

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
BEGIN = "<!-- Generated from the codecs by tests/docs; do not edit by hand. -->\n"
END = "<!-- End of what is generated. -->\n"

MODELS = {
    "openai-chat": "acme/large",
    "openai-responses": "openai/gpt-5.4",
    "anthropic": "anthropic/claude-sonnet-4-6",
    "gemini": "google/gemini-3-pro",
}
PDF = base64.b64encode(b"%PDF-1.7 and so on").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
SCHEMA = msgspec.json.encode(
    {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
)
PLAIN = asking(max_tokens=4_096)
TOOL = Tool(name="f", description="F", schema=SCHEMA)
IMAGE = Media(kind="image", media_type="image/png", data=PNG)


LOST = "lost in silence"


@dataclass(frozen=True)
class Feature:
    """Something that requests ask for.

    `prompt` has it, and so has the body that each dialect's own writer makes of it. `bodies` are
    fields by hand, where that writer leaves it out or a `Prompt` has no place. `seen` is what must
    be the same on the other side; None: nothing can be.
    """

    name: str
    prompt: Prompt = PLAIN
    seen: Callable[[Prompt], object] | None = None
    bodies: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def say(*parts: Part) -> Prompt:
    return msgspec.structs.replace(PLAIN, messages=(Message("user", parts),))


def ask(**members: object) -> Prompt:
    return msgspec.structs.replace(PLAIN, **members)


def sampling(name: str, value: object) -> Feature:
    prompt = ask(sampling=msgspec.structs.replace(Sampling(), **{name: value}))
    return Feature(name, prompt, lambda p: getattr(p.sampling, name))


def tooled(**members: object) -> Prompt:
    return msgspec.structs.replace(ask(tools=(TOOL,)), **members)


def answered(*parts: Text | Media, is_error: bool = False) -> Prompt:
    call = Message("assistant", (Call(id="call_1", name="f", arguments='{"city":"Bern"}'),))
    result = Result(call_id="call_1", parts=parts, is_error=is_error)
    return tooled(messages=(HELLO, call, Message("user", (result,))))


def medium(prompt: Prompt) -> object:
    found = (part for part in parts_of(prompt) if isinstance(part, Media))
    return [(part.kind, part.url or part.data) for part in found]


def words(prompt: Prompt) -> object:
    return [(m.role, part.text) for m in prompt.messages for part in m.parts
            if isinstance(part, Text)]  # fmt: skip


def offered(prompt: Prompt) -> object:
    return [(tool.name, tool.description, msgspec.json.decode(tool.schema))
            for tool in prompt.tools]  # fmt: skip


def called(prompt: Prompt) -> object:
    calls = [part for part in parts_of(prompt) if isinstance(part, Call)]
    results = [part for part in parts_of(prompt) if isinstance(part, Result)]
    return (
        [(call.name, msgspec.json.decode(call.arguments)) for call in calls],
        [(result.call_id == calls[0].id, result.parts) for result in results],
    )


def failures(prompt: Prompt) -> object:
    return [part.is_error for part in parts_of(prompt) if isinstance(part, Result)]


def marks(prompt: Prompt) -> object:
    texts = (part for part in parts_of(prompt) if isinstance(part, Text))
    return [text.mark is not None for text in texts]


def amount(prompt: Prompt) -> object:
    """Return whether the model is to think; how much, each dialect says on its own scale."""
    reasoning = prompt.reasoning
    return bool(reasoning.effort or reasoning.budget_tokens or reasoning.is_adaptive)


def schema(prompt: Prompt) -> object:
    return prompt.shape and msgspec.json.decode(prompt.shape.schema or b"null")


def user_says(**part: object) -> Mapping[str, object]:
    return {"messages": [{"role": "user", "content": [part]}]}


def responses_say(**part: object) -> Mapping[str, object]:
    return {"input": [{"role": "user", "content": [part]}]}


def gemini_says(**part: object) -> Mapping[str, object]:
    return {"contents": [{"role": "user", "parts": [part]}]}


STORED = Feature("a file that the provider keeps", bodies={
    "openai-chat": user_says(type="file", file={"file_id": "file-1"}),
    "openai-responses": responses_say(type="input_file", file_id="file-1"),
    "anthropic": user_says(type="document", source={"type": "file", "file_id": "file_1"}),
    "gemini": gemini_says(fileData={
        "mimeType": "application/pdf",
        "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
    }),
})  # fmt: skip
MARKED = Feature("a mark for the prompt cache", say(Text(text="Hi", mark=CacheMark())), marks, {
    "openai-chat": user_says(
        type="text", text="Hi", prompt_cache_breakpoint={"mode": "explicit"}
    ),
})  # fmt: skip
FEATURES = (
    Feature("a system prompt", ask(messages=(Message("system", (Text(text="Be brief."),)), HELLO)),
            words),
    Feature("a system message further on", ask(messages=(
        HELLO, Message("assistant", (Text(text="Yes?"),)),
        Message("system", (Text(text="Be brief."),)), HELLO)), words),
    Feature("several texts in a message", say(Text(text="a"), Text(text="b")), words),
    Feature("an image with its data", say(IMAGE), medium),
    Feature("an image by its URL", say(Media(kind="image", url="https://a.test/b.png")), medium),
    Feature("how closely to look at an image",
            say(msgspec.structs.replace(IMAGE, detail="low")),
            lambda p: [part.detail for part in parts_of(p) if isinstance(part, Media)]),
    Feature("a PDF with its data", say(Media(
        kind="file", media_type="application/pdf", data=PDF, name="a.pdf")), medium, {
        "gemini": gemini_says(inlineData={"mimeType": "application/pdf", "data": PDF})}),
    Feature("a PDF by its URL", say(Media(
        kind="file", media_type="application/pdf", url="https://a.test/b.pdf")), medium),
    STORED,
    Feature("sound", say(Media(kind="audio", media_type="audio/wav", data="UklGRgAA")), medium),
    Feature("tools", tooled(), offered),
    Feature("strict arguments of a tool", tooled(tools=(
        msgspec.structs.replace(TOOL, is_strict=True),)), lambda p: [t.is_strict for t in p.tools]),
    Feature("some tool must be called", tooled(tool_choice=ToolChoice(mode="required")),
            lambda p: p.tool_choice.mode),
    Feature("one named tool must be called", tooled(
        tool_choice=ToolChoice(mode="named", name="f")), lambda p: p.tool_choice.name),
    Feature("one call at a time", tooled(
        tool_choice=ToolChoice(mode="auto", is_parallel=False)),
        lambda p: p.tool_choice.is_parallel),
    Feature("a web search that the model may use beside other tools", bodies={
        "openai-responses": {"tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}},
            {"type": "web_search"},
        ]},
        "anthropic": {"tools": [
            {"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ]},
    }),
    Feature("a web search as the only tool", bodies={
        "openai-chat": {"web_search_options": {}},
        "openai-responses": {"tools": [{"type": "web_search"}]},
        "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "gemini": {"tools": [{"googleSearch": {}}]},
    }),
    Feature("a custom tool, which takes free text", seen=offered, bodies={
        "openai-chat": {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
        "openai-responses": {"tools": [{"type": "custom", "name": "c"}]},
    }),
    Feature("calls and their results", answered(Text(text="sunny")),
            called),
    Feature("a tool's failure", answered(Text(text="no"), is_error=True), failures),
    Feature("an image that a tool gave back", answered(Text(text="here"), IMAGE), medium),
    MARKED,
    Feature("a bound on the answer's tokens", ask(max_tokens=99), lambda p: p.max_tokens),
    sampling("temperature", 0.5),
    sampling("top_p", 0.9),
    sampling("top_k", 40),
    sampling("seed", 7),
    sampling("frequency_penalty", 0.5),
    sampling("presence_penalty", 0.5),
    sampling("logit_bias", b'{"5":1}'),
    sampling("stop", ("END",)),
    Feature("several choices", ask(sampling=Sampling(choices=2)), lambda p: p.sampling.choices),
    Feature("log probabilities", ask(sampling=Sampling(logprobs=2)), lambda p: p.sampling.logprobs),
    Feature("a JSON schema of the answer", ask(shape=Shape(schema=SCHEMA)), schema),
    Feature("the schema's name", ask(shape=Shape(schema=SCHEMA, name="city")),
            lambda p: p.shape and p.shape.name),
    Feature("any JSON object as the answer", ask(shape=Shape()), lambda p: p.shape is not None),
    Feature("an effort of reasoning", ask(reasoning=Reasoning(effort="high")), amount),
    Feature("a budget of reasoning", ask(reasoning=Reasoning(budget_tokens=2_048)), amount, {
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2_048}},
        "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2_048}}},
    }),
    Feature("to see the reasoning", ask(reasoning=Reasoning(effort="high", is_shown=True)),
            lambda p: bool(p.reasoning.summary or p.reasoning.is_shown)),
    Feature("the end user's name", ask(user="u1"), lambda p: p.user),
    Feature("a service tier", ask(service_tier="default"), lambda p: p.service_tier),
    Feature("verbosity", ask(verbosity="low"), lambda p: p.verbosity),
    Feature("metadata", bodies={
        "openai-chat": {"metadata": {"a": "b"}},
        "openai-responses": {"metadata": {"a": "b"}},
        "gemini": {"labels": {"a": "b"}},
    }),
    Feature("an answer that the provider stores", bodies={
        "openai-chat": {"store": True},
        "openai-responses": {"store": True},
        "gemini": {"store": True},
    }),
    Feature("sound in the answer", bodies={
        "openai-chat": {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}},
        "gemini": {"generationConfig": {"responseModalities": ["AUDIO"]}},
    }),
)  # fmt: skip


def upstream(dialect: str) -> Deployment:
    return msgspec.structs.replace(deployment(MODELS[dialect]), dialect=dialect)


def body_of(feature: Feature, dialect: str) -> bytes | None:
    """Return a body that asks for a feature, None where the dialect has no word for it."""
    to = step(upstream(dialect))
    if dialect in feature.bodies:
        plain = json.loads(CODECS[dialect].write_prompt(PLAIN, to).body)
        return json.dumps(plain | feature.bodies[dialect]).encode()
    if feature.seen is None or feature.prompt is PLAIN:
        return None
    try:
        written = CODECS[dialect].write_prompt(feature.prompt, to)
    except RequestError:
        return None
    back = CODECS[dialect].read_prompt(request_of(dialect, written.body))
    is_said = feature.seen(back) == feature.seen(feature.prompt) and not written.dropped
    return written.body if is_said else None


def request_of(dialect: str, body: bytes) -> Request:
    return CODECS[dialect].decode_request(body, Caller(model="auto", is_stream=False))


def outcome(feature: Feature, source: str, target: str) -> str | None:
    """Return what becomes of a feature on the way, None where nobody can ask for it."""
    body = body_of(feature, source)
    if body is None:
        return None
    try:
        request = request_of(source, body)
        prompt = CODECS[source].read_prompt(request)
        sent = encode_request(request, step(upstream(target)))
    except RequestError:
        return "refused"
    after = CODECS[target].read_prompt(request_of(target, sent.body))
    names = ", ".join(f"`{name}`" for name in (*request.dropped, *sent.dropped))
    if feature.seen is None or feature.seen(after) != feature.seen(prompt):
        return f"dropped: {names}" if names else LOST
    return f"carried, but for {names}" if names else "carried"


def table(source: str) -> str:
    targets = [dialect for dialect in MODELS if dialect != source]
    lines = [
        f"| from {source} | " + " | ".join(f"to {target}" for target in targets) + " |",
        "|---" * (len(targets) + 1) + "|",
    ]
    for feature in FEATURES:
        cells = [outcome(feature, source, target) for target in targets]
        if None not in cells:
            name = (
                f"`{feature.name}`" if feature.name in Sampling.__struct_fields__ else feature.name
            )
            lines.append(f"| {name} | " + " | ".join(cell or "" for cell in cells) + " |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    head, _, rest = text.partition(BEGIN)
    tables = "\n\n".join(f"### What {source} says\n\n{table(source)}" for source in MODELS)
    return f"{head}{BEGIN}\n{tables}\n\n{END}{rest.partition(END)[2]}"


def test_the_page_says_what_becomes_of_each_feature():
    text = PAGE.read_text("utf-8")
    assert text == with_tables(text), "run: .venv/bin/python -m tests.docs.test_dialects"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_some_dialect_can_ask_for_every_feature_that_is_listed(feature):
    assert any(body_of(feature, dialect) for dialect in MODELS)


def test_the_tables_tell_of_all_three_outcomes_and_nothing_is_lost_in_silence():
    rows = chain.from_iterable(table(source).splitlines()[2:] for source in MODELS)
    cells = {cell.strip().partition(":")[0] for row in rows for cell in row.split("|")[2:-1]}
    assert {"carried", "dropped", "refused"} <= cells
    assert LOST not in cells


def test_the_page_gives_the_budgets_that_efforts_stand_for():
    low, medium, high = (f"{budget_of(effort):,}" for effort in ("low", "medium", "high"))
    said = f"{low} tokens are low, {medium} medium, {high} high"
    assert said in PAGE.read_text("utf-8")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    sys.exit(0)
