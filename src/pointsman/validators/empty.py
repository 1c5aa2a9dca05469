"""Empty: an answer in which there is nothing to see."""

import re
from dataclasses import dataclass
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft

# Whatever is not in this class leaves a mark on the page. Source: Unicode 15.1, the property
# Default_Ignorable_Code_Point within the BMP, plus controls, white space and the blanks that
# count as letters or symbols (Hangul fillers, the empty Braille pattern).
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]"
)


@dataclass(frozen=True, slots=True)
class Empty:
    """Rejects a whole answer without visible text and without tool calls."""

    name: ClassVar[str] = "empty"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason when nothing of the answer can be seen; reasoning does not count."""
        if not draft.is_whole or draft.tool_calls or _VISIBLE.search(draft.text):
            return ""
        return "the answer has no visible text and no tool call"
