"""Tool loops: a turn that was begun without thinking goes on without.

With a budget (thinking of the type "enabled") the API wants the assistant's turn under way to begin
with a block of thinking, and with thinking off to hold none. A tool loop is one such turn. It can
lack its first thinking where another model made the calls, where the client's dialect has no place
for it, or where nobody here knows any more who sealed it. Adaptive thinking knows no such rule.

Source: platform.claude.com/docs/en/build-with-claude, "Extended thinking" ("Toggling thinking modes
in conversations") and "Adaptive thinking" ("Validation changes"), and the API's own 400s, as quoted
in github.com/anomalyco/opencode/issues/3077 (read 2026-11-23). The pages say that the API may also
switch thinking off by itself; Amazon's and Google's copies were still seen to refuse in 2026.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from pointsman.core.wire.anthropic.models import takes_budget
from pointsman.core.wire.prompt import Written
from pointsman.core.wire.splice import splice

# A message's role, and the types of its blocks.
Kinds: TypeAlias = tuple[str, Sequence[str]]

THINKING = frozenset({"thinking", "redacted_thinking"})
OFF = {"type": "disabled"}

_WITH_BUDGET = "enabled"
_WORDS = frozenset({_WITH_BUDGET, "adaptive"})
# With thinking off the API refuses a wish to clear old thinking away.
# Source: its own 400: "`clear_thinking_20251015` strategy requires `thinking` to be enabled or
# adaptive" (as quoted in several public repositories, read 2026-11-23).
_CLEARING = "clear_thinking_"


class _Kind(msgspec.Struct):
    type: str = ""


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Kind] = ""


class _Body(msgspec.Struct):
    messages: list[msgspec.Raw]
    thinking: msgspec.Raw = msgspec.Raw()
    context_management: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)
_message = msgspec.json.Decoder(_Message)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_kind = msgspec.json.Decoder(_Kind)


def turn_under_way(messages: Sequence[Kinds]) -> tuple[int, bool]:
    """Return the index at which the assistant's turn under way begins, and whether by thinking.

    It begins after the last message of the user's that brings no tool's result; one that brings
    both results and words goes on with it. Where the assistant has yet said nothing, it may think.
    """
    start = len(messages)
    while start and not _is_border(messages[start - 1]):
        start -= 1
    said = (kinds[0] for role, kinds in messages[start:] if role == "assistant" and kinds)
    return start, next(said, "thinking") in THINKING


def settled(body: bytes, model: str, *, asked: bytes) -> Written:
    """Return a body that asks for no budget of thinking where the turn under way forbids it.

    What thinking that turn still holds goes too. What is given up is named where `asked`, the
    client's own body, has it. A body that the API takes as it is, is returned untouched.
    """
    if b'"enabled"' not in body or not takes_budget(model):
        return Written(body)
    read = _body.decode(body)
    if kind_of(read.thinking) != _WITH_BUDGET:
        return Written(body)
    start, is_led = turn_under_way([_kinds(message) for message in read.messages])
    if is_led:
        return Written(body)
    old = [bytes(message) for message in read.messages]
    new = old[:start] + [kept for one in old[start:] if (kept := _unthinking(one)) is not None]
    changes: dict[str, bytes | None] = {"thinking": msgspec.json.encode(OFF)}
    if new != old:
        changes["messages"] = b"[" + b",".join(new) + b"]"
    edits = _without_clearing(read.context_management)
    if edits is not None:
        changes["context_management"] = edits
    is_said = kind_of(_body.decode(asked).thinking) in _WORDS
    names = {"thinking": is_said, "context_management.edits": edits is not None}
    return Written(splice(body, changes), tuple(name for name, is_it in names.items() if is_it))


def kind_of(raw: msgspec.Raw) -> str:
    """Return the `type` of a JSON object, "" of all that has none."""
    try:
        return _kind.decode(raw).type
    except msgspec.DecodeError:
        return ""


def _is_border(message: Kinds) -> bool:
    role, kinds = message
    return role == "user" and "tool_result" not in kinds


def _kinds(raw: msgspec.Raw) -> Kinds:
    message = _message.decode(raw)
    if isinstance(message.content, str):
        return message.role, ("text",) if message.content else ()
    return message.role, [block.type for block in message.content]


def _unthinking(message: bytes) -> bytes | None:
    """Return a message without its thinking, None where nothing else is in it."""
    if THINKING.isdisjoint(_kinds(msgspec.Raw(message))[1]):
        return message
    blocks = _list.decode(_members.decode(message)["content"])
    kept = [bytes(block) for block in blocks if kind_of(block) not in THINKING]
    return splice(message, {"content": b"[" + b",".join(kept) + b"]"}) if kept else None


def _without_clearing(management: msgspec.Raw) -> bytes | None:
    """Return `context_management` without wishes to clear thinking, None where it has none."""
    if f'"{_CLEARING}'.encode() not in bytes(management):
        return None
    try:
        edits = _list.decode(_members.decode(management)["edits"])
    except (msgspec.DecodeError, KeyError):
        return None
    kept = [bytes(edit) for edit in edits if not kind_of(edit).startswith(_CLEARING)]
    if len(kept) == len(edits):
        return None
    return splice(bytes(management), {"edits": b"[" + b",".join(kept) + b"]"})
