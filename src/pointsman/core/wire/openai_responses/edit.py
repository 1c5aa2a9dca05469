"""Editing: a client's responses body on its way to an upstream of this dialect."""

from collections.abc import Callable, Mapping

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Deployment, Request, Step
from pointsman.core.wire.decoding import upstream_json
from pointsman.core.wire.openai_responses.items import signature_of
from pointsman.core.wire.openai_responses.request import ENCRYPTED
from pointsman.core.wire.params import with_fields
from pointsman.core.wire.splice import object_bytes, splice

# Fields that the counting route takes (openai-python 3.54, InputTokenCountParams).
_COUNTED = frozenset(
    {
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Edited(msgspec.Struct):
    """What decides how a body is edited on its way to an upstream."""

    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Said(msgspec.Struct):
    """What an item of reasoning may hold it in, beside the summary."""

    type: str | None = None
    encrypted_content: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class _Counted(msgspec.Struct):
    input_tokens: int


_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_said = msgspec.json.Decoder(_Said)
_text = msgspec.json.Decoder(str)
_counted = msgspec.json.Decoder(_Counted)


def encode_request(request: Request, step: Step) -> bytes:
    """Return the body for a step's upstream: the client's own but for the fields that must change.

    Changes the model's name, the tier's parameters and `max_output_tokens` where the client set
    none; `store` is always false. Where the upstream reasons (`is_reasoning`), `include` asks for
    the sealed reasoning: nothing is stored, so it could not be given back without. Of reasoning
    that came without a seal, items with a summary and no more go, for OpenAI refuses an item that
    it can neither open nor find ("Item with id 'rs_...' not found", github.com/vercel/ai issue
    7543, read 2026-11-23); those with the reasoning itself are what servers take that seal none.

    Raises RequestError where `reasoning` is not of its type.
    """
    deployment = step.deployment
    changes: dict[str, bytes | None] = {
        "model": msgspec.json.encode(deployment.model),
        "store": b"false",
    }
    if request.max_tokens is None and step.max_tokens is not None:
        changes["max_output_tokens"] = str(step.max_tokens).encode()
    edited = _read_edited(request.body)
    effort = edited.reasoning.effort if edited.reasoning else None
    included = edited.include or []
    if ENCRYPTED not in included and is_reasoning(
        deployment, is_asked=edited.reasoning is not None, effort=effort
    ):
        changes["include"] = msgspec.json.encode([*included, ENCRYPTED])
    if items := _without_empty_reasoning(bytes(edited.input)):
        changes["input"] = items
    return with_params(splice(request.body, changes), deployment)


def is_reasoning(deployment: Deployment, *, is_asked: bool, effort: str | None) -> bool:
    """Return whether a deployment reasons for a request, as far as can be known.

    It does where the request has `reasoning`, the deployment's parameters set some, or the model is
    known to; it does not where the effort is "none" or the model is known not to. A model that
    cannot refuses the request for sealed reasoning, so it is not asked for on suspicion.
    """
    params, can = deployment.params, deployment.capability.reasoning
    said = params.get("reasoning_effort", effort)
    is_set = "reasoning_effort" in params or "reasoning" in params
    return can is not False and said != "none" and (is_asked or is_set or can is True)


def with_params(body: bytes, deployment: Deployment) -> bytes:
    """Return a body with the deployment's parameters; `reasoning_effort` is `reasoning.effort`."""
    fields = dict(deployment.params)
    if "reasoning_effort" in fields:
        effort = {"reasoning": {"effort": fields.pop("reasoning_effort")}}
        body = with_fields(body, effort)
    return with_fields(body, fields)


def refit_body(
    body: bytes, *, keeps: Callable[[str], bool], call_id: Callable[[str], str]
) -> bytes:
    """Return the body without reasoning that another made, its call ids as `call_id` gives them.

    Reasoning that nothing seals goes too. A compaction item stays: it holds what was said.
    """
    members = _raw_members.decode(body)
    if not bytes(members["input"]).lstrip().startswith(b"["):
        return body
    items = [
        object_bytes(_with_call_id(item, call_id))
        for item in _raw_items.decode(members["input"])
        if not _is_foreign(item, keeps)
    ]
    return splice(body, {"input": b"[" + b",".join(items) + b"]"})


def count_request(body: bytes) -> bytes:
    """Return the body for counting the input of a body for an answer."""
    members = _raw_members.decode(body)
    return object_bytes({name: bytes(value) for name, value in members.items() if name in _COUNTED})


def read_count(body: bytes) -> int:
    """Return the input tokens that a count's reply tells. Raises UpstreamBadResponse."""
    return max(0, upstream_json(_counted.decode, body, "count").input_tokens)


def _read_edited(body: bytes) -> _Edited:
    try:
        return msgspec.json.decode(body, type=_Edited)
    except msgspec.ValidationError as error:
        raise RequestError(f"the request body does not fit: {error}", param="reasoning") from error


def _without_empty_reasoning(given: bytes) -> bytes:
    """Return the input without reasoning that is a summary alone, b"" where there is none."""
    if not given.lstrip().startswith(b"[") or b'"reasoning"' not in given:
        return b""
    items = [bytes(raw) for raw in _raws.decode(given)]
    kept = [raw for raw in items if not _is_empty_reasoning(_said.decode(raw))]
    return b"[" + b",".join(kept) + b"]" if len(kept) < len(items) else b""


def _is_empty_reasoning(item: _Said) -> bool:
    has_words = bytes(item.content) not in (b"", b"null", b"[]")
    return item.type == "reasoning" and not item.encrypted_content and not has_words


def _is_foreign(item: Mapping[str, msgspec.Raw], keeps: Callable[[str], bool]) -> bool:
    if _string(item, "type") != "reasoning":
        return False
    signature = signature_of(_string(item, "encrypted_content"))
    return not signature or not keeps(signature)


def _with_call_id(
    item: Mapping[str, msgspec.Raw], call_id: Callable[[str], str]
) -> Mapping[str, bytes]:
    raw = {name: bytes(value) for name, value in item.items()}
    if made := _string(item, "call_id"):
        raw["call_id"] = msgspec.json.encode(call_id(made))
    return raw


def _string(item: Mapping[str, msgspec.Raw], name: str) -> str:
    raw = bytes(item.get(name, b""))
    return _text.decode(raw) if raw.startswith(b'"') else ""
