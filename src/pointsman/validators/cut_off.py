"""Cut off: an answer that ended at a limit of ours."""

from dataclasses import dataclass
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft, is_cut_by_client


@dataclass(frozen=True, slots=True)
class CutOff:
    """Rejects what was cut by the tier's own `max_tokens`, never by the client's."""

    name: ClassVar[str] = "cut_off"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason when the answer ended for length and the client had set no limit."""
        if draft.finish_reason != "length" or is_cut_by_client(draft, ask):
            return ""
        return "the answer was cut off at the tier's token limit"
