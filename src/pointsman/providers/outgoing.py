"""Outgoing: what a request becomes on its way to an upstream: body, address and headers."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from pointsman.catalog import filled_url, is_url_part, url_variables
from pointsman.core.errors import UpstreamConnect
from pointsman.core.types import Deployment, Request, Step
from pointsman.core.wire import upstream_codec
from pointsman.core.wire.prompt import Written
from pointsman.core.wire.splice import splice
from pointsman.core.wire.steering import without_steering
from pointsman.core.wire.translate import encode_request

_BEARER_HEADER = "authorization"
# Set by us on every stream, so nobody misses it where a provider refuses it.
_OUR_FIELDS = frozenset({"stream_options"})
_SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")


def written(request: Request, step: Step) -> Written:
    """Return the body for a step's upstream, and the names of all that it does not carry.

    Raises RequestError for what must not be dropped and the upstream's dialect cannot say.
    """
    if not request.is_plain:
        asked, steering = without_steering(request.body)
        if steering:
            dropped = (*request.dropped, *steering)
            request = msgspec.structs.replace(request, body=asked, dropped=dropped)
    encoded = encode_request(request, step)
    unwanted = step.deployment.drops + _refused(request, step)
    if unwanted or request.dropped or encoded.dropped:
        body, refused = _without(encoded.body, unwanted)
        dropped = (*request.dropped, *encoded.dropped, *refused)
        encoded = Written(body, tuple(dict.fromkeys(dropped)))
    return _marked(encoded, request, step) if step.deployment.has_cache_marks else encoded


def address(deployment: Deployment, value_of: Callable[[str], str | None]) -> str:
    """Return where the deployment's API begins; `value_of` gives a variable of the environment.

    Raises UpstreamConnect where a variable in it is not set, or to what no address should hold.
    """
    base_url = deployment.base_url.rstrip("/")
    if "{" not in base_url:
        return base_url
    values = {name: (value_of(name) or "").strip() for name in url_variables(base_url)}
    for name, value in values.items():
        if not is_url_part(value):
            fault = "is not letters, digits and hyphens" if value else "is not set"
            raise UpstreamConnect(
                f"{deployment.id}: {name} {fault}, and its address, {base_url}, needs it;"
                f" export {name}=…"
            )
    return filled_url(base_url, values)


def headers(request: Request, step: Step, key: str) -> Mapping[str, str]:
    """Return the headers of a call: the dialect's, the deployment's, ours, and the key's."""
    deployment = step.deployment
    sent = {
        **upstream_codec(request.dialect, deployment.dialect).headers(request, step),
        **deployment.headers,
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    if key:
        name = deployment.auth_header.lower()
        sent[name] = f"Bearer {key}" if name == _BEARER_HEADER else key
    return sent


def _marked(encoded: Written, request: Request, step: Step) -> Written:
    """Return the body with marks for the upstream's prompt cache."""
    deployment = step.deployment
    codec = upstream_codec(request.dialect, deployment.dialect)
    body = codec.mark_body(encoded.body, deployment.model, request.caller.tenant)
    return Written(body, encoded.dropped)


def _refused(request: Request, step: Step) -> tuple[str, ...]:
    """Return the fields that the model refuses, where it was not the client who chose the model."""
    deployment = step.deployment
    if deployment.capability.sampling is not False:
        return ()
    return () if request.model in (deployment.id, deployment.model) else _SAMPLING_FIELDS


def _without(body: bytes, fields: Sequence[str]) -> tuple[bytes, tuple[str, ...]]:
    """Return the body without these of its fields, and those that it had and were not ours."""
    if not any(f'"{field}"'.encode() in body for field in fields):
        return body, ()
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    had = [field for field in fields if field in members]
    named = tuple(
        field
        for field in had
        if field not in _OUR_FIELDS and bytes(members[field]) not in (b"null", b"[]", b"{}")
    )
    return splice(body, dict.fromkeys(had)), named
