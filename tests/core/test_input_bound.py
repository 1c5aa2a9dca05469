"""What a budget holds for input that the estimate does not see."""

import json
from collections.abc import Mapping

import msgspec
import pytest
from tests.core.builders import deployment, features

from pointsman.core.errors import BudgetExceeded
from pointsman.core.features import extract
from pointsman.core.input_bound import image_tokens_max, input_bound
from pointsman.core.plan import as_held, bounded
from pointsman.core.prices import Price
from pointsman.core.types import Caller, Plan, Request, Step
from pointsman.core.wire import CODECS

WINDOW = 100_000
PRICE = Price(
    input_nanousd_per_mtok=1_000_000,
    cached_input_nanousd_per_mtok=0,
    cache_write_nanousd_per_mtok=0,
    output_nanousd_per_mtok=0,
    version="test",
)
CLAUDE = deployment("p/claude-opus-5", context_tokens=WINDOW)
OTHER = deployment("p/other", context_tokens=WINDOW)
NOBODY_KNOWS = deployment("p/unknown")


def chat(*parts: object, **members: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [*parts]}], **members}


def responses(*parts: object, **item: object) -> dict[str, object]:
    items = [{"role": "user", "content": [*parts]}, *([item] if item else [])]
    return {"input": items}


def messages(*blocks: object, **members: object) -> dict[str, object]:
    return {"max_tokens": 9, "messages": [{"role": "user", "content": [*blocks]}], **members}


def gemini(*parts: object, **members: object) -> dict[str, object]:
    return {"contents": [{"role": "user", "parts": [*parts]}], **members}


def read(dialect: str, body: Mapping[str, object]) -> Request:
    caller = Caller(model="m") if dialect == "gemini" else Caller()
    whole = dict(body) if dialect == "gemini" else {"model": "m", **body}
    return CODECS[dialect].decode_request(json.dumps(whole).encode(), caller)


TEXT = {"type": "text", "text": "Hi"}
PDF = "JVBERi0xLjcK"
UNSIZED: list[tuple[str, dict[str, object]]] = [
    ("openai-chat", chat(TEXT, {"type": "file", "file": {"file_id": "file-1"}})),
    ("openai-chat", chat({"type": "file", "file": {"file_data": PDF}})),
    ("openai-chat", chat({"type": "file", "file": {"file_data": f"data:application/pdf,{PDF}"}})),
    ("openai-chat", chat({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}})),
    ("openai-chat", chat({"type": "video_url", "video_url": {"url": "https://a.example/v"}})),
    ("openai-chat", chat({"type": "document_url", "document_url": "https://a.example/d"})),
    ("openai-chat", chat(TEXT, previous_response_id="resp_1")),
    ("openai-chat", chat(TEXT, data_sources=[{"type": "azure_search"}])),
    ("openai-chat", chat(TEXT, extra_body={"google": {"cached_content": "cachedContents/1"}})),
    ("openai-chat", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
    ("openai-responses", responses({"type": "input_file", "file_id": "file-1"})),
    ("openai-responses", responses({"type": "input_file", "file_url": "https://a.example/d"})),
    ("openai-responses", responses({"type": "input_file", "file_data": PDF})),
    ("openai-responses", responses({"type": "input_audio", "data": "AAAA"})),
    ("openai-responses", responses(type="file_search_call", id="fs_1", queries=["a"])),
    ("openai-responses", responses(type="compaction", encrypted_content="gAAA")),
    (
        "openai-responses",
        responses(type="computer_call_output", call_id="c", output={"type": "computer_screenshot"}),
    ),
    ("anthropic", messages({"type": "document", "source": {"type": "base64", "data": PDF}})),
    ("anthropic", messages({"type": "document", "source": {"type": "url", "url": "https://a"}})),
    ("anthropic", messages({"type": "document", "source": {"type": "file", "file_id": "f"}})),
    ("anthropic", messages({"type": "container_upload", "file_id": "f"})),
    ("anthropic", messages({"type": "web_search_tool_result", "tool_use_id": "s", "content": []})),
    (
        "anthropic",
        messages(
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "a_later_one"}]}
        ),
    ),
    ("anthropic", messages(TEXT, thread="thread_1")),
    ("anthropic", messages(TEXT, container="c_1")),
    ("anthropic", messages(TEXT, mcp_servers=[{"type": "url", "url": "https://a.example"}])),
    ("gemini", gemini({"text": "Hi"}, cachedContent="cachedContents/1")),
    ("gemini", gemini({"text": "Hi"}, cached_content="cachedContents/1")),
    ("gemini", gemini({"fileData": {"fileUri": "https://a.example/i.png"}})),
    ("gemini", gemini({"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/a"}})),
    ("gemini", gemini({"inlineData": {"mimeType": "application/pdf", "data": PDF}})),
    ("gemini", gemini({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}})),
    ("gemini", gemini({"aLaterOne": {}})),
    (
        "gemini",
        gemini(
            {
                "inlineData": {"mimeType": "image/png", "data": "AAAA"},
                "mediaResolution": {"numTokens": 99_999},
            }
        ),
    ),
    (
        "gemini",
        gemini(
            {"functionResponse": {"name": "f", "response": {}, "parts": [{"fileData": {}}]}},
        ),
    ),
    (
        "gemini",
        gemini({"text": "Hi"}, systemInstruction={"parts": [{"fileData": {"fileUri": "x"}}]}),
    ),
]  # fmt: skip
IMAGES: list[tuple[str, dict[str, object]]] = [
    ("openai-chat", chat({"type": "image_url", "image_url": {"url": "https://a.example/i"}})),
    ("openai-chat", chat({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}})),
    ("openai-responses", responses({"type": "input_image", "file_id": "file-1"})),
    ("anthropic", messages({"type": "image", "source": {"type": "url", "url": "https://a"}})),
    ("gemini", gemini({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})),
]
SIZED: list[tuple[str, dict[str, object], int]] = [
    ("openai-chat", chat(TEXT, TEXT), 0),
    ("openai-chat", chat({"type": "file", "file": {"file_data": "data:text/csv;base64,QUJD"}}), 18),
    ("openai-responses", responses({"type": "input_text", "text": "Hi"}), 0),
    ("openai-responses", responses(type="reasoning", encrypted_content="A" * 400), 300),
    ("openai-responses", responses({"type": "input_file", "file_data": "data:text/csv,QUJD"}), 13),
    ("anthropic", messages({"type": "document", "source": {"type": "text", "data": "Hi"}}), 0),
    (
        "anthropic",
        {
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "Hm", "signature": "A" * 400}],
                },
            ],
        },
        300,
    ),
    ("gemini", gemini({"text": "Hi"}, systemInstruction={"parts": [{"text": "Be brief."}]}), 0),
    ("gemini", gemini({"inlineData": {"mimeType": "text/csv", "data": "QUJDREVG"}}), 7),
]  # fmt: skip


def ids(cases: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [f"{number} {dialect}" for number, (dialect, _) in enumerate(cases)]


@pytest.mark.parametrize(("dialect", "body"), UNSIZED, ids=ids(UNSIZED))
def test_what_nobody_can_size_holds_the_whole_window(dialect, body):
    found = extract(read(dialect, body))
    assert found.has_unsized
    assert input_bound(found, CLAUDE) == input_bound(found, OTHER) == WINDOW
    assert input_bound(found, NOBODY_KNOWS) is None


@pytest.mark.parametrize(("dialect", "body"), IMAGES, ids=ids(IMAGES))
def test_an_image_holds_what_the_page_of_its_model_allows_else_the_window(dialect, body):
    found = extract(read(dialect, body))
    assert not found.has_unsized
    assert input_bound(found, CLAUDE) == found.input_tokens + 4_784
    assert input_bound(found, OTHER) == WINDOW
    assert input_bound(found, NOBODY_KNOWS) is None


@pytest.mark.parametrize(("dialect", "body", "more"), SIZED)
def test_text_holds_its_estimate_and_what_is_sealed_or_in_a_file_its_bytes(dialect, body, more):
    found = extract(read(dialect, body))
    assert not found.has_unsized
    for each in (CLAUDE, OTHER, NOBODY_KNOWS):
        assert input_bound(found, each) == found.input_tokens + more


def test_a_bound_is_within_the_window_and_never_below_the_estimate():
    many = msgspec.structs.replace(features(input_tokens=10), images=1_000)
    assert input_bound(many, CLAUDE) == WINDOW
    long = msgspec.structs.replace(features(input_tokens=WINDOW + 1), images=1, has_unsized=True)
    assert input_bound(long, CLAUDE) == WINDOW + 1


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 1_445),
        ("gpt-4o-2024-08-06", 1_445),
        ("openai/gpt-4o-mini", 48_169),
        ("gpt-5", 1_190),
        ("gpt-5-mini-2025-08-07", 2_489),
        ("gpt-5.6", None),  # takes images of any size
        ("gpt-5.6-mini", None),
        ("gpt-4o-audio-preview", None),
        ("us.anthropic.claude-sonnet-5", 4_784),
        ("google/gemini-3.5-flash", 2_240),
        ("gemini-2.5-flash", None),
        ("qwen3-vl", None),
    ],
)
def test_only_models_with_a_figure_of_their_own_have_one(model, tokens):
    assert image_tokens_max(model) == tokens


def test_a_budget_leaves_out_a_model_whose_window_is_not_known_and_says_what_to_state():
    steps = tuple(Step(tier="t", deployment=each) for each in (NOBODY_KNOWS, OTHER))
    seen = msgspec.structs.replace(features(input_tokens=10, max_tokens=1), has_unsized=True)
    held = as_held(Plan(steps=steps), seen, lambda _: PRICE)
    assert [step.worst_case_nanousd for step in held.steps] == [None, WINDOW]
    assert [step.deployment.id for step in bounded(held).steps] == ["p/other"]
    with pytest.raises(BudgetExceeded, match=r"p/unknown: .*context_tokens"):
        bounded(as_held(Plan(steps=steps[:1]), seen, lambda _: PRICE))
