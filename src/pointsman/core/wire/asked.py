"""Asked: takes the text of the last user turn out of a body, for the cache's key.

What is left is all else. A hole stays where the text was.
"""

from collections.abc import Callable, MutableMapping
from typing import Any, TypeAlias

Members: TypeAlias = MutableMapping[str, object]
Is: TypeAlias = Callable[[dict[str, Any]], bool]


def take_content(turns: object, *, text_kind: str, image_kind: str) -> str | None:
    """Return the text of the last of the turns, taken out; None, and nothing taken, otherwise.

    There is one where that turn is the user's and its `content` is a text, or has one part of
    `text_kind` and besides only images, which stay.
    """
    turn = last_turn(turns)
    if turn is None or turn.get("role") != "user":
        return None
    content = turn.get("content")
    if isinstance(content, str):
        turn["content"] = None
        return content
    return take_part(
        content,
        is_text=lambda part: part.get("type") == text_kind,
        is_image=lambda part: part.get("type") == image_kind,
    )


def last_turn(turns: object) -> dict[str, Any] | None:
    """Return the last of the turns, None where there is none that could be read."""
    turn = turns[-1] if isinstance(turns, list) and turns else None
    return turn if isinstance(turn, dict) else None


def take_part(parts: object, *, is_text: Is, is_image: Is) -> str | None:
    """Return the text of the one part that is one, taken out.

    None, and nothing is taken, where there are several, or one that is neither text nor image.
    """
    found: dict[str, Any] | None = None
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            return None
        if is_text(part):
            if found is not None:
                return None
            found = part
        elif not is_image(part):
            return None
    if found is None or not isinstance(text := found.get("text"), str):
        return None
    found["text"] = None
    return text
