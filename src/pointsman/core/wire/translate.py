"""Translate: a request as an upstream takes it, whatever dialect either of them speaks."""

from functools import partial

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Request, Step
from pointsman.core.wire import CODECS, upstream_codec
from pointsman.core.wire.history import is_foreign, keeper, recalled, refit, valid_call_id
from pointsman.core.wire.prompt import Part, Prompt, Text, Thinking, Written

# Where a dialect's messages stand, if not in `messages`.
_FIELDS = {"openai-responses": "input", "gemini": "contents"}


def encode_request(request: Request, step: Step) -> Written:
    """Return the body for a step's upstream, and what of the request it does not carry.

    The short road, where the upstream speaks the client's dialect, changes the client's body in
    place; its history only where another deployment had a part in it. Else the whole request is
    read and written anew, without the messages that say nothing: receivers refuse such.

    Raises RequestError for what must not be dropped and the upstream's dialect cannot say, and
    where no message says anything.
    """
    codec = upstream_codec(request.dialect, step.deployment.dialect)
    if request.dialect == codec.name:
        if is_foreign(request, step):
            keeps, rule = keeper(request, step), step.deployment.call_ids
            call_id = partial(valid_call_id, rule=rule)
            body = codec.refit_body(request.body, keeps=keeps, call_id=call_id)
            request = msgspec.structs.replace(request, body=body)
        return codec.encode_request(request, step)
    keeps, rule = keeper(request, step), step.deployment.call_ids
    prompt = CODECS[request.dialect].read_prompt(request)
    prompt = recalled(prompt, request.history.call_signatures)
    return codec.write_prompt(_spoken(refit(prompt, keeps, rule), request.dialect), step)


def _spoken(prompt: Prompt, dialect: str) -> Prompt:
    """Return the prompt's messages that say something. Raises RequestError where none does."""
    kept = tuple(message for message in prompt.messages if any(map(_says, message.parts)))
    if not prompt.refused and not any(message.role != "system" for message in kept):
        field = _FIELDS.get(dialect, "messages")
        raise RequestError(
            f"{field}: nothing in it says anything; send a message with some text, a file or a "
            "tool's result",
            param=field,
        )
    return msgspec.structs.replace(prompt, messages=kept)


def _says(part: Part) -> bool:
    match part:
        case Text(text=text):
            return bool(text.strip())
        case Thinking(text=text, signature=signature):
            return bool(text or signature)
        case _:
            return True
