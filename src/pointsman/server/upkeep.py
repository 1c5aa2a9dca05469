"""Upkeep: deletes what has been kept for long enough, at the start and then every hour."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pointsman.core.errors import LedgerUnavailable
from pointsman.routing import Stores

EVERY_S = 3600.0

log = logging.getLogger("pointsman")


@asynccontextmanager
async def kept_tidy(stores: Stores) -> AsyncIterator[None]:
    """Sweep the stores until the end of the block."""
    task = asyncio.create_task(_sweep_for_ever(stores))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def sweep(stores: Stores) -> None:
    """Delete what is too old; where the ledger cannot be written now, the next time does."""
    for store in (stores.outcomes, stores.contents):
        try:
            if store is not None:
                await store.sweep()
        except LedgerUnavailable as error:
            log.warning("what is too old is not deleted yet: %s", error)


async def _sweep_for_ever(stores: Stores) -> None:
    while True:
        await sweep(stores)
        await asyncio.sleep(EVERY_S)
