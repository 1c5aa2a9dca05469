"""Asking: builds the request that a plain prompt means, through the dialect's own decoder."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import CacheMode, Caller, Request
from pointsman.core.wire import CODECS

_DIALECT = "openai-chat"


class Asking(TypedDict, total=False):
    """What may come with a prompt.

    `system`: a system message. `model`: an alias, tier or model, "auto" unless said otherwise.
    `tier` pins one. `fields` are further body fields, such as `{"temperature": 0}`.
    """

    system: str
    model: str
    tier: str
    max_tokens: int
    stream: bool
    cache: CacheMode
    session: str
    tags: Mapping[str, str]
    fields: Mapping[str, object]


def build_request(
    prompt: str | Sequence[Mapping[str, object]] | Request, asking: Asking
) -> Request:
    """Return the request for a prompt or a list of messages; a request passes as it is.

    Raises RequestError for what the dialect does not take, and for a name that is not known.
    """
    if unknown := sorted(set(asking) - set(Asking.__annotations__)):
        raise RequestError(
            f"{', '.join(unknown)}: not known here; there are {', '.join(Asking.__annotations__)}, "
            'and fields={"temperature": 0} for any other field of the body'
        )
    if isinstance(prompt, Request):
        return prompt
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if "system" in asking:
        turns.insert(0, {"role": "system", "content": asking["system"]})
    body: dict[str, object] = {"model": asking.get("model", "auto"), "messages": turns}
    if "max_tokens" in asking:
        body["max_tokens"] = asking["max_tokens"]
    if asking.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body |= asking.get("fields", {})
    try:
        encoded = msgspec.json.encode(body)
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise RequestError(f"the prompt cannot be written as JSON: {error}") from error
    caller = Caller(
        tags=tuple(asking.get("tags", {}).items()),
        session=asking.get("session", ""),
        tier=asking.get("tier", ""),
        cache=asking.get("cache", "on"),
    )
    return CODECS[_DIALECT].decode_request(encoded, caller)
