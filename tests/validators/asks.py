"""Asks and drafts for the validators' tests, said in as few words as the case needs."""

from pointsman.core.types import Decision, Features, ResponseFormat, ToolCall
from pointsman.validators import Ask, Draft

TOOL_CALL = ToolCall(id="call_1", name="search", arguments="{}")


def ask(
    text: str = "Tell me about the tides.",
    *,
    words: int | None = None,
    system: str = "",
    max_tokens: int | None = None,
    is_harmless: bool = True,
    is_tool_loop: bool = False,
    response_format: ResponseFormat | None = None,
) -> Ask:
    return Ask(
        features=Features(
            text=text,
            system=system,
            words_told=words,
            turns=1,
            input_tokens=10,
            max_tokens=max_tokens,
            needs=frozenset(),
            is_tool_loop=is_tool_loop,
        ),
        decision=Decision(tier="fast", reason="test", is_harmless=is_harmless),
        response_format=response_format,
    )


def whole(text: str, finish_reason: str = "stop", *, has_tool_call: bool = False) -> Draft:
    calls = (TOOL_CALL,) if has_tool_call else ()
    return Draft(text=text, finish_reason=finish_reason, tool_calls=calls)


def unfinished(text: str) -> Draft:
    return Draft(text=text)
