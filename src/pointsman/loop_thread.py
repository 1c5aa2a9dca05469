"""Loop thread: an event loop in a thread of its own, for code that has none."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

CLOSED = "the router is closed; make a new one"

_Result = TypeVar("_Result")


class LoopThread:
    """Runs work for any number of threads, until it is closed."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pointsman", daemon=True
        )
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Return whether nothing runs here any more."""
        return self._is_closed

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what the work returns; an interrupt here cancels it there.

        Raises RuntimeError where the loop is closed, before or meanwhile.
        """
        with self._guard:
            if self._is_closed:
                work.close()
                raise RuntimeError(CLOSED)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise RuntimeError(CLOSED) from error
        except BaseException:  # a Ctrl-C here has to stop the work over there
            future.cancel()
            raise

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Stop what runs, so that no thread waits for ever; then run `last` and end the thread.

        Does nothing the second time.
        """
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
        try:
            asyncio.run_coroutine_threadsafe(_wind_down(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _wind_down(last: Callable[[], Awaitable[None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()
    await asyncio.get_running_loop().shutdown_default_executor()
