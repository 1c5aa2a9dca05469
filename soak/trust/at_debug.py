"""A server at the level DEBUG, with faults of its own: `python -m soak.trust.at_debug serve ...`.

Every record of every logger is written to `debug.log`, message and trace, as Python's own formatter
does. Requests with one of the marks in their body make pointsman's own code fail, with all that the
request holds in the error's message.
"""

import asyncio
import copy
import logging
import warnings
from typing import Any

from pointsman.cli import main
from pointsman.server import app, chat

HANDLER_MARK, TASK_MARK, CALLBACK_MARK, QUERY_MARK = "m-handler", "m-task", "m-callback", "m-query"

_complete = chat.complete
_read_query = app.read_query


class _All(logging.FileHandler):
    """Writes what any logger is given, whatever its level and wherever it passes it on to."""

    def see_all(self) -> None:
        handle = logging.Logger.handle

        def handle_too(logger: Any, record: Any) -> None:
            self.handle(copy.copy(record))  # a handler may write on its record
            handle(logger, record)

        patched: Any = logging.Logger
        patched.handle = handle_too
        patched.isEnabledFor = lambda *_: True


async def failing_complete(pipeline: Any, exchange: Any, *rest: Any, **named: Any) -> None:
    """Do as `chat.complete`, or fail as a mark says."""
    text = f"{exchange.body.decode()} {dict(exchange.headers)}"
    loop = asyncio.get_running_loop()
    if HANDLER_MARK in text:
        raise ValueError(text)
    if TASK_MARK in text:
        loop.create_task(_fail_later(text))  # noqa: RUF006 - it is to be lost
    if CALLBACK_MARK in text:
        loop.call_soon(_fail, text)
    await _complete(pipeline, exchange, *rest, **named)


async def _fail_later(text: str) -> None:
    _fail(text)


def _fail(text: str) -> None:
    raise ValueError(text)


def failing_read_query(text: str) -> Any:
    """Do as `app.read_query`, or fail before a route runs."""
    if QUERY_MARK in text:
        raise ValueError(text)
    return _read_query(text)


if __name__ == "__main__":
    formatter = logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s")
    everything = _All("debug.log")
    everything.setFormatter(formatter)
    everything.see_all()
    logging.captureWarnings(capture=True)
    warnings.simplefilter("always")
    chat.complete = failing_complete
    app.read_query = failing_read_query
    main()
