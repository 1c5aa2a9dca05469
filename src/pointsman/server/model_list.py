"""Model list: what a client may ask for, as each dialect lists models.

Source: the types of `openai` 3.54 (`Model`), `anthropic` 2.12 (`ModelInfo`, `SyncPage` and
`ModelListParams`) and `google-genai` 3.4 (`Model`, `ListModelsResponse`), read 2026-11-23.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from pointsman.core.errors import ModelNotFound, RequestError
from pointsman.core.grants import EVERYTHING, Grant
from pointsman.core.types import Deployment
from pointsman.routing import Routing

# Anthropic's for a day that is not known; OpenAI counts seconds from it.
_EPOCH = "1970-01-01T00:00:00Z"
_ANTHROPIC_LIMIT, _GEMINI_LIMIT, _LIMIT_MAX = 20, 50, 1_000


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A name that a client may ask for, whose it is, and the most that anything behind it takes.

    None: not known.
    """

    name: str
    owner: str
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How one dialect tells models: a page of them, and a single one."""

    listed: Callable[[Sequence[Listed], Mapping[str, str]], bytes]
    shown: Callable[[Listed], Mapping[str, object]]


def listed_models(
    routing: Routing, tenant: str = "", grant: Grant = EVERYTHING
) -> tuple[Listed, ...]:
    """Return all names that a key may ask for."""
    snapshot = routing.offer_to(tenant, grant)
    in_tiers = [d for tier in snapshot.tiers for d in tier.deployments]
    behind: dict[str, Sequence[Deployment]] = {d.id: (d,) for d in (*in_tiers, *snapshot.others)}
    behind |= {tier.name: tier.deployments for tier in snapshot.tiers}
    return tuple(
        Listed(
            name=name,
            owner=owner,
            input_tokens_max=_most(d.capability.context_tokens for d in behind.get(name, in_tiers)),
            output_tokens_max=_most(
                d.capability.max_output_tokens for d in behind.get(name, in_tiers)
            ),
        )
        for name, owner in routing.model_names(tenant, grant)
    )


def one_listed(models: Iterable[Listed], name: str) -> Listed:
    """Return the model of a name. Raises ModelNotFound."""
    for model in models:
        if model.name == name:
            return model
    raise ModelNotFound(f'no model "{name[:200]}"; the list of models has those there are')


def openai_list(models: Sequence[Listed], query: Mapping[str, str]) -> bytes:
    """Return all models as OpenAI lists them, in one page."""
    del query
    data = [openai_model(model) for model in models]
    return msgspec.json.encode({"object": "list", "data": data})


def openai_model(model: Listed) -> Mapping[str, object]:
    """Return a model as OpenAI tells it."""
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.owner}


def anthropic_list(models: Sequence[Listed], query: Mapping[str, str]) -> bytes:
    """Return a page of models as Anthropic lists them. Raises RequestError for an odd page."""
    limit = _limit(query, "limit", _ANTHROPIC_LIMIT)
    names = [model.name for model in models]
    first, end = 0, len(models)
    if "after_id" in query:
        first = _place(names, query["after_id"], "after_id") + 1
    if "before_id" in query:
        end = _place(names, query["before_id"], "before_id")
        first = max(first, end - limit)
    page = models[first : min(end, first + limit)]
    is_backwards = "before_id" in query
    reply = {
        "data": [anthropic_model(model) for model in page],
        "has_more": first > 0 if is_backwards else first + limit < end,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }
    return msgspec.json.encode(reply)


def anthropic_model(model: Listed) -> Mapping[str, object]:
    """Return a model as Anthropic tells it; what it says of capabilities is not known here."""
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "line": None,
        "max_input_tokens": model.input_tokens_max,
        "max_tokens": model.output_tokens_max,
        "capabilities": None,
        "deprecated_at": None,
        "retires_at": None,
    }


def gemini_list(models: Sequence[Listed], query: Mapping[str, str]) -> bytes:
    """Return a page of models as Google lists them. Raises RequestError for an odd page.

    A page's token is the place in the list where it begins.
    """
    limit = _limit(query, "pageSize", _GEMINI_LIMIT)
    token = query.get("pageToken") or "0"
    if not token.isdecimal() or len(token) > len(str(len(models))):
        raise RequestError(f'pageToken is "{token[:40]}"; send the one that the last page gave')
    first = int(token)
    reply: dict[str, object] = {"models": [gemini_model(m) for m in models[first : first + limit]]}
    if first + limit < len(models):
        reply["nextPageToken"] = str(first + limit)
    return msgspec.json.encode(reply)


def gemini_model(model: Listed) -> Mapping[str, object]:
    """Return a model as Google tells it."""
    told: dict[str, object] = {
        "name": f"models/{model.name}",
        "version": "",
        "displayName": model.name,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
    if model.input_tokens_max is not None:
        told["inputTokenLimit"] = model.input_tokens_max
    if model.output_tokens_max is not None:
        told["outputTokenLimit"] = model.output_tokens_max
    return told


SHAPES: Mapping[str, Shape] = {
    "openai-chat": Shape(listed=openai_list, shown=openai_model),
    "anthropic": Shape(listed=anthropic_list, shown=anthropic_model),
    "gemini": Shape(listed=gemini_list, shown=gemini_model),
}


def _most(limits: Iterable[int | None]) -> int | None:
    """Return the largest of limits, None where one is not known: it may be larger still."""
    known = list(limits)
    return None if None in known else max((limit for limit in known if limit), default=None)


def _limit(query: Mapping[str, str], name: str, default: int) -> int:
    stated = query.get(name) or str(default)
    if not stated.isdecimal() or len(stated) > len(str(_LIMIT_MAX)) or int(stated) < 1:
        raise RequestError(f'{name} is "{stated[:40]}"; it goes from 1 to {_LIMIT_MAX}', param=name)
    return min(int(stated), _LIMIT_MAX)


def _place(names: Sequence[str], wanted: str, parameter: str) -> int:
    if wanted not in names:
        raise RequestError(f'{parameter} is "{wanted[:200]}", no model of the list')
    return names.index(wanted)
