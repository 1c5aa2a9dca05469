"""Caller: what a request's headers say of who asks, and how."""

from collections.abc import Mapping

from pointsman.core.cache_terms import ANY_TERMS, read_terms
from pointsman.core.errors import RequestError
from pointsman.core.types import CacheMode, Caller
from pointsman.server.exchange import Exchange

_TAGS_MAX = 20
_TAG_CHARS_MAX = 200
# All that ever goes on to an upstream of the same dialect. Source: Anthropic's "Versions" and "Beta
# headers", and Claude Code's "Gateway protocol reference", which has a gateway hand on both;
# OpenAI's SDK sends openai-beta with what is in beta (openai 3.54). Read 2026-11-23.
_HANDED_ON: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("anthropic-version", "anthropic-beta"),
    "openai-chat": ("openai-beta",),
    "openai-responses": ("openai-beta",),
}
_SESSIONS = ("x-pointsman-session", "thread-id", "conversation_id")
_READ = frozenset(
    ("x-pointsman-tags", "x-pointsman-tier", "x-pointsman-cache", "cache-control", *_SESSIONS)
).union(*_HANDED_ON.values())


def read_caller(exchange: Exchange, dialect: str, *, is_stream: bool | None = None) -> Caller:
    """Return what the headers and the path say of the caller. Raises RequestError."""
    headers = exchange.headers
    if _READ.isdisjoint(headers):  # as of most
        return Caller(
            request_id=exchange.request_id,
            tenant=exchange.tenant,
            tags=tuple(exchange.grant.tags.items()),
            model=exchange.named,
            is_stream=is_stream,
            grant=exchange.grant,
        )
    return Caller(
        request_id=exchange.request_id,
        tenant=exchange.tenant,
        tags=_owned(_tags(headers.get("x-pointsman-tags", "")), exchange.grant.tags),
        session=session_of(headers),
        tier=headers.get("x-pointsman-tier", ""),
        cache=_cache_mode(headers.get("x-pointsman-cache", "")),
        terms=read_terms(stated) if (stated := headers.get("cache-control")) else ANY_TERMS,
        model=exchange.named,
        is_stream=is_stream,
        headers=_handed_on(headers, dialect),
        grant=exchange.grant,
    )


def session_of(headers: Mapping[str, str]) -> str:
    """Return the name of the conversation where a header has one: ours, else Codex's of a thread.

    Codex names the one conversation that a request belongs to in `thread-id`, subagents their own
    (codex-rs/codex-api/src/requests/headers.rs), and did so in `conversation_id` before 2026.

    Claude Code's `x-claude-code-session-id`, which is also in `metadata.user_id`, is not taken: its
    background calls and the agents of its workflows send the id of the session that they belong to
    (anthropics/claude-code, issue 66761), so it is no name of one conversation, and theirs would
    drag the main one to and fro. Nor is Codex's `session-id`, which its subagents share. Such
    conversations are recognised by their prefix. Read 2026-11-23.
    """
    for name in _SESSIONS:
        if given := headers.get(name, ""):
            return given
    return ""


def _handed_on(headers: Mapping[str, str], dialect: str) -> tuple[tuple[str, str], ...]:
    """Return the dialect's own headers. Raises RequestError for one that no request can carry."""
    given = [(name, headers[name]) for name in _HANDED_ON.get(dialect, ()) if name in headers]
    for name, value in given:
        if not (value.isascii() and value.isprintable()):
            raise RequestError(f"{name} is not all visible ASCII; send it as its provider has it")
    return tuple(given)


def _cache_mode(stated: str) -> CacheMode:
    match stated.strip().lower():
        case "" | "on":
            return "on"
        case "off":
            return "off"
        case "refresh":
            return "refresh"
        case _:
            raise RequestError(f'x-pointsman-cache is "{stated}"; it takes off or refresh')


def _owned(tags: Mapping[str, str], granted: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the client's tags, of those that its key sets the key's (FAULTS, invariant 9)."""
    return tuple({**tags, **granted}.items())


def _tags(stated: str) -> dict[str, str]:
    """Return the tags of `k=v,k=v`. Raises RequestError where a part is not of that shape."""
    tags: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in stated.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or len(part) > _TAG_CHARS_MAX:
            raise RequestError(
                f'x-pointsman-tags has "{part[:_TAG_CHARS_MAX]}"; write k=v, parts joined by commas'
            )
        tags[name] = value
    if len(tags) > _TAGS_MAX:
        raise RequestError(f"x-pointsman-tags has {len(tags)} tags; the limit is {_TAGS_MAX}")
    return tags
