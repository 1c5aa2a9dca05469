"""What a client is asked to do, and what must come."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.scripted.script import INPUT_TOKENS, OUTPUT_TOKENS, PLAIN, told

_CITY = json.dumps({"city": "Paris"})
_PERSON = {"name": "Alice", "age": 30}
_JSON = json.dumps(_PERSON)
_WEATHER = f"What is the weather?\n@call get_weather {_CITY}"
# Clients ask for an object by a schema, or by a tool that each names as it likes.
_NAMES = ("Person", "PartialPerson", "final_result", "json")
_OBJECT = "".join(f"Who is it?\n@call {name} {_JSON}\n" for name in _NAMES) + f"@say {_JSON}"
# The agents' own tools, for the same: `shell` is what Codex calls it.
_SHELL = {"Bash": {"command": "echo lighthouse", "description": "Say lighthouse"}}
_SHELL_CODEX = {"exec_command": {"cmd": "echo lighthouse"}}
_RUN = "".join(f"@call {n} {json.dumps(a)}\n" for n, a in (_SHELL | _SHELL_CODEX).items())

PROMPTS: Mapping[str, str] = {
    "plain": "Tell me about the lighthouse.",
    "stream": "Tell me about the lighthouse.",
    "tool": _WEATHER,
    "tool stream": _WEATHER,
    "thinking": f"@think So it is.\n{_WEATHER}",
    "thinking stream": f"@think So it is.\n{_WEATHER}",
    "data": _OBJECT,
    "data stream": _OBJECT,
    "count": "How long is this?",
    "missing": "Is there anybody?",
}
REAL_PROMPT = "What is the capital of France? Answer in one word."
MISSING_MODEL = "no-such-model"
_AI_SDK_GEMINI = ("ai-sdk", "gemini")
AGENTS = ("claude-code", "codex")
_USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}


@dataclass(frozen=True)
class Asked:
    """One case: who is asked for what, by which client, through which upstream."""

    client: str
    dialect: str
    upstream: str
    task: str

    @property
    def prompt(self) -> str:
        if self.upstream.startswith("real-"):
            return REAL_PROMPT
        if self.client in AGENTS and "tool" in self.task:
            return f"Say lighthouse.\n{_RUN}"
        if self.client in AGENTS and "thinking" in self.task:
            return f"@think So it is.\n{_RUN}"
        return PROMPTS[self.task]

    @property
    def model(self) -> str:
        return MISSING_MODEL if self.task == "missing" else self.upstream

    @property
    def line(self) -> str:
        case = {"dialect": self.dialect, "task": self.task, "model": self.model}
        return json.dumps({**case, "prompt": self.prompt})


def check(asked: Asked, got: Mapping[str, Any]) -> None:
    """Assert that what came is what the scripted upstream said."""
    if asked.task == "missing":
        assert MISSING_MODEL in got.get("message", ""), got
        return
    assert "error" not in got, got
    match asked.task:
        case "count":
            assert got["input_tokens"] > 0
        case "data" | "data stream":
            assert got["data"] == _PERSON
        case "plain" | "stream":
            assert PLAIN in got["text"] if asked.client == "aider" else got["text"] == PLAIN
            assert {n: got[n] for n in _USAGE if n in got} == {
                n: v for n, v in _USAGE.items() if n in got
            }
            _check_model(asked, got)
        case _:
            _check_tool(asked, got)


def check_real(asked: Asked, got: Mapping[str, Any]) -> None:
    """Assert that a real model answered: something, of a few tokens."""
    assert "error" not in got, got
    assert got["text"].strip()
    assert got.get("output_tokens", 1) > 0
    _check_model(asked, got, name="smollm2")


def _check_tool(asked: Asked, got: Mapping[str, Any]) -> None:
    if asked.client not in AGENTS:
        if asked.dialect == "gemini":  # whose SDKs wrap a result in an object, each in its own
            assert "rain in Paris" in got["text"]
        else:
            assert got["text"] == told("rain in Paris")
        calls = [["get_weather", json.loads(_CITY)]]
        assert got.get("calls", calls) == calls
        return
    assert "lighthouse" in got["text"]
    assert got["text"].startswith("The tool says: ")
    assert len(got["calls"]) == 1
    if asked.client == "claude-code":
        assert got["calls"] == [list(*_SHELL.items())]
    else:
        assert got["calls"] == [["command_execution", "lighthouse\n"]]


def _check_model(asked: Asked, got: Mapping[str, Any], name: str = "able") -> None:
    """Assert that the client saw who answered, where it shows it at all."""
    served = f"{asked.upstream}/{name}"
    if got.get("header"):
        assert got["header"] == served
    if got.get("model"):
        # Some tell what they asked for, not who answered.
        tells_asked = (asked.client, asked.task) == ("litellm", "stream")
        tells_asked = tells_asked or (asked.client, asked.dialect) == _AI_SDK_GEMINI
        assert got["model"] in ({asked.model} if tells_asked else {served})
