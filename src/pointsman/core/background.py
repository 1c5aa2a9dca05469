"""Background: the calls that coding agents make for themselves, such as a session's title.

They are told by fixed phrases of the agents' own prompts, in the place where the agent puts them,
and never by their subject: a person who asks for a title gets what any other ask would get.
"""

from pointsman.core.types import Need, Request

# One of these stands in the system prompt of every call of Claude Code, but for its probe of the
# quota. Source of all that follows for it: the program itself, version 2.1.197; for the first two
# phrases, which it had in 2025, published recordings of its calls; read 2026-11-23.
_CLAUDE_CODE = (
    "x-anthropic-billing-header: cc_version=",
    "You are Claude Code, Anthropic's official CLI for Claude",
    "You are a Claude agent, built on Anthropic's Claude Agent SDK",
)
_CLAUDE_CODE_SYSTEM = (
    ("indicates a new conversation topic", "Claude Code's check for a new topic"),
    ("coding conversation in under 50 characters", "Claude Code's title of a session"),
    ("sentence-case title (3-7 words)", "Claude Code's title of a session"),
    ("short kebab-case name (2-4 words)", "Claude Code's name of a session"),
    ("technical issue title (max 80 chars)", "Claude Code's title of a bug report"),
    ("short summary label describing what these tool calls", "Claude Code's summary of its tools"),
    ("tasked with summarizing conversations", "Claude Code's summary of a conversation"),
)
_CLAUDE_CODE_USER = (
    (
        "You are coming up with a succinct title and git branch name",
        "Claude Code's title of a task",
    ),
)
_SMALL_MODEL = "haiku"

# How the last message of the user begins. Source: the program itself, version 0.169.0, and how
# published gateways tell such messages; read 2026-11-23.
_CODEX_USER = (
    ("Generate a concise, single-line task title of at most", "Codex's title of a task"),
    ("Write a brief catch-up for a user returning to this", "Codex's summary of a task"),
    ("You are performing a CONTEXT CHECKPOINT COMPACTION.", "Codex's summary of a conversation"),
)


def background_call(request: Request) -> str:
    """Return which of a coding agent's background calls a request is, in words; "" for none."""
    if not request.turns or request.turns[-1].role != "user":
        return ""
    match request.dialect:
        case "anthropic":
            return _of_claude_code(request)
        case "openai-responses":
            return _begun(request.turns[-1].text, _CODEX_USER)
        case _:
            return ""


def _of_claude_code(request: Request) -> str:
    if Need.TOOLS in request.needs:  # with tools it is the agent's own work
        return ""
    text, is_first = request.turns[-1].text, len(request.turns) == 1
    if text == "quota" and request.max_tokens == 1 and is_first and not request.system:
        return "Claude Code's probe of the quota"
    if not any(sign in request.system for sign in _CLAUDE_CODE):
        return ""
    for phrase, name in _CLAUDE_CODE_SYSTEM:
        if phrase in request.system:
            return name
    if is_first and (name := _begun(text, _CLAUDE_CODE_USER)):
        return name
    return "a call of Claude Code to its small model" if _SMALL_MODEL in request.model else ""


def _begun(text: str, phrases: tuple[tuple[str, str], ...]) -> str:
    return next((name for phrase, name in phrases if text.startswith(phrase)), "")
