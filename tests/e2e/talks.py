"""Conversations held by the official SDKs, each with its own history, given back as it came."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

KEY = "end-to-end-key-0123456789"
SYSTEM = "Be brief."
# The smallest picture there is: a PNG of one grey pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_PICTURE_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
_PARAMETERS = {"type": "object", "properties": {"where": {"type": "string"}}}
_TOOL = {"name": "look", "description": "Look there."}
_TOKENS, _BUDGET = 8000, 1024


class Talk(ABC):
    """One conversation. `say` and `give` add to it, `ask` has it answered and adds the answer."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.history: list[Any] = []

    @abstractmethod
    def say(self, text: str, *, shows: bool = False) -> None:
        """Add the user's words; `shows`: and the picture."""

    @abstractmethod
    def give(self, results: Mapping[str, str]) -> None:
        """Add the tools' results, by the calls' ids."""

    @abstractmethod
    def ask(self, headers: Mapping[str, str], *, is_stream: bool) -> tuple[str, dict[str, str]]:
        """Return the answer's text, and its calls: arguments by id, in order."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connections."""


class ChatTalk(Talk):
    """OpenAI's SDK, chat completions."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self._client = openai.OpenAI(base_url=f"{origin}/v1", api_key=KEY, max_retries=0)
        self.history.append({"role": "system", "content": SYSTEM})

    def say(self, text: str, *, shows: bool = False) -> None:
        parts: list[Any] = [{"type": "text", "text": text}]
        if shows:
            parts.append({"type": "image_url", "image_url": {"url": _PICTURE_URL}})
        self.history.append({"role": "user", "content": parts})

    def give(self, results: Mapping[str, str]) -> None:
        for made, text in results.items():
            self.history.append({"role": "tool", "tool_call_id": made, "content": text})

    def ask(self, headers: Mapping[str, str], *, is_stream: bool) -> tuple[str, dict[str, str]]:
        fields: dict[str, Any] = {
            "model": "auto",
            "messages": self.history,
            "tools": [{"type": "function", "function": {**_TOOL, "parameters": _PARAMETERS}}],
            "reasoning_effort": "low",
            "max_completion_tokens": _TOKENS,
            "extra_headers": headers,
        }
        if is_stream:
            with self._client.chat.completions.stream(**fields) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = self._client.chat.completions.create(**fields).choices[0].message
        said = message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in said.get("tool_calls") or ():
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        self.history.append(said)
        calls = {call.id: call.function.arguments for call in message.tool_calls or ()}
        return message.content or "", calls

    def close(self) -> None:
        self._client.close()


class ResponsesTalk(Talk):
    """OpenAI's SDK, responses without stored state."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self._client = openai.OpenAI(base_url=f"{origin}/v1", api_key=KEY, max_retries=0)

    def say(self, text: str, *, shows: bool = False) -> None:
        parts: list[Any] = [{"type": "input_text", "text": text}]
        if shows:
            parts.append({"type": "input_image", "image_url": _PICTURE_URL, "detail": "auto"})
        self.history.append({"role": "user", "content": parts})

    def give(self, results: Mapping[str, str]) -> None:
        for made, text in results.items():
            self.history.append({"type": "function_call_output", "call_id": made, "output": text})

    def ask(self, headers: Mapping[str, str], *, is_stream: bool) -> tuple[str, dict[str, str]]:
        fields: dict[str, Any] = {
            "model": "auto",
            "instructions": SYSTEM,
            "input": self.history,
            "tools": [{"type": "function", **_TOOL, "parameters": _PARAMETERS, "strict": False}],
            "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
            "store": False,
            "max_output_tokens": _TOKENS,
            "extra_headers": headers,
        }
        if is_stream:
            with self._client.responses.stream(**fields) as stream:
                response: Any = stream.get_final_response()
        else:
            response = self._client.responses.create(**fields)
        for item in response.output:
            said = item.model_dump(exclude_none=True)
            said.pop("parsed_arguments", None)
            for part in said.get("content") or ():
                part.pop("parsed", None)
            self.history.append(said)
        made = [item for item in response.output if item.type == "function_call"]
        return response.output_text, {call.call_id: call.arguments for call in made}

    def close(self) -> None:
        self._client.close()


class MessagesTalk(Talk):
    """Anthropic's SDK."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self._client = anthropic.Anthropic(base_url=origin, api_key=KEY, max_retries=0)

    def say(self, text: str, *, shows: bool = False) -> None:
        content: list[Any] = [{"type": "text", "text": text}]
        if shows:
            data = base64.b64encode(PICTURE).decode()
            source = {"type": "base64", "media_type": "image/png", "data": data}
            content.append({"type": "image", "source": source})
        self.history.append({"role": "user", "content": content})

    def give(self, results: Mapping[str, str]) -> None:
        content = [
            {"type": "tool_result", "tool_use_id": made, "content": text}
            for made, text in results.items()
        ]
        self.history.append({"role": "user", "content": content})

    def ask(self, headers: Mapping[str, str], *, is_stream: bool) -> tuple[str, dict[str, str]]:
        fields: dict[str, Any] = {
            "model": "auto",
            "system": SYSTEM,
            "messages": self.history,
            "tools": [{**_TOOL, "input_schema": _PARAMETERS}],
            "thinking": {"type": "enabled", "budget_tokens": _BUDGET},
            "max_tokens": _TOKENS,
            "extra_headers": headers,
        }
        if is_stream:
            with self._client.messages.stream(**fields) as stream:
                message = stream.get_final_message()
        else:
            message = self._client.messages.create(**fields)
        self.history.append({"role": "assistant", "content": message.content})
        text = "".join(block.text for block in message.content if block.type == "text")
        made = [block for block in message.content if block.type == "tool_use"]
        return text, {call.id: json.dumps(call.input) for call in made}

    def close(self) -> None:
        self._client.close()


class GeminiTalk(Talk):
    """Google's SDK."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self._client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=origin))
        self._names: dict[str, str | None] = {}

    def say(self, text: str, *, shows: bool = False) -> None:
        parts = [types.Part(text=text)]
        if shows:
            parts.append(types.Part.from_bytes(data=PICTURE, mime_type="image/png"))
        self.history.append(types.Content(role="user", parts=parts))

    def give(self, results: Mapping[str, str]) -> None:
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=made, name="look", response={"output": text}
                )
            )
            for made, text in results.items()
        ]
        self.history.append(types.Content(role="user", parts=parts))

    def ask(self, headers: Mapping[str, str], *, is_stream: bool) -> tuple[str, dict[str, str]]:
        function = types.FunctionDeclaration(
            name=_TOOL["name"], description=_TOOL["description"], parameters_json_schema=_PARAMETERS
        )
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            tools=[types.Tool(function_declarations=[function])],
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=_BUDGET),
            max_output_tokens=_TOKENS,
            http_options=types.HttpOptions(headers=dict(headers)),
        )
        asked: dict[str, Any] = {"model": "auto", "contents": self.history, "config": config}
        if is_stream:
            replies = list(self._client.models.generate_content_stream(**asked))
        else:
            replies = [self._client.models.generate_content(**asked)]
        parts = [part for reply in replies for part in _parts(reply)]
        self.history.append(types.Content(role="model", parts=parts))
        made = [part.function_call for part in parts if part.function_call]
        text = "".join(part.text for part in parts if part.text and not part.thought)
        return text, {str(call.id): json.dumps(call.args) for call in made}

    def close(self) -> None:
        self._client.close()


def _parts(reply: types.GenerateContentResponse) -> list[types.Part]:
    assert reply.candidates is not None
    content = reply.candidates[0].content
    return list(content.parts or ()) if content else []


TALKS: Mapping[str, type[Talk]] = {
    "openai-chat": ChatTalk,
    "openai-responses": ResponsesTalk,
    "anthropic": MessagesTalk,
    "gemini": GeminiTalk,
}
