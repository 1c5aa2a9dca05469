"""Items: what input, output and tools are made of, and how what other dialects lack is carried.

A custom tool takes free text instead of JSON. Elsewhere it is a function with the one string
`input`: its call's arguments are that object, and are taken out of it again on the way back, so
that an agent whose editing tool is custom (Codex's `apply_patch`) works on any upstream. A tool in
a namespace is a function whose name has the namespace before it.

Source: OpenAI API reference, "Responses" (as typed in openai-python 3.54); what Codex sends:
codex-rs/tools/src/tool_spec.rs and codex-rs/protocol/src/models.rs of github.com/openai/codex
(read 2026-11-23).
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from pointsman.core.wire.decoding import UNREADABLE

DIALECT = "openai-responses"

# Items that have a counterpart in other dialects; every other one belongs to a tool or a state
# that OpenAI alone has.
CARRIED_ITEMS = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "additional_tools",
    }
)
CARRIED_TOOLS = frozenset({"function", "custom", "namespace"})
# Tools that a client offers as a matter of course: without them the model has its others still.
OPTIONAL_TOOLS = frozenset({"web_search", "web_search_preview", "tool_search", "image_generation"})
# What such a tool left behind; what it found is in the words of the answer.
OPTIONAL_ITEMS = frozenset({"web_search_call"})
CALLS = frozenset({"function_call", "custom_tool_call"})
RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})

INPUT_SCHEMA = (
    b'{"type":"object","properties":{"input":{"type":"string"}},'
    b'"required":["input"],"additionalProperties":false}'
)

_NAME_CHARS_MAX = 64
_DIGEST_CHARS = 8
_REDACTED = "redacted."
_OPENING = '{"input":"'
_CLOSING = '"}'


class ToolFormat(msgspec.Struct):
    """How a custom tool's input is written: as any text, or by a grammar."""

    type: str = "text"
    syntax: str = ""
    definition: str = ""


class ToolItem(msgspec.Struct):
    """A tool as a body has it. `tools` are a namespace's own."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None
    format: ToolFormat | None = None
    tools: "list[ToolItem]" = []


class Origin(msgspec.Struct, frozen=True):
    """Where a tool's neutral name comes from: its own name, its namespace, and its kind."""

    name: str
    namespace: str = ""
    is_custom: bool = False


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    input: str


class _ItemTools(msgspec.Struct):
    type: str | None = None
    tools: msgspec.Raw = msgspec.Raw()


class _ToolsOfBody(msgspec.Struct):
    tools: list[ToolItem] | None = None
    input: msgspec.Raw = msgspec.Raw()


def neutral_name(namespace: str, name: str) -> str:
    """Return the one name that a tool in a namespace has elsewhere, at most 64 characters.

    A longer one is cut and ends in a digest of the whole, so that two never become the same.
    """
    whole = f"{namespace}__{name}" if namespace else name
    if not namespace or len(whole) <= _NAME_CHARS_MAX:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{whole[: _NAME_CHARS_MAX - _DIGEST_CHARS - 1]}_{digest}"


def origins(body: bytes) -> Mapping[str, Origin]:
    """Return where each tool of a body comes from, by its neutral name.

    A body that cannot be read has none: whoever reads it for its content says what is wrong.
    """
    try:
        asked = msgspec.json.decode(body, type=_ToolsOfBody)
        found = dict(_origins(asked.tools or (), ""))
        if b'"additional_tools"' in body:
            for item in msgspec.json.decode(asked.input, type=list[_ItemTools]):
                if item.type == "additional_tools":
                    added = msgspec.json.decode(item.tools, type=list[ToolItem])
                    found |= dict(_origins(added, ""))
    except UNREADABLE:
        return {}
    return found


def wrapped(text: str) -> str:
    """Return a custom tool's input as the arguments of the function that stands for it."""
    return _OPENING + wrapped_piece(text) + _CLOSING


def wrapped_opening() -> str:
    """Return what comes before the first piece of a wrapped input."""
    return _OPENING


def wrapped_piece(text: str) -> str:
    """Return a piece of a custom tool's input as it stands inside the arguments."""
    return msgspec.json.encode(text)[1:-1].decode()


def wrapped_closing() -> str:
    """Return what comes after the last piece of a wrapped input."""
    return _CLOSING


def unwrapped(arguments: str) -> str:
    """Return the input that arguments hold; whatever else a model wrote stays as it wrote it."""
    try:
        return msgspec.json.decode(arguments.encode("utf-8", "surrogatepass"), type=_Wrapped).input
    except UNREADABLE:
        return arguments


def signature_of(encrypted_content: str) -> str:
    """Return the signature that a reasoning item's `encrypted_content` is.

    It is that string and nothing more. An item's id is no part of it: clients leave it out when
    they send reasoning back (Codex), so that a signature with the id in it would not be known
    again. A mark before it, see `encrypted_of`, is taken off.
    """
    return encrypted_content.removeprefix(_REDACTED)


def is_redacted(encrypted_content: str) -> bool:
    """Return whether a reasoning item holds a block that another dialect gave without any text."""
    return encrypted_content.startswith(_REDACTED)


def encrypted_of(signature: str, *, is_redacted: bool) -> str:
    """Return a signature as a reasoning item's `encrypted_content`.

    Other dialects tell a block that is all signature from one whose text is only not shown, and
    want either back as it was, so that the former is marked.
    """
    return _REDACTED + signature if is_redacted and signature else signature


def _origins(tools: Iterable[ToolItem], namespace: str) -> Iterable[tuple[str, Origin]]:
    for tool in tools:
        if tool.type == "namespace":
            yield from _origins(tool.tools, tool.name)
        elif tool.type in CARRIED_TOOLS:
            origin = Origin(tool.name, namespace, tool.type == "custom")
            yield neutral_name(namespace, tool.name), origin
