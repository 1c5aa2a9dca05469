"""Requests: read what routing needs of an embeddings body, and put the model's name into it."""

from typing import TypeAlias

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Caller, Need, Request, Step, Turn
from pointsman.core.wire.decoding import client_json, shape_members
from pointsman.core.wire.limits import check_model
from pointsman.core.wire.params import with_fields

DIALECT = "openai-embeddings"
_NOT_SHAPING = ("model", "user")

_Input: TypeAlias = str | list[str | int | list[int]]


class _Body(msgspec.Struct):
    input: _Input
    model: str


_body = msgspec.json.Decoder(_Body)


def decode_request(body: bytes, caller: Caller) -> Request:
    """Read a client's body.

    Its texts are a turn of the role "input", which is nobody's: there is no user turn to judge a
    prompt by, and no conversation.

    Raises RequestError that names the field at fault.
    """
    asked = client_json(_body.decode, body)
    check_model(asked.model)
    if not asked.input:
        raise RequestError("input is empty; send a text, or a list of them", param="input")
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    texts = [text for text in inputs if isinstance(text, str)]
    return Request(
        dialect=DIALECT,
        body=body,
        model=asked.model,
        turns=(Turn(role="input", text="\n".join(texts)),) if texts else (),
        needs=frozenset({Need.EMBEDDINGS}),
        given_tokens=sum(
            len(tokens) if isinstance(tokens, list) else 1
            for tokens in inputs
            if not isinstance(tokens, str)
        ),
        caller=caller,
    )


def encode_request(request: Request, step: Step) -> bytes:
    """Return the client's own body but for the model's name and the deployment's parameters."""
    deployment = step.deployment
    return with_fields(request.body, {**deployment.params, "model": deployment.model})


def shape(request: Request) -> dict[str, object]:
    """Return every field that shapes the vectors or how they are written, unknown ones included.

    Raises RequestError for what is wrong in a field that nothing else reads.
    """
    members = shape_members(request.body)
    for name in _NOT_SHAPING:
        members.pop(name, None)
    return members
