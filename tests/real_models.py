"""The two real models as one session-scoped fixture, for every test that names `local_models`.

Skips only where the packages of the extra `demo` are missing.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pointsman.demo.models import LocalModel, LocalModels, missing_packages

_JSON = "application/json"


@pytest.fixture(scope="session")
def local_models() -> Iterator[LocalModels]:
    """Run both models for the whole session, a second to start and none to reuse."""
    if missing := missing_packages():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with LocalModels() as models:
        yield models


def chat_body(text: str, *, max_tokens: int = 24, **fields: object) -> bytes:
    """Return a chat request that a model answers the same way each time."""
    body = {
        "model": "local",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "seed": 1,
    }
    return json.dumps(body | fields).encode()


@contextmanager
def post_chat(model: LocalModel, body: bytes) -> Iterator[http.client.HTTPResponse]:
    """Send a chat request; the connection lasts as long as the `with`."""
    server = urlsplit(model.base_url).netloc
    with closing(http.client.HTTPConnection(server, timeout=60)) as connection:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": _JSON})
        with connection.getresponse() as response:
            yield response


def ask(model: LocalModel, text: str, **fields: Any) -> str:
    """Return the model's answer to one request."""
    with post_chat(model, chat_body(text, **fields)) as response:
        answer = json.load(response)
    content: str = answer["choices"][0]["message"]["content"]
    return content


def write_config(folder: Path, models: LocalModels, *, extra: str = "") -> Path:
    """Write a pointsman.toml whose tiers `fast` and `power` are the two models; return its path."""
    greedy = "temperature = 0, seed = 1"
    text = f"""
[providers.local-1]
base_url = "{models["gemma"].base_url}"
[providers.local-2]
base_url = "{models["smollm2"].base_url}"

[[tiers]]
name = "fast"
models = [{{ model = "local-1/gemma", params = {{ {greedy} }} }}]
max_tokens = 48
[[tiers]]
name = "power"
models = [{{ model = "local-2/smollm2", params = {{ {greedy}, repeat_penalty = 1.05 }} }}]
max_tokens = 48

[prices."local-1/gemma"]
input = 0.15
output = 0.6
[prices."local-2/smollm2"]
input = 2.5
output = 15.0

[ledger]
url = "sqlite:///{folder / "pointsman.db"}"
{extra}"""
    file = folder / "pointsman.toml"
    file.write_text(text, "utf-8")
    return file
