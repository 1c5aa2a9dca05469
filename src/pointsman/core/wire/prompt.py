"""Prompt: a whole request in no dialect's words, for the roads between dialects.

Only a translation reads a request so deep; within one dialect the body itself goes on. A codec's
`read_prompt` makes it, another's `write_prompt` turns it into a body, so that N dialects take 2N
pieces. Order is kept everywhere: of messages, of the parts in them, of tools.
"""

from typing import Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["system", "user", "assistant"]
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ToolMode: TypeAlias = Literal["auto", "none", "required", "named"]

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class CacheMark(msgspec.Struct, frozen=True):
    """The client's wish that what comes up to here be kept in the prompt cache, for so long."""

    ttl: Literal["5m", "1h"] = "5m"


class Text(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Words. `is_refusal`: the model's words for not answering."""

    text: str
    is_refusal: bool = False
    mark: CacheMark | None = None


class Media(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """An image, a file or sound: one of `data` (base64), `url` or `file_id` is set.

    `media_type` is such as image/png, "" where it is not known. `file_id` is the provider's own
    handle, which no other provider knows. `detail`: how closely to look at an image: low, high.
    """

    kind: Literal["image", "file", "audio"]
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    detail: str = ""
    mark: CacheMark | None = None


class Thinking(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model's reasoning. `signature` seals it, and says nothing to any but its maker.

    `is_redacted`: there is no text, the signature holds all of it.
    """

    text: str = ""
    signature: str = ""
    is_redacted: bool = False


class Call(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A tool call that the model made; `arguments` is JSON text, of an object where it is sound.

    `signature` seals the reasoning that led to it, where the dialect keeps that with the call.
    """

    id: str
    name: str
    arguments: str
    signature: str = ""
    mark: CacheMark | None = None


class Result(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What a tool gave back. It stands in a user's message, whatever the dialect calls its role.

    `name` is the tool's, "" where the dialect does not repeat it: `Prompt.tool_name` finds it.
    """

    call_id: str
    parts: "tuple[Text | Media, ...]" = ()
    name: str = ""
    is_error: bool = False
    mark: CacheMark | None = None


Part: TypeAlias = Text | Media | Thinking | Call | Result


class Message(msgspec.Struct, frozen=True):
    """One message: whose it is, and its parts in order. System messages may stand anywhere."""

    role: Role
    parts: tuple[Part, ...] = ()


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call. `schema` is its parameters' JSON schema, as bytes."""

    name: str
    description: str = ""
    schema: bytes = b'{"type":"object","properties":{}}'
    is_strict: bool | None = None
    mark: CacheMark | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools may or must be called. `name` for "named"; `is_parallel` None: not said."""

    mode: ToolMode | None = None
    name: str = ""
    is_parallel: bool | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON the answer must be: any object where `schema` is None."""

    schema: bytes | None = None
    name: str = ""
    description: str = ""
    is_strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How much to think: an effort, or a budget in tokens, or neither said.

    `budget_tokens` 0 means none at all. `is_adaptive`: the model may choose how much.
    `is_shown`: the client wants to read it; None: not said. `summary`: auto, concise or detailed.
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    is_adaptive: bool = False
    is_shown: bool | None = None
    summary: str = ""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn; None where the client does not say.

    `logprobs`: how many alternatives to tell at each token, 0 for the chosen one alone.
    `logit_bias` is the dialect's own JSON object, token ids of one tokenizer.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()
    choices: int | None = None
    logprobs: int | None = None
    logit_bias: bytes | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A whole request. `user` is the client's name for its end user.

    `unread` names what the body has and this form has no place for, as paths in the client's own
    dialect ("metadata", "tools[].cache_control.ttl"); each is told to the client as dropped.
    `refused` does so with what may not be dropped, each with the reason.
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    shape: Shape | None = None
    reasoning: Reasoning = Reasoning()
    user: str = ""
    service_tier: str = ""
    verbosity: str = ""
    is_stream: bool = False
    unread: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    def tool_name(self, call_id: str) -> str:
        """Return the name of the tool that was called under an id, "" where none was."""
        for message in self.messages:
            for part in message.parts:
                if isinstance(part, Call) and part.id == call_id:
                    return part.name
        return ""


class Written(msgspec.Struct, frozen=True):
    """A body for an upstream, and what of the client's request it does not carry, by name."""

    body: bytes
    dropped: tuple[str, ...] = ()
