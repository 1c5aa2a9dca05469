"""Body: what a responses body has, typed, and which of its fields a `Prompt` has a place for."""

from collections.abc import Mapping

import msgspec

# Fields that are read, and those whose loss nobody notices.
BODY_FIELDS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "reasoning",
        "text",
        "include",
        "user",
        "safety_identifier",
        "service_tier",
        "stream",
        "stream_options",
        "store",
    }
)
DEFAULTS: Mapping[str, frozenset[bytes]] = {
    "truncation": frozenset({b'"disabled"'}),
    "background": frozenset({b"false"}),
    "metadata": frozenset({b"{}"}),
}
ITEM_FIELDS = frozenset(
    {
        "type",
        "id",
        "status",
        "role",
        "content",
        "call_id",
        "name",
        "namespace",
        "arguments",
        "input",
        "output",
        "caller",
        "summary",
        "encrypted_content",
        "tools",
    }
)
PART_FIELDS = frozenset(
    {
        "type",
        "text",
        "refusal",
        "image_url",
        "file_id",
        "file_data",
        "file_url",
        "filename",
        "detail",
        "input_audio",
        "prompt_cache_breakpoint",
    }
)
TOOL_FIELDS = frozenset(
    {"type", "name", "description", "parameters", "strict", "format", "tools", "allowed_callers"}
)
NOTHING = frozenset({b"null", b"[]", b"false", b'""'})


class Breakpoint(msgspec.Struct):
    """A mark that ends a prefix to be cached."""

    ttl: str | None = None


class Audio(msgspec.Struct):
    """Sound: base64, and its format, such as mp3."""

    data: str = ""
    format: str = ""


class BodyPart(msgspec.Struct):
    """A part of a message, of a result, or of a reasoning item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: Audio | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class Item(msgspec.Struct):
    """An item of the input; which fields it has goes by its type."""

    type: str = ""
    role: str = ""
    content: str | list[BodyPart] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[BodyPart] | None = None
    summary: list[BodyPart] | None = None
    encrypted_content: str | None = None
    tools: list[msgspec.Raw] | None = None


class Kind(msgspec.Struct):
    """What an item or a tool is."""

    type: str | None = None
    role: str | None = None


class Namespace(msgspec.Struct):
    """A tool with other tools in it."""

    tools: list[msgspec.Raw] | None = None


class Chosen(msgspec.Struct):
    """A choice of a tool, or among tools."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    tools: "list[Chosen] | None" = None


class ReasoningOptions(msgspec.Struct):
    """How to reason."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class Format(msgspec.Struct):
    """The form of the answer's text."""

    type: str = "text"
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    """How the answer's text is to be."""

    format: Format | None = None
    verbosity: str | None = None


class Body(msgspec.Struct):
    """A body, as deep as all its items need not be read alike."""

    input: str | list[msgspec.Raw]
    instructions: str | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | Chosen | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    include: list[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
