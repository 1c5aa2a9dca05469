"""Translate: a request as an upstream takes it, whatever dialect either of them speaks."""

from functools import partial

import msgspec

from pointsman.core.types import Request, Step
from pointsman.core.wire import CODECS, upstream_codec
from pointsman.core.wire.history import is_foreign, keeper, recalled, refit, valid_call_id
from pointsman.core.wire.prompt import Written


def encode_request(request: Request, step: Step) -> Written:
    """Return the body for a step's upstream, and what of the request it does not carry.

    The short road, where the upstream speaks the client's dialect, changes the client's body in
    place; its history only where another deployment had a part in it. Else the whole request is
    read and written anew.

    Raises RequestError for what must not be dropped and the upstream's dialect cannot say.
    """
    codec = upstream_codec(request.dialect, step.deployment.dialect)
    rule = step.deployment.call_ids
    keeps = keeper(request, step)
    if request.dialect == codec.name:
        if is_foreign(request, step):
            call_id = partial(valid_call_id, rule=rule)
            body = codec.refit_body(request.body, keeps=keeps, call_id=call_id)
            request = msgspec.structs.replace(request, body=body)
        return codec.encode_request(request, step)
    prompt = CODECS[request.dialect].read_prompt(request)
    prompt = recalled(prompt, request.history.call_signatures)
    return codec.write_prompt(refit(prompt, keeps, rule), step)
