"""Writing: a `Prompt` as a responses body."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.types import Step
from pointsman.core.wire.effort import effort_of
from pointsman.core.wire.openai_chat.read_messages import ERROR_MARK
from pointsman.core.wire.openai_responses.edit import is_reasoning, with_params
from pointsman.core.wire.openai_responses.items import encrypted_of
from pointsman.core.wire.openai_responses.request import ENCRYPTED, LOGPROBS
from pointsman.core.wire.prompt import (
    Call,
    Media,
    Message,
    Part,
    Prompt,
    Result,
    Shape,
    Text,
    Thinking,
    Tool,
    Written,
)

_Object = dict[str, object]

_SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
_SHAPE_NAME = "answer"  # the dialect must have one


def write_prompt(prompt: Prompt, step: Step) -> Written:
    """Return the body for a step's upstream, and what of the request it does not carry.

    `store` is always false. A budget of reasoning becomes the effort that keeps within it, and is
    named as dropped, for the figure itself is lost.

    Raises RequestError for what must not be dropped: several choices, sound, another provider's
    files, images and files among the model's own words.
    """
    for field, reason in prompt.refused:
        raise RequestError(f"{field} cannot be carried: {reason}", param=field)
    writer = _Writer(prompt, step)
    body = with_params(msgspec.json.encode(writer.body()), step.deployment)
    return Written(body, tuple(dict.fromkeys((*prompt.unread, *writer.dropped))))


class _Writer:
    """Writes one body; `dropped` names what is left out."""

    def __init__(self, prompt: Prompt, step: Step) -> None:
        self._prompt = prompt
        self._step = step
        self.dropped: list[str] = []

    def body(self) -> _Object:
        prompt, deployment = self._prompt, self._step.deployment
        body: _Object = {
            "model": deployment.model,
            "input": [item for message in prompt.messages for item in self._items(message)],
            "store": False,
        }
        body |= self._bound() | self._sampling() | self._tools() | self._text() | self._reasoning()
        if included := [*self._included()]:
            body["include"] = included
        if prompt.user:
            body["safety_identifier"] = prompt.user
        if prompt.service_tier in _SERVICE_TIERS:
            body["service_tier"] = prompt.service_tier
        elif prompt.service_tier:
            self.dropped.append("service_tier")
        if prompt.is_stream:
            body["stream"] = True
        return body

    def _bound(self) -> _Object:
        bound = self._prompt.max_tokens or self._step.max_tokens
        return {} if bound is None else {"max_output_tokens": bound}

    def _sampling(self) -> _Object:
        sampling = self._prompt.sampling
        if (sampling.choices or 1) > 1:
            raise RequestError(
                f"{sampling.choices} choices were asked for, and the Responses API gives one; "
                "ask for one",
                param="n",
            )
        unsaid = {
            "top_k": sampling.top_k,
            "seed": sampling.seed,
            "frequency_penalty": sampling.frequency_penalty,
            "presence_penalty": sampling.presence_penalty,
            "logit_bias": sampling.logit_bias,
            "stop": sampling.stop or None,
        }
        self.dropped += [name for name, value in unsaid.items() if value is not None]
        said = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        said = {name: value for name, value in said.items() if value is not None}
        if self._step.deployment.capability.sampling is False:
            self.dropped += said
            said = {}
        body: _Object = {**said}
        if sampling.logprobs is not None:
            body["top_logprobs"] = sampling.logprobs
        return body

    def _tools(self) -> _Object:
        prompt, choice = self._prompt, self._prompt.tool_choice
        body: _Object = {}
        if prompt.tools:
            body["tools"] = [self._tool(tool) for tool in prompt.tools]
        if choice.mode == "named":
            body["tool_choice"] = {"type": "function", "name": choice.name}
        elif choice.mode is not None:
            body["tool_choice"] = choice.mode
        if choice.is_parallel is not None:
            body["parallel_tool_calls"] = choice.is_parallel
        return body

    def _tool(self, tool: Tool) -> _Object:
        """Return a function; strictness is said, for here it is the default where it can be."""
        self._drop_mark(tool)
        written: _Object = {
            "type": "function",
            "name": tool.name,
            "parameters": msgspec.Raw(tool.schema),
            "strict": bool(tool.is_strict),
        }
        if tool.description:
            written["description"] = tool.description
        return written

    def _text(self) -> _Object:
        text: _Object = {}
        if self._prompt.shape is not None:
            text["format"] = _format(self._prompt.shape)
        if self._prompt.verbosity in ("low", "medium", "high"):
            text["verbosity"] = self._prompt.verbosity
        elif self._prompt.verbosity:
            self.dropped.append("verbosity")
        return {"text": text} if text else {}

    def _reasoning(self) -> _Object:
        asked = self._prompt.reasoning
        written: _Object = {}
        effort = self._effort()
        if effort and self._step.deployment.capability.reasoning is not False:
            written["effort"] = effort
        elif effort and effort != "none":
            self.dropped.append("reasoning_effort")
        if asked.budget_tokens:
            self.dropped.append("reasoning_budget")
        if asked.summary or asked.is_shown:
            written["summary"] = asked.summary or "auto"
        return {"reasoning": written} if written else {}

    def _effort(self) -> str | None:
        asked = self._prompt.reasoning
        if asked.effort is not None or asked.budget_tokens is None:
            return asked.effort
        return effort_of(asked.budget_tokens)

    def _included(self) -> Iterator[str]:
        asked, effort = self._prompt.reasoning, self._effort()
        is_asked = effort is not None or asked.is_adaptive or bool(asked.is_shown or asked.summary)
        if is_reasoning(self._step.deployment, is_asked=is_asked, effort=effort):
            yield ENCRYPTED
        if self._prompt.sampling.logprobs is not None:
            yield LOGPROBS

    def _items(self, message: Message) -> Iterator[_Object]:
        """Yield the items of a message: each call, result and block of reasoning is one."""
        for is_content, grouped in groupby(
            message.parts, lambda part: isinstance(part, Text | Media)
        ):
            if not is_content:
                yield from self._own_items(grouped)
            elif message.role == "assistant":
                yield from self._said(grouped)
            else:
                content = [self._content(part) for part in grouped]
                yield {"type": "message", "role": message.role, "content": content}

    def _said(self, parts: Iterable[Part]) -> Iterator[_Object]:
        """Yield the messages of what the model said: all its words in a row are one text.

        They have neither id nor status, as Codex sends them; every server takes a text so, and not
        a list of parts. A refusal is a message of its own, for a text cannot tell it. Where there
        are no words there is no message: Gemini's streams end in an empty text, even behind calls,
        and it must not part these from their results.
        """
        for is_refusal, grouped in groupby(
            parts, lambda part: isinstance(part, Text) and part.is_refusal
        ):
            if words := "".join(self._words(part) for part in grouped):
                content = [{"type": "refusal", "refusal": words}] if is_refusal else words
                yield {"type": "message", "role": "assistant", "content": content}

    def _own_items(self, parts: Iterable[Part]) -> Iterator[_Object]:
        for part in parts:
            match part:
                case Thinking(signature=""):
                    self.dropped.append("reasoning")  # nothing seals it: nobody could take it
                case Thinking():
                    yield _reasoning_item(part)
                case Call():
                    self._drop_mark(part)
                    yield {
                        "type": "function_call",
                        "call_id": part.id,
                        "name": part.name,
                        "arguments": part.arguments,
                    }
                case Result():
                    yield self._result(part)
                case _:
                    raise AssertionError(part)

    def _result(self, result: Result) -> _Object:
        self._drop_mark(result)
        parts = result.parts
        if result.is_error:
            first, rest = Text(text=""), parts
            if parts and isinstance(parts[0], Text):
                first, rest = parts[0], parts[1:]
            parts = (msgspec.structs.replace(first, text=ERROR_MARK + first.text), *rest)
        match parts:
            case ():
                output: object = ""
            case (Text(text=text) as only,):
                self._drop_mark(only)
                output = text
            case _:
                output = [self._content(part) for part in parts]
        return {"type": "function_call_output", "call_id": result.call_id, "output": output}

    def _words(self, part: Part) -> str:
        if not isinstance(part, Text):
            raise RequestError(
                "an assistant's message has an image or a file, which the Responses API does "
                "not take there; send it in a user's message",
                param="messages",
            )
        self._drop_mark(part)
        return part.text

    def _content(self, part: Part) -> _Object:
        self._drop_mark(part)
        match part:
            case Text(text=text):
                return {"type": "input_text", "text": text}
            case Media(kind="image"):
                return _image(part)
            case Media(kind="file"):
                return _file(part)
            case Media():
                raise RequestError(
                    "the Responses API takes no sound; send its text instead",
                    param="messages",
                )
            case _:
                raise AssertionError(part)

    def _drop_mark(self, holder: Part | Tool) -> None:
        # A prefix is kept without marks; only the newest models take them.
        if not isinstance(holder, Thinking) and holder.mark is not None:
            self.dropped.append("cache_control")


def _reasoning_item(thinking: Thinking) -> _Object:
    """Return sealed reasoning as it is given back: without an id, see `items.signature_of`."""
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    sealed = encrypted_of(thinking.signature, is_redacted=thinking.is_redacted)
    return {"type": "reasoning", "summary": summary, "encrypted_content": sealed}


def _image(image: Media) -> _Object:
    _check_not_stored(image)
    url = image.url or f"data:{image.media_type or 'image/png'};base64,{image.data}"
    return {"type": "input_image", "image_url": url, "detail": image.detail or "auto"}


def _file(file: Media) -> _Object:
    _check_not_stored(file)
    if file.url:
        return {"type": "input_file", "file_url": file.url}
    media_type = file.media_type or "application/pdf"
    data = f"data:{media_type};base64,{file.data}"
    return {"type": "input_file", "filename": file.name or "file", "file_data": data}


def _check_not_stored(media: Media) -> None:
    if media.file_id:
        raise RequestError(
            f'file "{media.file_id}" is kept by another provider; send the file itself',
            param="file_id",
        )


def _format(shape: Shape) -> _Object:
    if shape.schema is None:
        return {"type": "json_object"}
    extra: Mapping[str, object] = {"description": shape.description, "strict": shape.is_strict}
    return {
        "type": "json_schema",
        "name": shape.name or _SHAPE_NAME,
        "schema": msgspec.Raw(shape.schema),
        **{name: value for name, value in extra.items() if value not in (None, "")},
    }
