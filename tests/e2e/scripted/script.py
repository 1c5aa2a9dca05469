"""What the scripted upstream answers: read off the prompt, in no dialect's words.

The last user's text that has a directive decides. Directives stand anywhere in it:

    @call NAME {json}   call this tool, if it is offered and its result is not there yet;
                        several make parallel calls
    @say TEXT           the answer: up to the end of the line, or a JSON object
    @think TEXT         reasoning before the answer, signed
    @fail STATUS        an error reply
    @break              the connection closes in the middle of the answer
    @error              an in-stream error in the middle of the answer
    @cut                the answer stops at the limit of tokens

With no directive the answer is `PLAIN`; with a tool's result, `told(result)`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

PLAIN = "The lighthouse keeper counts the ships."
INPUT_TOKENS, CACHED_TOKENS, CACHE_WRITE_TOKENS = 100, 60, 10
OUTPUT_TOKENS, REASONING_TOKENS = 20, 5

_DIRECTIVE = re.compile(r"@(call|say|think|fail|break|error|cut)\b[ \t]*")
_CALL_NAME = re.compile(r"([\w.-]+)\s*")
_LINE = re.compile(r"[^\n<@]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Call:
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Asked:
    """A request: every user's text, the tools on offer, and the results after the last directive.

    `answered` are those results as (id of the call, text).
    """

    text: str
    tools: tuple[str, ...] = ()
    answered: tuple[tuple[str, str], ...] = ()
    is_stream: bool = False


@dataclass(frozen=True)
class Said:
    """An answer. `fault`: "", "break", "error"; `status`: of the reply."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    is_cut: bool = False
    fault: str = ""
    status: int = 200

    @property
    def reasoning_tokens(self) -> int:
        return REASONING_TOKENS if self.reasoning else 0


def has_directive(text: str) -> bool:
    return _DIRECTIVE.search(text) is not None


def told(result: str) -> str:
    """Return the answer to a tool's result."""
    return f"The tool says: {result}"


def answer(asked: Asked) -> Said:
    """Return what a prompt asks to be answered."""
    found = tuple(_directives(asked.text))
    words = {name: argument for name, argument in found if name != "call"}
    calls = tuple(
        Call(_call_id(argument, number), *argument.split(" ", 1))
        for number, (name, argument) in enumerate(found)
        if name == "call"
    )
    calls = tuple(call for call in calls if call.name in asked.tools)
    if asked.answered:
        calls = ()
    results = " | ".join(text for _, text in asked.answered)
    text = words.get("say") or (told(results) if results else PLAIN)
    return Said(
        text="" if calls else text,
        reasoning=words.get("think", ""),
        calls=calls,
        is_cut="cut" in words,
        fault=next((name for name in ("break", "error") if name in words), ""),
        status=int(words.get("fail") or 200),
    )


def signature(dialect: str, text: str) -> str:
    """Return what seals reasoning: base64 letters alone, as some SDKs want them."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"sig{dialect.title().replace('-', '')}{digest}".ljust(48, "0")


def is_own_signature(dialect: str, stated: str) -> bool:
    return stated.startswith(f"sig{dialect.title().replace('-', '')}")


def pieces(text: str) -> Iterator[str]:
    """Yield a text word by word, as a model does."""
    yield from re.findall(r"\S+\s*|\s+", text)


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Yield each directive with its argument: for a call, `NAME JSON`."""
    for match in _DIRECTIVE.finditer(text):
        name, start = match.group(1), match.end()
        if name == "call":
            tool = _CALL_NAME.match(text, start)
            assert tool is not None, f"@call needs a name: {text[start : start + 80]!r}"
            value, _ = _DECODER.raw_decode(text, tool.end())
            yield name, f"{tool.group(1)} {json.dumps(value)}"
        elif name in {"say", "think"} and text[start : start + 1] == "{":
            yield name, json.dumps(_DECODER.raw_decode(text, start)[0])
        else:
            line = _LINE.match(text, start)
            assert line is not None
            yield name, line.group().strip()


def _call_id(call: str, number: int) -> str:
    return f"call_{hashlib.sha256(f'{number} {call}'.encode()).hexdigest()[:20]}"
