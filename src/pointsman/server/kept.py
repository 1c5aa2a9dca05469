"""Kept: what clients may do with the answers that the cache has for them."""

import msgspec

from pointsman.cache.entry import entry_key
from pointsman.core.errors import CacheUnavailable, UnknownEntry
from pointsman.core.grants import Scope
from pointsman.router import Pipeline
from pointsman.server.exchange import Exchange, Responder, reply_json


async def purge(pipeline: Pipeline, exchange: Exchange, responder: Responder) -> None:
    """Forget the entry that the path names, the caller's own; the admin's key purges anybody's.

    Raises UnknownEntry, also for what is another's; CacheUnavailable where it may come back.
    """
    kept, named = pipeline.kept, exchange.named
    key = entry_key(named)
    entry = None if kept is None or key is None else kept.entry(key)
    is_admin = Scope.ADMIN in exchange.grant.scopes
    if entry is None or not (is_admin or entry.tenant == exchange.tenant):
        raise UnknownEntry(f"no entry {named[:100]!r} is kept for this key")
    assert kept is not None and key is not None, "there is an entry"
    if not await kept.purge(key):
        raise CacheUnavailable(
            "the entry is not served any more, but the cache's file does not take that it is gone:"
            " a restart may bring it back; see the log, and try again"
        )
    reply_json(responder, 200, msgspec.json.encode({"id": named, "purged": True}))
