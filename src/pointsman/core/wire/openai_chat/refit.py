"""Refitting: make a body's history fit for a deployment that had no part in it."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from pointsman.core.wire.splice import splice

_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
_SAYING_FIELDS = ("content", "refusal", "tool_calls", "function_call", "audio")


def refit_body(
    body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
) -> bytes:
    """Return the body with each tool call's id, and its result's, as `call_id` gives it.

    Nothing is signed here, so reasoning goes unless `keeps` takes what has no signature, and with
    it a message that holds nothing else.
    """
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    messages = msgspec.json.decode(members["messages"], type=list[dict[str, object]])
    kept = []
    for message in messages:
        has_more = keeps("") or not _drop_reasoning(message) or _says_something(message)
        if isinstance(made := message.get("tool_call_id"), str):
            message["tool_call_id"] = call_id(made)
        for call in _objects(message.get("tool_calls")):
            if isinstance(made := call.get("id"), str):
                call["id"] = call_id(made)
        if has_more:
            kept.append(message)
    return splice(body, {"messages": msgspec.json.encode(kept)})


def _objects(value: object) -> Iterator[dict[str, object]]:
    """Yield the objects of a list; nothing where it is none."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one


def _drop_reasoning(message: dict[str, object]) -> bool:
    """Take the reasoning out of a message, and return whether there was any."""
    found = [message.pop(name, None) for name in _REASONING_FIELDS]
    if isinstance(content := message.get("content"), list):
        thoughts = [part for part in _objects(content) if part.get("type") == "thinking"]
        message["content"] = [part for part in content if part not in thoughts]
        found += thoughts
    return any(found)


def _says_something(message: Mapping[str, object]) -> bool:
    return any(message.get(name) for name in _SAYING_FIELDS)
