"""Features: facts about a request, read from it alone in one pass."""

from pointsman.core.types import Caller, Features, Request

# About 4 bytes of English or code to a token (OpenAI's help centre, "What are tokens and how to
# count them", read 2026-11), and about 4 tokens around each message (OpenAI cookbook, "How to
# count tokens with tiktoken"). An estimate: the upstream's own count is what gets booked.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_TURN = 4
# A low-detail image costs 85 tokens, a 1024x1024 one 765, at OpenAI ("Images and vision" guide).
_TOKENS_PER_IMAGE = 765

_PIECE_CHARS = 256 * 1024


def extract(request: Request) -> Features:
    """Return the facts that policies may use. Deterministic, linear in the text's length."""
    text = last_user_text(request)
    return Features(
        text=text,
        system=request.system,
        words=count_words(text),
        turns=len(request.turns),
        input_tokens=estimate_input_tokens(request),
        max_tokens=request.max_tokens,
        needs=request.needs,
        is_tool_loop=is_tool_loop(request),
        labels=_labels(request.caller),
        dialect=request.dialect,
    )


def last_user_text(request: Request) -> str:
    """Return the last user turn's text, "" when there is none."""
    for turn in reversed(request.turns):
        if turn.role == "user":
            return turn.text
    return ""


def _labels(caller: Caller) -> tuple[str, ...]:
    """Return the groups that the caller states: the tag `route`, then whose key it is."""
    routes = [f"route:{value}" for name, value in caller.tags if name == "route"]
    return (*routes, f"key:{caller.tenant}") if caller.tenant else tuple(routes)


def count_words(text: str) -> int:
    """Return how many runs of non-space the text has.

    Counts piece by piece, for splitting a text of megabytes at once would let no other thread run.
    """
    words, is_in_word = 0, False
    for start in range(0, len(text), _PIECE_CHARS):
        piece = text[start : start + _PIECE_CHARS]
        goes_on = is_in_word and not piece[0].isspace()
        words += len(piece.split()) - goes_on
        is_in_word = not piece[-1].isspace()
    return words


def is_tool_loop(request: Request) -> bool:
    """Return whether the request hands back a tool's result, so that the model goes on."""
    return bool(request.turns) and request.turns[-1].role in ("tool", "function")


def last_tool_call_ids(request: Request) -> tuple[str, ...]:
    """Return the ids of the latest tool calls in the conversation."""
    for turn in reversed(request.turns):
        if turn.tool_call_ids:
            return turn.tool_call_ids
    return ()


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, >= 0; errs by a third either way on prose."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def estimate_input_tokens(request: Request) -> int:
    """Return about how many tokens the whole request sends.

    Without tools and images it goes by the texts. Tool definitions stand in the body alone, so
    with them it goes by the body's size, which errs upwards.
    """
    images = request.image_count * _TOKENS_PER_IMAGE
    if request.needs and not request.image_count:
        return -(-len(request.body) // _BYTES_PER_TOKEN)
    texts = estimate_tokens(request.system) + sum(estimate_tokens(t.text) for t in request.turns)
    return texts + images + _TOKENS_PER_TURN * (len(request.turns) + bool(request.system))
