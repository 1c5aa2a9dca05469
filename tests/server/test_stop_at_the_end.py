"""A server that is stopped while a slow reader still waits for its stream's last frame.

Found by the simulation: the answer's clean end was followed by an error.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from tests.server.doors import CHAT, chat_body, opened


@pytest.mark.parametrize("reads_on", [False, True])
async def test_no_error_follows_the_end(reads_on: bool) -> None:
    body, sent = chat_body(stream=True), list[bytes]()
    at_end, go_on = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not sent and not at_end.is_set():
            sent.append(b"")
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))
        if b"[DONE]" in sent[-1]:
            at_end.set()
            await go_on.wait()

    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "query_string": b"",
        "headers": headers,
    }
    async with opened() as client:
        serving = asyncio.create_task(client.app(scope, receive, send))
        await at_end.wait()
        if reads_on:
            go_on.set()
        else:
            client.app.stop()
        await serving
    text = b"".join(sent)
    assert text.endswith(b"data: [DONE]\n\n") and b'"error"' not in text
